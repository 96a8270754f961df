/**
 * Which rollouts match, and in which order: one pass over the columns of a `RolloutIndex` for each condition that is
 * given. Orders are kept until rows are added, so that a filter that changes sorts nothing.
 */

import { RunDirError } from "../errors.ts";
import type { NumberColumn, RolloutIndex } from "./rollout-index.ts";

/** From and to, both included; either may be left out. */
export interface NumberRange {
  readonly min?: number | undefined;
  readonly max?: number | undefined;
}

/** What is asked for; what is left out lets everything through. */
export interface RolloutFilter {
  readonly stage?: string | undefined;
  readonly iteration?: NumberRange | undefined;
  /** Index of the problem in its stage's stream. */
  readonly promptId?: number | undefined;
  readonly solved?: boolean | undefined;
  readonly finishReason?: "stop" | "length" | undefined;
  readonly reward?: NumberRange | undefined;
  readonly advantage?: NumberRange | undefined;
  readonly length?: NumberRange | undefined;
  /** A range of one reward's score. */
  readonly part?: (NumberRange & { readonly name: string }) | undefined;
  /** Found in the prompt or the completion, whatever the case of letters. */
  readonly text?: string | undefined;
  /** `text` is a regular expression of JavaScript, with the flag u, and i unless it has a capital letter. */
  readonly isPattern?: boolean | undefined;
}

/** A column to sort by, or `score:NAME`; rows without a value come last. */
export interface RolloutOrder {
  readonly by: string;
  readonly descending: boolean;
}

/** Rows that match, in order, and what they come to. */
export interface RolloutMatches {
  readonly rows: Uint32Array;
  readonly solved: number;
  /** Rows of which it is known whether they are solved. */
  readonly judged: number;
  readonly meanReward: number | null;
  readonly meanLength: number | null;
}

/** Runs queries on one index. */
export class RolloutQueries {
  private readonly index: RolloutIndex;
  private version = -1;
  private readonly orders = new Map<string, Uint32Array>();
  /** Which rows the newest filter lets through: another order of them looks at no text again. */
  private filtered: { readonly key: string; readonly keep: Uint8Array } | undefined;
  private last: { readonly key: string; readonly matches: RolloutMatches } | undefined;

  constructor(index: RolloutIndex) {
    this.index = index;
  }

  /** Throws RunDirError for a pattern that is no regular expression, or a column that there is not. */
  find(filter: RolloutFilter, order: RolloutOrder): RolloutMatches {
    if (this.version !== this.index.version) {
      this.version = this.index.version;
      this.orders.clear();
      this.last = undefined;
      this.filtered = undefined;
    }
    const key = JSON.stringify([filter, order, this.index.firstKept]);
    if (this.last?.key !== key) this.last = { key, matches: this.search(filter, order) };
    return this.last.matches;
  }

  private search(filter: RolloutFilter, order: RolloutOrder): RolloutMatches {
    const keep = this.kept(filter);
    const sorted = this.order(order);
    const rows = new Uint32Array(sorted.length);
    let found = 0;
    for (let i = 0; i < sorted.length; i++) {
      const row = sorted[order.descending ? sorted.length - 1 - i : i]!;
      if (keep[row] === 1) rows[found++] = row;
    }
    const matched = rows.subarray(0, found);
    return {
      rows: order.descending ? missingLast(this.index, matched, order.by) : matched,
      ...totals(this.index, matched),
    };
  }

  private kept(filter: RolloutFilter): Uint8Array {
    const key = JSON.stringify([filter, this.index.firstKept]);
    if (this.filtered?.key !== key) this.filtered = { key, keep: matching(this.index, filter) };
    return this.filtered.keep;
  }

  /** All rows, ascending; equal ones stay in the order in which they were sampled. */
  private order({ by }: RolloutOrder): Uint32Array {
    let order = this.orders.get(by);
    if (order === undefined) {
      order = Uint32Array.from({ length: this.index.length }, (_, i) => i);
      const values = by === "row" ? undefined : columnOf(this.index, by);
      if (values !== undefined) {
        const keys = Float64Array.from(values, (value) => (Number.isNaN(value) ? Number.MAX_VALUE : value));
        order.sort((a, b) => keys[a]! - keys[b]! || a - b);
      }
      this.orders.set(by, order);
    }
    return order;
  }
}

