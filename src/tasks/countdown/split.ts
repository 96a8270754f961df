/**
 * Which problems are held out. The decision is a hash of the problem itself, (sorted numbers, target), and of nothing
 * else: not of a seed, an index or a file. So a held-out problem is held out in every run and every data set, in any
 * order of its numbers, and two runs are compared on problems that neither was trained on.
 */

import { formatRational, type Rational } from "../../expression/rational.ts";
import { hashString, uniformAt } from "../../random.ts";

const STREAM = hashString("countdown/held-out");

/** The same text for problems that differ only in the order of their numbers. */
export function problemKey(numbers: readonly number[], target: Rational): string {
  return `${[...numbers].sort((a, b) => a - b).join(",")}=${formatRational(target)}`;
}

/** Whether the problem belongs to the `share` (0 … 1) of all problems that is held out. */
export function isHeldOutCountdown(numbers: readonly number[], target: Rational, share: number): boolean {
  return uniformAt(hashString(problemKey(numbers, target)), STREAM, [0]) < share;
}
