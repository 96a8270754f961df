/**
 * A run in a folder of any kind: in a browser's storage, in memory. Logs are kept in memory and saved with every checkpoint,
 * so a resumed run goes on from the newest one with the logs that belong to it.
 *
 *     recipe.json                     the resolved recipe
 *     checkpoints/<stage>-<step>/     the engine's state, logs.json, and manifest.json, which is written last
 *     rollouts-000001.jsonl           what was sampled before the first checkpoint, between it and the second, …
 *     initial-model/  model/          as in a run directory
 *     summary.json                    says that the run is complete
 *
 * What it is not: the run directory (`run-directory.ts`), which other programs read while a run goes on, and which loses
 * nothing that was logged when the process is killed.
 */

import { AhaError, RunDirError } from "../errors.ts";
import { type Folder, writeJson, writeText } from "../folder.ts";
import { parseJson } from "../json-text.ts";
import { requireSameRecipe, sortedText } from "./recipe-differences.ts";
import type { EvaluationRecord, EventRecord, MetricsRecord, RolloutRecord, TimingRecord } from "./records.ts";
import {
  checkpointName,
  type RolloutFiles,
  RUN_FILES,
  type RunLogs,
  type RunStore,
  type SavedState,
} from "./run-store.ts";
import type { CheckpointRequest, StageWriter } from "./stage-writer.ts";
import { removeWithContent } from "./states-elsewhere.ts";

/** The file with the resolved recipe. */
export const RECIPE_FILE = "recipe.json";
const MANIFEST_FILE = "manifest.json";
const LOGS_FILE = "logs.json";
const LIMIT = { maxBytes: 2 ** 28, error: RunDirError };

/** What a checkpoint says of itself. */
interface Manifest {
  readonly serial: number;
  readonly recipeHash: string;
  readonly seconds: number;
  readonly state: SavedState["manifest"];
}

type Logs = { [Log in keyof RunLogs]: RunLogs[Log][number][] };

const noLogs = (): Logs => ({ metrics: [], evaluations: [], timings: [], events: [] });

/** A checkpoint that is there. */
interface Found {
  /** Its folder's name among the checkpoints. */
  readonly folder: string;
  readonly state: SavedState;
  readonly manifest: Manifest;
}

/** A run that is open in a folder. One program at a time opens it. */
export class FolderRun implements RunStore {
  readonly isNew: boolean;
  readonly resumedFrom: SavedState | undefined;
  readonly recipeHash: string;
  readonly #folder: Folder;
  readonly #secondsBefore: number;
  readonly #openedAt = performance.now();
  readonly #logs: Logs;
  #rollouts: RolloutRecord[] = [];
  #serial: number;
  #keepFiles = Number.POSITIVE_INFINITY;

  private constructor(folder: Folder, recipeHash: string, isNew: boolean, newest?: Found, logs?: Logs) {
    this.#folder = folder;
    this.recipeHash = recipeHash;
    this.isNew = isNew;
    this.resumedFrom = newest?.state;
    this.#serial = newest?.manifest.serial ?? 0;
    this.#secondsBefore = newest?.manifest.seconds ?? 0;
    this.#logs = logs ?? noLogs();
  }

  /** Starts a run in an empty folder. Throws RunDirError where a run is there. */
  static async create(folder: Folder, recipe: unknown): Promise<FolderRun> {
    if ((await folder.names()).includes(RECIPE_FILE)) {
      throw new RunDirError(`${folder.path} has a run already: resume it, or take another folder.`);
    }
    await writeJson(folder, RECIPE_FILE, recipe);
    return new FolderRun(folder, await hashOf(recipe), true);
  }

  /**
   * Opens an interrupted run at its newest checkpoint.
   *
   * @throws RunDirError where there is no run, it is complete, or it was begun with another recipe
   */
  static async resume(folder: Folder, recipe: unknown): Promise<FolderRun> {
    const text = await folder.readText(RECIPE_FILE, LIMIT);
    if (text === undefined) throw new RunDirError(`${folder.path} has no run to resume: create one.`);
    if (await FolderRun.isComplete(folder)) {
      throw new RunDirError(`The run in ${folder.path} is complete; nothing is left to resume.`);
    }
    requireSameRecipe(folder.path, parseJson(text, folder.pathOf(RECIPE_FILE), RunDirError), plain(recipe));
    const [newest] = await checkpointsOf(folder);
    const run = new FolderRun(folder, await hashOf(recipe), false, newest, newest && (await logsOf(folder, newest)));
    await run.#cutRollouts();
    run.event("resumed", { from: newest?.state.name ?? null });
    return run;
  }

