/**
 * The run directory, as the one process that trains sees it: it holds the lock, appends to the logs, and makes the
 * checkpoints. Everything that a run writes is in here, and nothing outside it.
 *
 *     recipe.yaml        the resolved recipe
 *     trl.yaml           the TRL recipe that it was made of, as it was given (only in aha run --trl)
 *     inputs.json        checksums of the files that the recipe names (only where it names any)
 *     run.lock           who writes here now
 *     metrics.jsonl      a line per SFT step, GRPO iteration ┐ the same bytes for the same recipe and seed, however
 *     rollouts.jsonl     one line per sampled completion     │ often the run was interrupted; a resume cuts them back
 *                        (full files of them: rollout-log.ts)│
 *     evaluations.jsonl  one line per held-out evaluation    ┘ to the lengths that the checkpoint recorded
 *     completion_samples/ random completions as text (only where the recipe asks for them; cut back likewise)
 *     timings.jsonl      seconds of each of them (cut back likewise, but never the same bytes)
 *     events.jsonl       a diary with wall-clock times; only ever appended
 *     checkpoints/       <stage>-<step>/ with the engine's state and manifest.json
 *     initial-model/     the model with random weights, in a recipe that starts from them
 *     model/             the trained policy in the Hugging Face layout
 *     summary.json       before and after; its presence says that the run is complete
 *     report.html        the page that people read
 *     trackers/          what trackers note for a resume (only where the recipe names any, as those two:)
 *     tensorboard/       event files; swanlog/: SwanLab's run folder
 *
 * What it is not: it does not know what a recipe means nor what a state holds. Reading a run, also a live one, is
 * `run-reader.ts`.
 */