/** Descending order has rows without a value first: they go to the end. */
function missingLast(index: RolloutIndex, rows: Uint32Array, by: string): Uint32Array {
  if (by === "row") return rows;
  const values = columnOf(index, by);
  const missing = rows.filter((row) => Number.isNaN(values[row]!));
  if (missing.length === 0) return rows;
  const sorted = new Uint32Array(rows.length);
  sorted.set(rows.filter((row) => !Number.isNaN(values[row]!)));
  sorted.set(missing, rows.length - missing.length);
  return sorted;
}

function columnOf(index: RolloutIndex, by: string): ArrayLike<number> {
  if (by === "solved") return index.solved.values;
  const column = by.startsWith("score:")
    ? index.scores.get(by.slice("score:".length))
    : index.numbers[by as NumberColumn];
  if (column === undefined) {
    const names = [...Object.keys(index.numbers), "solved", ...[...index.scores.keys()].map((name) => `score:${name}`)];
    throw new RunDirError(`Rollouts cannot be sorted by ${JSON.stringify(by)}; there are ${names.join(", ")}.`);
  }
  return column.values;
}

/** 1 for each row that matches. */
function matching(index: RolloutIndex, filter: RolloutFilter): Uint8Array {
  const keep = new Uint8Array(index.length).fill(1);
  keep.fill(0, 0, index.firstKept);
  const only = (values: ArrayLike<number>, value: number) => {
    for (let row = 0; row < keep.length; row++) if (values[row] !== value) keep[row] = 0;
  };
  const within = (values: ArrayLike<number>, { min, max }: NumberRange) => {
    if (min === undefined && max === undefined) return;
    const [low, high] = [min ?? Number.NEGATIVE_INFINITY, max ?? Number.POSITIVE_INFINITY];
    // Written so that NaN, which is no value, does not pass.
    for (let row = 0; row < keep.length; row++) if (!(values[row]! >= low && values[row]! <= high)) keep[row] = 0;
  };
  if (filter.stage !== undefined) only(index.stage.values, index.stages.indexOf(filter.stage));
  if (filter.promptId !== undefined) only(index.numbers.promptId.values, filter.promptId);
  if (filter.solved !== undefined) only(index.solved.values, Number(filter.solved));
  if (filter.finishReason !== undefined) only(index.cut.values, Number(filter.finishReason === "length"));
  if (filter.iteration) within(index.numbers.iteration.values, filter.iteration);
  if (filter.reward) within(index.numbers.reward.values, filter.reward);
  if (filter.advantage) within(index.numbers.advantage.values, filter.advantage);
  if (filter.length) within(index.numbers.length.values, filter.length);
  if (filter.part) within(columnOf(index, `score:${filter.part.name}`), filter.part);
  if (filter.text) keepText(index, filter.text, filter.isPattern === true, keep);
  return keep;
}

/** Prompts are looked at once each, and completions only where nothing else has ruled their row out. */
function keepText(index: RolloutIndex, text: string, isPattern: boolean, keep: Uint8Array): void {
  const test = textTest(text, isPattern);
  const prompts = index.prompts.map((prompt) => test(prompt));
  for (let row = 0; row < keep.length; row++) {
    if (keep[row] === 0 || prompts[index.prompt.at(row)]) continue;
    const completion = index.completions[row];
    if (completion === undefined || !test(completion)) keep[row] = 0;
  }
}

function textTest(text: string, isPattern: boolean): (text: string) => boolean {
  const hasCapital = /\p{Lu}/u.test(text);
  if (!isPattern && (hasCapital || text.toLowerCase() === text.toUpperCase())) return (one) => one.includes(text);
  const source = isPattern ? text : text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  const flags = hasCapital ? "u" : "iu";
  try {
    const pattern = new RegExp(source, flags);
    return (one) => pattern.test(one);
  } catch (error) {
    const reason = error instanceof Error ? error.message.replace(/^Invalid regular expression: /, "") : String(error);
    throw new RunDirError(`${JSON.stringify(text)} is not a regular expression of JavaScript: ${reason}.`);
  }
}

function totals(index: RolloutIndex, rows: Uint32Array): Omit<RolloutMatches, "rows"> {
  let solved = 0;
  let judged = 0;
  let reward = 0;
  let rewarded = 0;
  let length = 0;
  for (const row of rows) {
    const verdict = index.solved.at(row);
    if (verdict !== 2) judged++;
    if (verdict === 1) solved++;
    const own = index.numbers.reward.at(row);
    if (!Number.isNaN(own)) {
      reward += own;
      rewarded++;
    }
    length += index.numbers.length.at(row) || 0;
  }
  return {
    solved,
    judged,
    meanReward: rewarded === 0 ? null : reward / rewarded,
    meanLength: rows.length === 0 ? null : length / rows.length,
  };
}