  /** Whether the run in `folder` has come to its end. */
  static async isComplete(folder: Folder): Promise<boolean> {
    return (await folder.names()).includes(RUN_FILES.summary);
  }

  /** What the run in `folder` has logged up to its end or its newest checkpoint; nothing where there is neither. */
  static async logsIn(folder: Folder): Promise<RunLogs> {
    const atEnd = await readOwn<Logs>(folder, LOGS_FILE);
    const [newest] = atEnd ? [] : await checkpointsOf(folder);
    return atEnd ?? (newest && (await logsOf(folder, newest))) ?? noLogs();
  }

  /** The newest state that is whole in the run in `folder`. */
  static async newestIn(folder: Folder): Promise<SavedState | undefined> {
    const [newest] = await checkpointsOf(folder);
    return newest?.state;
  }

  get path(): string {
    return this.#folder.path;
  }

  get seconds(): number {
    return this.#secondsBefore + (performance.now() - this.#openedAt) / 1000;
  }

  keepRolloutsAs({ keepFiles }: RolloutFiles): void {
    this.#keepFiles = keepFiles ?? Number.POSITIVE_INFINITY;
  }

  stage(stage: string): StageWriter {
    return {
      metrics: (row) => void this.#logs.metrics.push({ stage, ...row } as MetricsRecord),
      rollouts: (rows) => void this.#rollouts.push(...rows.map((row) => ({ stage, ...row }) as RolloutRecord)),
      // They are rollouts once more, for people who read files.
      samples: () => {},
      evaluation: (record) => void this.#logs.evaluations.push({ stage, ...record } as EvaluationRecord),
      timing: (row) => void this.#logs.timings.push({ stage, ...row } as TimingRecord),
      event: (name, details) => this.event(name, { stage, ...details }),
    };
  }

  event(name: string, details: Readonly<Record<string, unknown>> = {}): void {
    this.#logs.events.push({ at: new Date().toISOString(), event: name, ...details } as EventRecord);
  }

  readLogs(): RunLogs {
    return this.#logs;
  }

