/**
 * An index over the rollouts of a run: of each row the numbers that are filtered and sorted by, its texts, and where the
 * whole row stands in which file.
 *
 * Plain files cannot be searched in 200 ms: reading 100,000 rows anew takes seconds. A database (SQLite's bindings compile
 * or download at installation, `node:sqlite` is not in Node 20) would keep a second copy beside the run that has to follow
 * a resume which cuts the files back. Columns in memory are built once, at about 100,000 rows a second, follow the
 * files as they grow, and answer in milliseconds (docs/dashboard.md). It takes 100 bytes a row beside its texts.
 *
 * What it is not: `rollout-query.ts` filters and sorts; `rollout-row.ts` reads a whole row.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { logFileName } from "../run/records.ts";
import { type FullFile, fullFiles } from "../run/rollout-log.ts";
import { rolloutsFromParquet } from "../run/rollout-parquet.ts";
import { GrowingColumn } from "./growing-column.ts";
import { LogTail, type TailRow } from "./log-tail.ts";

/** Characters of completions that are kept in memory; those beyond it are found by their numbers, not by their text. */
const MAX_TEXT = 2 ** 28;

/** What is known of a row in numbers. `solved`: 1, 0, or 2 where nothing judged it; `finish`: 1 where it was cut off. */
const NUMBERS = ["iteration", "promptId", "sample", "reward", "advantage", "length"] as const;

/** Names a column that rows can be sorted by. */
export type NumberColumn = (typeof NUMBERS)[number];

/** A file of rollouts, and which rows are its. */
export interface Segment {
  /** Its number: full files count from 1, the one that is written is the next. */
  readonly file: number;
  path: string;
  format: "jsonl" | "parquet";
  /** Nothing is written to it any more. */
  isFull: boolean;
  readonly firstRow: number;
  readonly tail: LogTail;
}

/** All rows of a run so far. Rows are numbered in the order in which they were sampled. */
export class RolloutIndex {
  readonly directory: string;
  readonly stages: string[] = [];
  readonly segments: Segment[] = [];
  readonly numbers: Readonly<Record<NumberColumn, GrowingColumn>>;
  readonly solved = new GrowingColumn(new Uint8Array(0));
  readonly cut = new GrowingColumn(new Uint8Array(0));
  readonly stage = new GrowingColumn(new Uint8Array(0));
  /** Scores of each reward; NaN where it abstained, or was not asked. */
  readonly scores = new Map<string, GrowingColumn>();
  /** Where a row begins and ends in its file, where that is of JSON Lines. */
  readonly starts = new GrowingColumn(new Float64Array(0));
  readonly ends = new GrowingColumn(new Float64Array(0));
  /** Which of `prompts` a row answers. */
  readonly prompt = new GrowingColumn(new Int32Array(0));
  readonly prompts: string[] = [];
  /** undefined beyond `MAX_TEXT`. */
  readonly completions: (string | undefined)[] = [];
  /** Rows before this one are in files that were removed. */
  firstKept = 0;
  private misshapen = 0;
  /** Changes with every change of the rows. */
  version = 0;
  private readonly promptIds = new Map<string, number>();
  private textLength = 0;
  private refreshing: Promise<void> | undefined;

  constructor(directory: string) {
    this.directory = directory;
    const float = () => new GrowingColumn(new Float64Array(0));
    this.numbers = {
      iteration: float(),
      promptId: float(),
      sample: float(),
      reward: float(),
      advantage: float(),
      length: float(),
    };
  }

  get length(): number {
    return this.starts.length;
  }

  /** Whether every completion's text is in memory. */
  get hasAllTexts(): boolean {
    return this.textLength <= MAX_TEXT;
  }

  /** Lines that could not be read, or are no rollouts. */
  get damaged(): number {
    return this.segments.reduce((total, { tail }) => total + tail.damaged, this.misshapen);
  }

  /** Follows the files. Calls that overlap share one pass. */
  refresh(): Promise<void> {
    this.refreshing ??= this.follow().finally(() => {
      this.refreshing = undefined;
    });
    return this.refreshing;
  }

  /** The segment that a row is in. */
  segmentOf(row: number): Segment {
    return this.segments.findLast(({ firstRow }) => firstRow <= row)!;
  }

  private async follow(): Promise<void> {
    const before = this.length;
    const full = existsSync(this.directory) ? fullFiles(this.directory) : [];
    const current = (full.at(-1)?.file ?? 0) + 1;
    // A resume goes back into a file that was full, and removes those behind it.
    const lost = this.segments.findIndex((segment) => segment.isFull && segment.file >= current);
    if (lost >= 0) this.cutBack(lost);
    for (const one of full) await this.followFull(one);
    await this.followCurrent(current);
    this.firstKept = this.segments.find(({ file }) => file >= (full[0]?.file ?? current))?.firstRow ?? 0;
    if (this.length !== before) this.version++;
  }

