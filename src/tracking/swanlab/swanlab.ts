/**
 * The tracker `swanlab`: a run folder as SwanLab writes it without its server (mode `offline`), which `swanlab sync` uploads.
 *
 *     RUN/swanlog/run-ID/run-ID.swanlab             everything, in one file that is only appended to
 *     RUN/swanlog/run-ID/files/config.yaml, …       the recipe, as SwanLab keeps it
 *
 * A session that ended left a record of how; the next one begins in its place, since SwanLab reads the first of them only.
 * No key is needed: it is `swanlab sync` that asks for one.
 */

import { existsSync } from "node:fs";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { stringify } from "yaml";
import { z } from "zod";
import { ConfigError } from "../../errors.ts";
import { writeFailure, writeWhole } from "../../files.ts";
import { RUN_FILES } from "../../run/run-store.ts";
import { completionsKey } from "../keys.ts";
import { type Place, trackerOf } from "../place.ts";
import type { Points, TextPoint, TrackedCompletion } from "../points.ts";
import { newRunId, readState, writeState } from "../state-file.ts";
import { defineTracker, type RunEnd, type TrackedRun } from "../tracker.ts";
import { FILE_HEADER, framedAt, runFileRecords } from "./log-file.ts";
import { type RunRecord, readRecord, recordBytes, type TextItem } from "./records.ts";

const NAME = "swanlab";
const SUMMARY_TAG = "run/summary";

const stateSchema = z.strictObject({ id: z.string(), logdir: z.string().nullable(), directory: z.string() });

export const swanlab = defineTracker({
  name: NAME,
  summary: "a run folder for swanlab sync",
  shape: () => ({
    project: z.string().min(1).optional().describe("the project there; the recipe's name if absent"),
    workspace: z.string().min(1).optional().describe("the workspace there; the user's own if absent"),
    experimentName: z.string().min(1).optional().describe("what the run is called; its directory's name if absent"),
    logdir: z
      .string()
      .min(1)
      .optional()
      .describe("a folder that gets the run's folder, relative to where aha is started; RUN/swanlog if absent"),
    completions: completionsKey(),
  }),
  open: async (run, options) => {
    const { project = run.name, workspace = "", experimentName: name = basename(run.directory) } = options;
    const { logdir = null, completions } = options;
    const noted = await readState(run.directory, NAME, stateSchema);
    const id = noted?.id ?? newRunId().slice(0, 16);
    const parent = logdir === null ? join(run.directory, RUN_FILES.swanlab) : resolve(logdir);
    // A run that is resumed from another working directory goes on where it was.
    const directory =
      noted !== undefined && logdir !== null && noted.logdir === logdir ? noted.directory : join(parent, `run-${id}`);
    try {
      await mkdir(join(directory, "files"), { recursive: true });
    } catch (error) {
      throw writeFailure(directory, error);
    }
    await writeState(run.directory, NAME, { id, logdir, directory });
    const place = new RunFolder(directory, run, { id, project, workspace, name });
    await place.requireOwn();
    return trackerOf(place, run, { name: NAME, completions, isBehind: run.resumed !== undefined });
  },
});

interface About {
  readonly id: string;
  readonly project: string;
  readonly workspace: string;
  readonly name: string;
}

class RunFolder implements Place {
  private readonly directory: string;
  private readonly path: string;
  private readonly run: TrackedRun;
  private readonly about: About;
  private file: FileHandle | undefined;
  /** Where the next record begins. */
  private end = 0;
  /** Of the last record that is counted. */
  private number = 0;
  private columns = new Set<string>();

  constructor(directory: string, run: TrackedRun, about: About) {
    this.directory = directory;
    this.path = join(directory, `run-${about.id}.swanlab`);
    this.run = run;
    this.about = about;
  }

  /** Throws ConfigError where the file is another run's, or none of SwanLab's. */
  async requireOwn(): Promise<void> {
    if (!existsSync(this.path)) return;
    for await (const { data } of runFileRecords(this.path)) {
      if (readRecord(data)?.id === this.about.id) return;
      throw new ConfigError(`tracker ${NAME}: ${this.path} belongs to another run. Choose another folder with logdir.`);
    }
  }