  async saveCheckpoint(request: CheckpointRequest, write: (place: string) => Promise<void>): Promise<SavedState> {
    const { stage, step, stageComplete, trainerState, keep, best, elsewhere } = request;
    const name = checkpointName(stage, step);
    // One of that name stays until the new one is whole: a program that ends in between must not lose both.
    const sameName = (await checkpointsOf(this.#folder)).filter(({ state }) => state.name === name);
    const folder = sameName.length === 0 ? name : `${name}.${this.#serial + 1}`;
    const inside = this.#checkpoints.folder(folder);
    await this.#checkpoints.remove(folder);
    await this.#writeRollouts();
    this.#serial++;
    this.event("checkpoint", { stage, step, stageComplete });
    await write(inside.path);
    await writeJson(inside, LOGS_FILE, this.#logs);
    const state = { stage, step, stageComplete, trainerState: { ...trainerState } };
    const manifest: Manifest = { serial: this.#serial, recipeHash: this.recipeHash, seconds: this.seconds, state };
    await writeJson(inside, MANIFEST_FILE, manifest);
    const all = await checkpointsOf(this.#folder);
    const among = (some: typeof all) => (one: (typeof all)[number]) =>
      some.some(({ folder: name }) => name === one.folder);
    const passing = all.filter((found) => !found.state.manifest.stageComplete && !among(sameName)(found));
    const old = [
      ...sameName,
      ...passing.slice(Math.max(1, keep)).filter(({ state: { name: other } }) => other !== best),
    ];
    const kept = all.filter((found) => !among(old)(found));
    const places = (some: typeof all) => some.map((found) => this.#checkpoints.folder(found.folder).path);
    await removeWithContent(elsewhere, { old: places(old), kept: places(kept) }, async () => {
      for (const { folder: name } of old) await this.#checkpoints.remove(name);
    });
    return { directory: inside.path, name, manifest: state };
  }

  async soundCheckpoint(name: string): Promise<SavedState | { readonly damage: string }> {
    const found = (await checkpointsOf(this.#folder)).find(({ state }) => state.name === name);
    return found?.state ?? { damage: "it is not there" };
  }

  async writeFolder(name: string, write: (place: string) => Promise<void>): Promise<string> {
    await this.#folder.remove(name);
    const { path } = this.#folder.folder(name);
    await write(path);
    return path;
  }

  async finish(summary: object): Promise<void> {
    await this.#writeRollouts();
    this.event("finished", { seconds: this.seconds });
    await writeJson(this.#folder, LOGS_FILE, this.#logs);
    await writeJson(this.#folder, RUN_FILES.summary, summary);
  }

  close(): void {}

  get #checkpoints(): Folder {
    return this.#folder.folder(RUN_FILES.checkpoints);
  }

  /** What was sampled since the last checkpoint becomes a file, numbered like the one that is about to be made. */
  async #writeRollouts(): Promise<void> {
    if (this.#rollouts.length === 0) return;
    const lines = this.#rollouts.map((row) => `${JSON.stringify(row)}\n`);
    await writeText(this.#folder, rolloutsName(this.#serial + 1), lines.join(""));
    this.#rollouts = [];
    const files = await this.#rolloutFiles();
    for (const { name } of files.slice(0, Math.max(0, files.length - this.#keepFiles))) await this.#folder.remove(name);
  }

  /** Removes what was sampled after the checkpoint that is resumed from: it will be sampled again. */
  async #cutRollouts(): Promise<void> {
    for (const { name, serial } of await this.#rolloutFiles()) {
      if (serial > this.#serial) await this.#folder.remove(name);
    }
  }

  async #rolloutFiles(): Promise<{ readonly name: string; readonly serial: number }[]> {
    const found = (await this.#folder.names()).flatMap((name) => {
      const serial = /^rollouts-(\d+)\.jsonl$/.exec(name)?.[1];
      return serial === undefined ? [] : [{ name, serial: Number(serial) }];
    });
    return found.sort((a, b) => a.serial - b.serial);
  }
}

const rolloutsName = (serial: number) => `rollouts-${String(serial).padStart(6, "0")}.jsonl`;

/** The recipe as it is read back from JSON: keys that are undefined are not there. */
const plain = (recipe: unknown): unknown => JSON.parse(JSON.stringify(recipe));

async function hashOf(recipe: unknown): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(sortedText(recipe)));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The checkpoints that are whole, the newest first. */
async function checkpointsOf(folder: Folder): Promise<Found[]> {
  const parent = folder.folder(RUN_FILES.checkpoints);
  const found: Found[] = [];
  for (const name of await parent.names()) {
    const inside = parent.folder(name);
    const manifest = await readOwn<Manifest>(inside, MANIFEST_FILE);
    if (manifest === undefined) continue;
    const { stage, step } = manifest.state;
    const state = { directory: inside.path, name: checkpointName(stage, step), manifest: manifest.state };
    found.push({ folder: name, state, manifest });
  }
  return found.sort((a, b) => b.manifest.serial - a.manifest.serial);
}

async function logsOf(folder: Folder, checkpoint: Found): Promise<Logs> {
  const inside = folder.folder(RUN_FILES.checkpoints).folder(checkpoint.folder);
  const logs = await readOwn<Logs>(inside, LOGS_FILE);
  if (logs === undefined)
    throw new RunDirError(`${inside.pathOf(LOGS_FILE)} is missing or damaged: start another run.`);
  return logs;
}

/** A file that this class wrote; undefined where it is not there, or not whole. */
async function readOwn<T>(folder: Folder, name: string): Promise<T | undefined> {
  try {
    const text = await folder.readText(name, LIMIT);
    return text === undefined ? undefined : (parseJson(text, folder.pathOf(name), RunDirError) as T);
  } catch (error) {
    if (error instanceof AhaError) return undefined;
    throw error;
  }
}