  /** A full file: what was not read of it while it was written, under its new name. */
  private async followFull({ file, path, format }: FullFile): Promise<void> {
    let segment = this.segments.find((one) => one.file === file);
    if (segment?.isFull) {
      // Turned into Parquet since: the rows are the same.
      segment.path = path;
      segment.format = format;
      return;
    }
    segment ??= this.begin(file, path);
    segment.path = path;
    segment.tail.path = path;
    segment.format = format;
    segment.isFull = true;
    if (format === "jsonl") return this.readLines(segment);
    const known = this.length - segment.firstRow;
    const rows = await rolloutsFromParquet(path);
    for (const row of rows.slice(known)) this.add({ value: row, start: 0, end: 0 });
  }

  private async followCurrent(file: number): Promise<void> {
    const path = join(this.directory, logFileName("rollouts"));
    const segment = this.segments.find((one) => one.file === file) ?? this.begin(file, path);
    await this.readLines(segment);
  }

  private begin(file: number, path: string): Segment {
    const tail = new LogTail(path);
    const segment: Segment = { file, path, format: "jsonl", isFull: false, firstRow: this.length, tail };
    this.segments.push(segment);
    return segment;
  }

  private async readLines(segment: Segment): Promise<void> {
    await segment.tail.pollEach(
      (row) => this.add(row),
      () => {
        // Of the last segment only: nothing is behind it.
        this.truncate(segment.firstRow);
      },
    );
  }

  private cutBack(segment: number): void {
    this.truncate(this.segments[segment]!.firstRow);
    this.segments.length = segment;
  }

  private truncate(length: number): void {
    const columns = [this.solved, this.cut, this.stage, this.starts, this.ends, this.prompt, ...this.scores.values()];
    for (const column of [...columns, ...Object.values(this.numbers)]) column.truncate(length);
    for (let row = length; row < this.completions.length; row++) this.textLength -= this.completions[row]?.length ?? 0;
    this.completions.length = Math.min(length, this.completions.length);
    this.version++;
  }

  private add({ value, start, end }: TailRow): void {
    const { stage, iteration, promptId, completion, rewards, lengthTokens } = value;
    // A row that lacks something stays, with nothing there: rows of a Parquet file must keep their places.
    if (typeof stage !== "string" || typeof completion !== "string" || !Number.isInteger(iteration)) this.misshapen++;
    const row = this.length;
    this.starts.push(start);
    this.ends.push(end);
    this.stage.push(this.stageId(typeof stage === "string" ? stage : "?"));
    this.numbers.iteration.push(numeric(iteration));
    this.numbers.promptId.push(numeric(promptId));
    this.numbers.sample.push(numeric(value.sample));
    this.numbers.reward.push(numeric(value.reward));
    this.numbers.advantage.push(numeric(value.advantage));
    this.numbers.length.push(numeric(lengthTokens));
    this.solved.push(typeof value.solved === "boolean" ? Number(value.solved) : 2);
    this.cut.push(Number(value.finishReason === "length"));
    this.prompt.push(this.promptIdOf(typeof value.prompt === "string" ? value.prompt : ""));
    this.addScores(row, typeof rewards === "object" && rewards !== null ? rewards : {});
    const text = typeof completion === "string" ? completion : "";
    this.textLength += text.length;
    this.completions.push(this.textLength <= MAX_TEXT ? text : undefined);
  }

  private addScores(row: number, rewards: object): void {
    for (const [name, result] of Object.entries(rewards)) {
      let column = this.scores.get(name);
      if (column === undefined) {
        column = new GrowingColumn(new Float64Array(0));
        for (let i = 0; i < row; i++) column.push(Number.NaN);
        this.scores.set(name, column);
      }
      column.push(numeric((result as { score?: unknown } | null)?.score));
    }
    for (const column of this.scores.values()) if (column.length === row) column.push(Number.NaN);
  }

  private stageId(stage: string): number {
    const known = this.stages.indexOf(stage);
    // A byte holds it; a run with more stages shows them as one.
    return known >= 0 ? known : Math.min(this.stages.push(stage) - 1, 255);
  }

  private promptIdOf(prompt: string): number {
    let id = this.promptIds.get(prompt);
    if (id === undefined) {
      id = this.prompts.push(prompt) - 1;
      this.promptIds.set(prompt, id);
    }
    return id;
  }
}

function numeric(value: unknown): number {
  return typeof value === "number" ? value : Number.NaN;
}
