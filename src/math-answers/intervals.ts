/** Intervals of real numbers, with bounds that are expressions, and what can be done with several of them. */

import type { Node } from "./tree.ts";

/** An end of an interval. */
export interface Bound {
  /** −∞ and ∞ have no expression. */
  readonly node: Node | undefined;
  readonly value: number;
}

/** An interval; `low` below `high`, or a point with both the same and closed. */
export interface Interval {
  readonly low: Bound;
  readonly high: Bound;
  readonly openLow: boolean;
  readonly openHigh: boolean;
}

/** −∞. */
export const LEAST: Bound = { node: undefined, value: Number.NEGATIVE_INFINITY };
/** ∞. */
export const MOST: Bound = { node: undefined, value: Number.POSITIVE_INFINITY };
/** All real numbers. */
export const EVERYTHING: Interval = { low: LEAST, high: MOST, openLow: true, openHigh: true };

/** An infinite end is open, whatever its bracket. */
export function interval(low: Bound, high: Bound, openLow: boolean, openHigh: boolean): Interval {
  return { low, high, openLow: openLow || low.node === undefined, openHigh: openHigh || high.node === undefined };
}

/** What is in both. */
export function meet(some: readonly Interval[], others: readonly Interval[]): readonly Interval[] {
  return some.flatMap((a) =>
    others.flatMap((b) => {
      const low = a.low.value > b.low.value || (a.low.value === b.low.value && a.openLow) ? a : b;
      const high = a.high.value < b.high.value || (a.high.value === b.high.value && a.openHigh) ? a : b;
      const part = { low: low.low, openLow: low.openLow, high: high.high, openHigh: high.openHigh };
      return isFilled(part) ? [part] : [];
    }),
  );
}

/** Whether there is a number in it. */
export const isFilled = ({ low, high, openLow, openHigh }: Interval): boolean =>
  low.value < high.value || (low.value === high.value && !openLow && !openHigh && low.node !== undefined);

/** The intervals without the others. */
export function without(whole: readonly Interval[], gaps: readonly Interval[]): readonly Interval[] {
  let rest = whole;
  for (const gap of gaps) {
    rest = rest.flatMap((part) => {
      if (gap.high.value < part.low.value || gap.low.value > part.high.value) return [part];
      const left = { ...part, high: gap.low, openHigh: !gap.openLow };
      const right = { ...part, low: gap.high, openLow: !gap.openHigh };
      return [left, right].filter(isFilled);
    });
  }
  return rest;
}

/** In order, what touches or overlaps in one. */
export function joined(intervals: readonly Interval[]): readonly Interval[] {
  const sorted = [...intervals].sort((a, b) => a.low.value - b.low.value || Number(a.openLow) - Number(b.openLow));
  const result: Interval[] = [];
  for (const next of sorted) {
    const last = result.at(-1);
    const touches =
      last &&
      (next.low.value < last.high.value || (next.low.value === last.high.value && !(next.openLow && last.openHigh)));
    if (!touches) {
      if (next.low.value < next.high.value || (!next.openLow && !next.openHigh)) result.push(next);
      continue;
    }
    const reaches = next.high.value > last.high.value || (next.high.value === last.high.value && !next.openHigh);
    if (reaches) result[result.length - 1] = { ...last, high: next.high, openHigh: next.openHigh };
  }
  return result;
}
