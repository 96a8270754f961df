/** The horizontal axis of curves: optimizer steps, tokens that were seen, or seconds in steps. */

import type { Columns } from "./shown-run.ts";

/** Which. */
export type AxisKind = "step" | "tokens" | "time";

/** The columns that an axis needs. */
export function axisNames(kind: AxisKind): string[] {
  return kind === "tokens" ? ["num_tokens"] : kind === "time" ? ["step_time"] : [];
}

/** An axis over the rows of one stage. */
export interface Axis {
  /** The places of the rows of a table. */
  column(columns: Columns): readonly number[];
  /** The place of an optimizer step. */
  step(step: number): number;
}

/** The axis; by steps where the run does not have what it needs. */
export function axisOf(kind: AxisKind, metrics: Columns, timings: Columns): Axis {
  const known =
    kind === "tokens"
      ? { steps: metrics.steps, places: rising(metrics.values.get("num_tokens")) }
      : { steps: timings.steps, places: summed(timings.values.get("step_time")) };
  if (kind === "step" || known.places.length === 0) return { column: ({ steps }) => steps, step: (step) => step };
  const place = new Map(known.steps.map((step, i) => [step, known.places[i] ?? 0]));
  const at = (step: number): number => {
    const exact = place.get(step);
    if (exact !== undefined) return exact;
    // Between two rows, or before the first: the row before it.
    const before = lastNotAbove(known.steps, step);
    return before < 0 ? 0 : known.places[before]!;
  };
  return { column: ({ steps }) => steps.map(at), step: at };
}

function rising(column: readonly (number | null)[] = []): number[] {
  let last = 0;
  return column.map((value) => {
    last = value ?? last;
    return last;
  });
}

function summed(column: readonly (number | null)[] = []): number[] {
  let total = 0;
  return column.map((value) => {
    total += value ?? 0;
    return total;
  });
}

/** Index of the last of rising `values` that is not above `value`; -1 where all are. */
function lastNotAbove(values: readonly number[], value: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
