/**
 * Whether a policy is better than another one on the same problems, or the difference may be chance. Two overlapping
 * intervals say little: most of their width comes from how hard the problems are, which is the same for both policies.
 * So problems are compared in pairs.
 */

import { Random } from "../random.ts";
import type { Evaluation } from "./evaluate.ts";
import type { Cluster } from "./interval.ts";

const RESAMPLES = 4000;

/** The difference of one statistic, second minus first. */
export interface Difference {
  readonly difference: number;
  /** 95 %; one that leaves out 0 is a difference that the choice of problems does not explain. */
  readonly interval: readonly [number, number];
}

/** McNemar's test of the problems' first completions. */
export interface McNemar {
  /** Problems that only the first, only the second solves. */
  readonly onlyFirst: number;
  readonly onlySecond: number;
  /** Two-sided and exact. */
  readonly pValue: number;
}

export interface Comparison {
  readonly differences: Readonly<Record<string, Difference>>;
  /** Absent where the task cannot tell what is solved. */
  readonly mcNemar?: McNemar;
}

/**
 * Compares two evaluations of the same problems, in the same order. Intervals are those of a paired bootstrap over
 * problems (Efron and Tibshirani, An Introduction to the Bootstrap, §13.3, the percentile interval; `seed` draws).
 */
export function compareEvaluations(first: Evaluation, second: Evaluation, seed: number): Comparison {
  const names = Object.keys(first.clusters).filter((name) => second.clusters[name] !== undefined);
  const pairs = names.map((name) => [first.clusters[name]!, second.clusters[name]!] as const);
  const found = pairedDifferences(pairs, seed);
  const solved = ({ completions }: Evaluation) =>
    completions.filter(({ sample }) => sample === 0).map((completion) => completion.solved);
  const [before, after] = [solved(first), solved(second)];
  const onlyFirst = before.filter((isSolved, i) => isSolved && !after[i]).length;
  const onlySecond = after.filter((isSolved, i) => isSolved && !before[i]).length;
  const mcNemar = { onlyFirst, onlySecond, pValue: mcNemarP(onlyFirst, onlySecond) };
  const differences = Object.fromEntries(names.map((name, i) => [name, found[i]!]));
  return { differences, ...(names.includes("solveRate") && { mcNemar }) };
}

/**
 * Two-sided p of McNemar's exact test: that of a fair coin which falls `b` times one way and `c` times the other (McNemar,
 * Psychometrika 12, 1947; exact by the binomial distribution). 1 where nothing differs.
 */
export function mcNemarP(b: number, c: number): number {
  const n = b + c;
  let term = -n * Math.LN2; // log C(n, 0)/2ⁿ
  let tail = 0;
  for (let i = 0; i <= Math.min(b, c); i++) {
    tail += Math.exp(term);
    term += Math.log(n - i) - Math.log(i + 1);
  }
  return Math.min(1, 2 * tail);
}

/** Of each pair of statistics over the same problems the difference, all by the same resamples. */
function pairedDifferences(
  pairs: readonly (readonly [readonly Cluster[], readonly Cluster[]])[],
  seed: number,
): Difference[] {
  const n = pairs[0]?.[0].length ?? 0;
  const differencesBy = (times: ArrayLike<number>): number[] =>
    pairs.map(([first, second]) => weightedRatio(second, times) - weightedRatio(first, times));
  const random = new Random(seed, "paired-bootstrap");
  const resampled = Array.from({ length: RESAMPLES }, () => {
    const times = new Uint32Array(n);
    for (let draw = 0; draw < n; draw++) times[random.integer(n)]!++;
    return differencesBy(times);
  });
  return differencesBy(new Uint32Array(n).fill(1)).map((difference, i) => {
    const sorted = Float64Array.from(resampled, (differences) => differences[i]!).sort();
    const quantile = (q: number) => sorted[Math.min(RESAMPLES - 1, Math.floor(q * RESAMPLES))]!;
    return { difference, interval: [quantile(0.025), quantile(0.975)] as const };
  });
}

/** Σ times·sum / Σ times·count; 0 where nothing was counted. */
function weightedRatio(clusters: readonly Cluster[], times: ArrayLike<number>): number {
  let sum = 0;
  let count = 0;
  for (const [i, cluster] of clusters.entries()) {
    sum += times[i]! * cluster.sum;
    count += times[i]! * cluster.count;
  }
  return count === 0 ? 0 : sum / count;
}