import { accessSync, constants, existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { RunDirError } from "../errors.ts";
import { systemReason, TEMPORARY_PREFIX, writeWhole } from "../files.ts";
import {
  type Checkpoint,
  type CheckpointFinding,
  checkpointDamage,
  listCheckpoints,
  removeOldCheckpoints,
  writeCheckpoint,
} from "./checkpoint.ts";
import { CompletionSamples } from "./completion-samples.ts";
import { currentEnvironment, type Environment } from "./environment.ts";
import { LogFile } from "./log-file.ts";
import { requireSameRecipe } from "./recipe-differences.ts";
import { readRecipeFile, recipeHash, recipeToYaml } from "./recipe-file.ts";
import { logFileName, PINNED_LOGS, type PinnedLog } from "./records.ts";
import { findResumption, type Resumption, removeUnfinished } from "./resumption.ts";
import { RolloutLog } from "./rollout-log.ts";
import { LOCK_NAME, lockRun } from "./run-lock.ts";
import { readRun } from "./run-reader.ts";
import { checkpointName, type RolloutFiles, RUN_FILES, type RunLogs, type RunStore } from "./run-store.ts";
import type { CheckpointRequest, StageWriter } from "./stage-writer.ts";
import { namesGivenUp } from "./states-elsewhere.ts";
import { writeWholeFolder } from "./whole-folder.ts";

export type { StageWriter } from "./stage-writer.ts";

/** Where a run is computed. */
interface RunPlace {
  readonly device?: string | undefined;
}

/** Logs of one file each. */
const PLAIN_LOGS = ["metrics", "evaluations", "timings"] as const;

/** An open run directory: hold it while training, and close it to release the lock. */
export class RunDirectory implements RunStore {
  readonly path: string;
  /** The checkpoint to continue from; undefined in a fresh run, and where none was made before the interruption. */
  readonly resumedFrom: Checkpoint | undefined;
  /** What a resume found damaged and left out, in sentences for the user. */
  readonly warnings: readonly string[];
  /** Made by `create` in this process, not resumed. */
  readonly isNew: boolean;
  /** SHA-256 of the resolved recipe. */
  readonly recipeHash: string;
  private readonly recipe: unknown;
  private readonly environment: Environment;
  private readonly release: () => void;
  private readonly logs: Readonly<Record<Exclude<PinnedLog, "rollouts">, LogFile>>;
  private readonly rollouts: RolloutLog;
  private readonly samples: CompletionSamples;
  private readonly diary: LogFile;
  private readonly openedAt = performance.now();
  /** The topmost directory that `create` had to make. */
  private readonly firstMade: string | undefined;
  private serial: number;

  private constructor(
    path: string,
    recipe: unknown,
    release: () => void,
    found: Resumption & {
      readonly isNew: boolean;
      readonly environment: Environment;
      readonly firstMade?: string | undefined;
    },
  ) {
    this.path = path;
    this.environment = found.environment;
    this.recipe = recipe;
    this.recipeHash = recipeHash(recipe);
    this.release = release;
    this.resumedFrom = found.resumedFrom;
    this.warnings = found.warnings;
    this.isNew = found.isNew;
    this.firstMade = found.firstMade;
    this.serial = found.resumedFrom?.manifest.serial ?? 0;
    const open = (log: PinnedLog) => new LogFile(join(path, logFileName(log)));
    this.logs = { metrics: open("metrics"), evaluations: open("evaluations"), timings: open("timings") };
    this.rollouts = new RolloutLog(path);
    this.samples = new CompletionSamples(path);
    this.diary = new LogFile(join(path, RUN_FILES.events));
  }

  /**
   * Starts a run in a directory that does not exist or is empty, and locks it. `device`: what this process computes it on.
   *
   * @throws RunDirError not empty, in use, not a directory, not writable
   */
  static async create(directory: string, recipe: unknown, { device }: RunPlace = {}): Promise<RunDirectory> {
    const path = resolve(directory);
    const environment = currentEnvironment(device);
    const firstMade = makeWritable(path);
    const release = lockRun(path);
    try {
      requireFreeForRun(path);
      await removeUnfinished(path);
      await writeWhole(join(path, RUN_FILES.recipe), recipeToYaml(recipe));
      mkdirSync(join(path, RUN_FILES.checkpoints));
      const run = new RunDirectory(path, recipe, release, {
        resumedFrom: undefined,
        warnings: [],
        isNew: true,
        environment,
        firstMade,
      });
      run.event("started", { recipeHash: run.recipeHash, ...(device !== undefined && { device }) });
      return run;
    } catch (error) {
      release();
      removeIfEmpty(path, firstMade);
      throw error;
    }
  }

  /**
   * Locks the directory of an interrupted run, finds its newest sound checkpoint (`resumption.ts`), and cuts the logs back
   * to it. `device`: what this process computes it on; where the checkpoint was made on another one, `warnings` say so.
   *
   * @throws RunDirError no run there, complete already, in use, not writable, begun with another recipe, or no checkpoint
   * of it is sound
   */
  static async resume(directory: string, recipe: unknown, { device }: RunPlace = {}): Promise<RunDirectory> {
    const path = resolve(directory);
    const environment = currentEnvironment(device);
    const recipePath = join(path, RUN_FILES.recipe);
    if (!existsSync(recipePath)) {
      throw new RunDirError(
        `${path} has no ${RUN_FILES.recipe}: there is no run to resume. Start one without --resume.`,
      );
    }
    requireWritable(path);
    const release = lockRun(path);
    try {
      if (existsSync(join(path, RUN_FILES.summary))) {
        throw new RunDirError(
          `The run in ${path} is complete; nothing is left to resume. See ${RUN_FILES.report} there.`,
        );
      }
      requireSameRecipe(path, readRecipeFile(recipePath), recipe);
      const checkpoints = join(path, RUN_FILES.checkpoints);
      mkdirSync(checkpoints, { recursive: true });
      await removeUnfinished(path, checkpoints);
      const found = await findResumption(path, checkpoints, { recipeHash: recipeHash(recipe), environment });
      const run = new RunDirectory(path, recipe, release, { ...found, isNew: false, environment });
      run.rollouts.pin(await run.pinnedRollouts());
      const pinned = found.resumedFrom?.manifest;
      for (const log of PLAIN_LOGS) run.logs[log].truncate(pinned?.logBytes[log] ?? 0);
      await run.rollouts.cutBack({ file: pinned?.rolloutFile ?? 1, bytes: pinned?.logBytes.rollouts ?? 0 });
      run.samples.cutBack(pinned?.sampleBytes ?? { all: 0, solved: 0 });
      run.diary.dropPartialLine();
      const from = found.resumedFrom?.name ?? null;
      run.event("resumed", { from, ...(device !== undefined && { device }), warnings: found.warnings });
      return run;
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Seconds of work on this run up to the checkpoint it was resumed from, and since it was opened. */
  get seconds(): number {
    return (this.resumedFrom?.manifest.seconds ?? 0) + (performance.now() - this.openedAt) / 1000;
  }

  /** How rollouts are kept in files, before the first one is written. */
  keepRolloutsAs(files: RolloutFiles): void {
    this.rollouts.keepAs(files);
  }

  /** The writer of one stage's lines. */
  stage(stage: string): StageWriter {
    return {
      metrics: (row) => this.logs.metrics.append([{ stage, ...row }]),
      rollouts: (rows) => this.rollouts.append(rows.map((row) => ({ stage, ...row }))),
      samples: ({ all, solved }) => {
        this.samples.append("all", all);
        this.samples.append("solved", solved);
      },
      evaluation: (record) => this.logs.evaluations.append([{ stage, ...record }]),
      timing: (row) => this.logs.timings.append([{ stage, ...row, resident_mib: residentMib() }]),
      event: (name, details) => this.event(name, { stage, ...details }),
    };
  }

  /** Appends to the diary. */
  event(name: string, details: Readonly<Record<string, unknown>> = {}): void {
    this.diary.append([{ at: new Date().toISOString(), event: name, ...details }]);
  }

  readLogs(): RunLogs {
    return readRun(this.path);
  }

  /**
   * Makes a checkpoint: `write` puts the state into the folder it is given. Logs are on the disk before it counts. One that
   * is there already (Ctrl-C just after a checkpoint) is not made again, so that there is no moment without it.
   */
  async saveCheckpoint(request: CheckpointRequest, write: (directory: string) => Promise<void>): Promise<Checkpoint> {
    for (const log of PLAIN_LOGS) this.logs[log].sync();
    this.rollouts.sync();
    this.samples.sync();
    const sampleBytes = this.samples.sizeBytes;
    const { file: rolloutFile, bytes } = this.rollouts.position;
    const logBytes = {
      metrics: this.logs.metrics.sizeBytes,
      rollouts: bytes,
      evaluations: this.logs.evaluations.sizeBytes,
      timings: this.logs.timings.sizeBytes,
    };
    const parent = join(this.path, RUN_FILES.checkpoints);
    const { stage, step, trainerState, stageComplete, keep, best, elsewhere } = request;
    const [newest] = await listCheckpoints(parent);
    if (newest !== undefined && "manifest" in newest) {
      const state = { stage, step, stageComplete, trainerState, logBytes, rolloutFile, sampleBytes };
      if (isDeepStrictEqual({ ...newest.manifest, ...state }, newest.manifest)) return newest;
    }
    this.serial++;
    const replaced = await namesGivenUp(elsewhere, join(parent, checkpointName(stage, step)));
    const checkpoint = await writeCheckpoint(
      parent,
      {
        serial: this.serial,
        stage,
        step,
        stageComplete,
        trainerState: { ...trainerState },
        recipeHash: this.recipeHash,
        seconds: this.seconds,
        environment: this.environment,
        logBytes,
        rolloutFile,
        sampleBytes,
      },
      async (unfinished) => {
        await write(unfinished);
        await writeWhole(join(unfinished, RUN_FILES.recipe), recipeToYaml(this.recipe));
      },
    );
    await removeOldCheckpoints(await listCheckpoints(parent), { keep: Math.max(1, keep), best, elsewhere, replaced });
    this.rollouts.pin(await this.pinnedRollouts());
    this.event("checkpoint", { stage, step, stageComplete });
    return checkpoint;
  }

  /** The files of rollouts that checkpoints point into. */
  private async pinnedRollouts(): Promise<number[]> {
    const found = await listCheckpoints(join(this.path, RUN_FILES.checkpoints));
    return found.flatMap((one) => ("manifest" in one ? [one.manifest.rolloutFile] : []));
  }

  /** The checkpoint of that name, all of its files checked, or what is wrong with it. */
  async soundCheckpoint(name: string): Promise<CheckpointFinding> {
    const parent = join(this.path, RUN_FILES.checkpoints);
    const finding = (await listCheckpoints(parent)).find((candidate) => candidate.name === name);
    if (finding === undefined) return { directory: join(parent, name), name, damage: "it is not there" };
    const damage = "manifest" in finding ? await checkpointDamage(finding) : finding.damage;
    return damage === undefined ? finding : { directory: finding.directory, name, damage };
  }

  /** Writes a folder of the run, e.g. `model`, in one piece. */
  async writeFolder(name: string, write: (directory: string) => Promise<void>): Promise<string> {
    const path = join(this.path, name);
    await writeWholeFolder(path, write);
    return path;
  }

  /** Writes a text file of the run, e.g. `trl.yaml`, in one piece. */
  async writeText(name: string, text: string): Promise<void> {
    await writeWhole(join(this.path, name), text);
  }

  /** Marks the run as complete. */
  async finish(summary: object): Promise<void> {
    this.rollouts.finish();
    await writeWhole(join(this.path, RUN_FILES.summary), `${JSON.stringify(summary, null, 2)}\n`);
    this.event("finished", { seconds: this.seconds });
  }

  /** Closes the logs and gives the lock back. */
  close(): void {
    for (const log of PLAIN_LOGS) this.logs[log].close();
    this.rollouts.close();
    this.samples.close();
    this.diary.close();
    this.release();
  }

  /** For a run that fails before its first step: closes, and leaves the disk as `create` found it. */
  discard(): void {
    this.close();
    const names = [...Object.values(RUN_FILES), ...PINNED_LOGS.map(logFileName)];
    for (const name of names) rmSync(join(this.path, name), { recursive: true, force: true });
    removeIfEmpty(this.path, this.firstMade);
  }
}

/** Whether `path` can be given to `RunDirectory.create`: it does not exist, or is an empty directory. */
export function isFreeForRun(path: string): boolean {
  return !existsSync(path) || (statSync(path).isDirectory() && contentOf(path).length === 0);
}

/** What is in a directory, apart from what a run leaves that was killed before it wrote its recipe. */
function contentOf(path: string): string[] {
  return readdirSync(path).filter((name) => name !== LOCK_NAME && !name.startsWith(TEMPORARY_PREFIX));
}

/** Removes `path` and the directories above it up to `top`, as long as they are empty. */
function removeIfEmpty(path: string, top: string | undefined): void {
  if (top === undefined) return;
  for (let directory = path; readdirSync(directory).length === 0; directory = dirname(directory)) {
    rmdirSync(directory);
    if (directory === top) return;
  }
}

function requireFreeForRun(path: string): void {
  if (isFreeForRun(path)) return;
  if (!statSync(path).isDirectory()) throw new RunDirError(`${path} is a file; a run needs a directory.`);
  throw notEmpty(path, contentOf(path));
}

function notEmpty(path: string, present: readonly string[]): RunDirError {
  const names = present.slice(0, 3).join(", ") + (present.length > 3 ? ", …" : "");
  const isRun = present.includes(RUN_FILES.recipe);
  const complete = present.includes(RUN_FILES.summary);
  const hint =
    isRun && !complete ? "To continue the run that is there, add --resume. To start anew, " : "To start a run, ";
  return new RunDirError(`${path} is not empty (${names}). ${hint}choose another directory with --out.`);
}

/** Makes the directory where it is missing; returns the topmost directory that had to be made. */
function makeWritable(path: string): string | undefined {
  if (existsSync(path)) {
    requireFreeForRun(path);
    requireWritable(path);
    return undefined;
  }
  try {
    return mkdirSync(path, { recursive: true });
  } catch (error) {
    throw notWritable(path, error);
  }
}

function requireWritable(path: string): void {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw notWritable(path, error);
  }
}

function notWritable(path: string, error: unknown): RunDirError {
  const reason = systemReason(error);
  if (reason === undefined) throw error;
  return new RunDirError(`Cannot write to ${path}: ${reason}. Choose a directory of your own with --out.`);
}

/** Memory of this process that is not swapped out, in MiB. */
function residentMib(): number {
  return Math.round(process.memoryUsage.rss() / 2 ** 20);
}
