/**
 * Countdown problems by construction: draw numbers, draw an expression over all of them, take its value as the target,
 * and keep the problem if the target and every value on the way are in range. Problem i is a pure function of
 * (seed, stream, i): rejected draws only move on within that problem's own random numbers.
 *
 * The kept problems are not uniform over all solvable ones: targets that many expressions reach come up more often
 * (`natural` draws).
 */

import { ConfigError } from "../../errors.ts";
import { isWhole, lessThan, type Rational, whole } from "../../expression/rational.ts";
import { Draws } from "../draws.ts";
import type { CountdownOptions } from "./options.ts";
import { drawTree, evaluateTree, type Tree } from "./tree.ts";

export interface GeneratedCountdown {
  readonly numbers: readonly number[];
  readonly target: Rational;
  /** The expression that the target was taken from. */
  readonly solution: Tree;
}

/** The options that only the generator reads: they say nothing about the problems of a file. */
export const COUNTDOWN_GENERATOR_KEYS = ["counts", "min", "max", "targetMin", "targetMax"] as const;

type GeneratorOptions = Pick<CountdownOptions, (typeof COUNTDOWN_GENERATOR_KEYS)[number] | "values">;

/** Draws for one problem before the options are called impossible. */
const MAX_DRAWS = 100_000;

/**
 * The index-th problem of a stream that `isWanted` accepts.
 *
 * @throws ConfigError where 100,000 draws bring up none.
 */
export function generateCountdown(
  options: GeneratorOptions,
  seed: number,
  stream: string,
  index: number,
  isWanted: (problem: GeneratedCountdown) => boolean,
): GeneratedCountdown {
  const draws = new Draws(seed, stream, index);
  const least = whole(options.targetMin);
  const most = whole(options.targetMax);
  for (let draw = 0; draw < MAX_DRAWS; draw++) {
    const count = draws.choice(options.counts);
    const numbers = Array.from({ length: count }, () => draws.between(options.min, options.max));
    const solution = drawTree(numbers, draws);
    const target = evaluateTree(solution, options.values);
    if (target === undefined || !isWhole(target) || lessThan(target, least) || lessThan(most, target)) continue;
    const problem = { numbers, target, solution };
    if (isWanted(problem)) return problem;
  }
  throw new ConfigError(
    `No Countdown problem found in ${MAX_DRAWS} draws of ${options.counts.join(" or ")} numbers from ${options.min} to ` +
      `${options.max} with a target from ${options.targetMin} to ${options.targetMax}` +
      `${options.values ? ` and values ${JSON.stringify(options.values)}` : ""}. Widen one of these ranges.`,
  );
}