  async lastSteps(): Promise<ReadonlyMap<string, number>> {
    await this.close();
    const held = new Map<string, number>();
    this.end = 0;
    this.number = 0;
    this.columns = new Set();
    if (!existsSync(this.path)) return held;
    for await (const { data, begin, end } of runFileRecords(this.path)) {
      const record = readRecord(data);
      if (record === undefined) break;
      this.end = record.kind === "finish" ? begin : end;
      this.number = Math.max(this.number, record.number);
      if (record.kind === "column") this.columns.add(record.key);
      if (record.kind === "scalar" || record.kind === "media") held.set(record.key, record.step);
    }
    return held;
  }

  async write(points: readonly Points[]): Promise<void> {
    await this.append(points.flatMap((some) => this.records(some)));
  }

  async finish(end: RunEnd): Promise<void> {
    const at = Date.now();
    const records: RunRecord[] = [];
    if (end.state === "finished" && !this.columns.has(SUMMARY_TAG)) {
      const items = [{ text: JSON.stringify(end.summary, undefined, 2), caption: "summary.json" }];
      records.push(...this.newColumn(SUMMARY_TAG, true, at), { kind: "texts", at, key: SUMMARY_TAG, step: 0, items });
    }
    const error = end.state === "finished" ? "" : end.reason;
    await this.append([...records, { kind: "finish", at, state: end.state, error }]);
  }

  async close(): Promise<void> {
    const { file } = this;
    this.file = undefined;
    await file?.close();
  }

  private records({ step, at, scalars, texts }: Points): RunRecord[] {
    const records: RunRecord[] = [];
    for (const [key, value] of scalars) {
      records.push(...this.newColumn(key, false, at), { kind: "scalar", at, key, step, value });
    }
    for (const point of texts) {
      const key = point.tag;
      records.push(...this.newColumn(key, true, at), { kind: "texts", at, key, step, items: itemsOf(point) });
    }
    return records;
  }

  private newColumn(key: string, isText: boolean, at: number): RunRecord[] {
    if (this.columns.has(key)) return [];
    this.columns.add(key);
    return [{ kind: "column", at, key, isText }];
  }

  private async append(records: readonly RunRecord[]): Promise<void> {
    const all = [...(this.file === undefined ? await this.open() : []), ...records];
    const pieces: Uint8Array[] = [];
    let end = this.end;
    if (end === 0) {
      pieces.push(FILE_HEADER);
      end += FILE_HEADER.length;
    }
    for (const record of all) {
      const isOfRun = record.kind === "start" || record.kind === "save";
      const bytes = framedAt(end, recordBytes(isOfRun ? -1 : ++this.number, record));
      pieces.push(bytes);
      end += bytes.length;
    }
    await this.file!.appendFile(Buffer.concat(pieces));
    this.end = end;
  }

  /** Opens the file, cut back to its last whole record; what a new one begins with. */
  private async open(): Promise<RunRecord[]> {
    this.file = await open(this.path, "a");
    await this.file.truncate(this.end);
    if (this.end > 0) return [];
    const at = Date.now();
    const config = await this.saved("config", "config.yaml", configText(this.run.recipe), at);
    const about = { _version: 2, runtime: { os: `${process.platform} ${process.arch}`, command: "aha" } };
    const metadata = await this.saved("metadata", "swanlab-metadata.json", JSON.stringify(about), at);
    const question = this.run.recipe.question;
    const description = typeof question === "string" ? question : "";
    return [{ kind: "start", at, ...this.about, description }, config, metadata];
  }

  private async saved(name: "config" | "metadata", file: string, payload: string, at: number): Promise<RunRecord> {
    const path = join(this.directory, "files", file);
    await writeWhole(path, payload);
    return { kind: "save", at, name, path, payload };
  }
}

/** SwanLab's `config.yaml`: each key with its value, its place and a description. */
function configText(recipe: Readonly<Record<string, unknown>>): string {
  const entries = Object.entries(recipe).map(([key, value], sort) => [key, { desc: "", sort, value }]);
  return stringify(Object.fromEntries(entries));
}

function itemsOf(point: TextPoint): TextItem[] {
  return point.kind === "alarm"
    ? [{ text: point.message, caption: point.isRaised ? "raised" : "over" }]
    : point.completions.map(itemOf);
}

function itemOf({ prompt, completion, facts }: TrackedCompletion): TextItem {
  const caption = Object.entries(facts).map(([name, value]) => `${name} ${value}`);
  return { text: `--- prompt\n${prompt}\n--- completion\n${completion}`, caption: caption.join(", ") };
}
