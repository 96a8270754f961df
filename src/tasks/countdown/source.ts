/**
 * Where the task's problems come from: the endless generator, the rows of a file, or a data set that a recipe has
 * shuffled, cut and split. In every case training never sees a held-out problem (`split.ts`; `data/load.ts` for the
 * last), and problem ids name a problem once: training counts from 0, held-out problems of the generator from 2^31.
 */

import { type LoadedData, type NumberedRow, tooFewHeldOut } from "../../data/loaded-data.ts";
import type { DataRow } from "../../data/row.ts";
import { ConfigError } from "../../errors.ts";
import type { Rational } from "../../expression/rational.ts";
import { Random } from "../../random.ts";
import { type GeneratedCountdown, generateCountdown } from "./generator.ts";
import type { CountdownOptions } from "./options.ts";
import { problemOfRow } from "./rows.ts";
import { isHeldOutCountdown, problemKey } from "./split.ts";
import { formatTree } from "./tree.ts";

export interface SourceProblem {
  readonly id: number;
  readonly numbers: readonly number[];
  readonly target: Rational;
  /** `nums`, `target`, and `solution` where one is known; of a file, whatever the row has. */
  readonly columns: Readonly<Record<string, unknown>>;
}

export interface CountdownSource {
  readonly trainCount: number;
  train(index: number): SourceProblem;
  /** @throws ConfigError where there are not so many. */
  heldOut(count: number, draws: CountdownOptions["heldOutDraws"]): SourceProblem[];
}

/** Ids of held-out problems of the generator start here, beyond every training index that a run reaches. */
const FIRST_HELD_OUT_ID = 2 ** 31;

/** Held-out problems are the same for every seed of a run. */
const HELD_OUT_SEED = 0;

/** Problems of the generator; the training stream depends on `seed`, the held-out list does not. */
export function sourceFromGenerator(options: CountdownOptions, seed: number): CountdownSource {
  const isOut = ({ numbers, target }: GeneratedCountdown): boolean =>
    isHeldOutCountdown(numbers, target, options.heldOutShare);
  const heldOutAt = (index: number): SourceProblem => {
    const problem = generateCountdown(options, HELD_OUT_SEED, "countdown/held-out", index, isOut);
    return asSource(problem, FIRST_HELD_OUT_ID + index);
  };
  return {
    trainCount: Number.POSITIVE_INFINITY,
    train: (index) =>
      asSource(
        generateCountdown(options, seed, "countdown/train", index, (drawn) => !isOut(drawn)),
        index,
      ),
    heldOut: (count, draws) => {
      if (draws === "natural") return Array.from({ length: count }, (_, index) => heldOutAt(index));
      return distinctHeldOut(count, heldOutAt);
    },
  };
}

function asSource({ numbers, target, solution }: GeneratedCountdown, id: number): SourceProblem {
  const columns = { nums: numbers, target: Number(target.numerator), solution: formatTree(solution) };
  return { id, numbers, target, columns };
}

function distinctHeldOut(count: number, heldOutAt: (index: number) => SourceProblem): SourceProblem[] {
  const found = new Map<string, SourceProblem>();
  let drawsWithoutNew = 0;
  for (let index = 0; found.size < count; index++) {
    const problem = heldOutAt(index);
    const key = problemKey(problem.numbers, problem.target);
    drawsWithoutNew = found.has(key) ? drawsWithoutNew + 1 : 0;
    if (!found.has(key)) found.set(key, problem);
    if (drawsWithoutNew > 1000 + 10 * found.size) throw tooFewDistinct(count, found.size);
  }
  return [...found.values()];
}

function tooFewDistinct(count: number, found: number): ConfigError {
  return new ConfigError(
    `Asked for ${count} distinct held-out Countdown problems, only ${found} were found. Ask for fewer, or widen the ` +
      "numbers or the target, or take heldOutDraws: natural.",
  );
}

/**
 * Problems of a file's rows. Training goes through all rows that are not held out, in a new seeded order each time
 * around; held-out problems come in a fixed order, `natural` with rows that repeat, `distinct` without.
 *
 * @throws DataError for a row that is not a problem; ConfigError where none is left for training.
 */
export function sourceFromRows(
  rows: readonly DataRow[],
  file: string,
  heldOutShare: number,
  seed: number,
): CountdownSource {
  const problems = rows.map((row, id): SourceProblem => ({ id, ...problemOfRow(row) }));
  const isOut = ({ numbers, target }: SourceProblem): boolean => isHeldOutCountdown(numbers, target, heldOutShare);
  const training = problems.filter((problem) => !isOut(problem));
  const heldOut = new Random(HELD_OUT_SEED, "countdown/held-out").shuffle(problems.filter(isOut));
  if (training.length === 0) {
    throw new ConfigError(
      `${file} has ${rows.length} problems and none of them is left for training (heldOutShare ${heldOutShare}). ` +
        "Use a larger file or a smaller share.",
    );
  }
  let round = { number: -1, order: training };
  return {
    trainCount: training.length,
    train: (index) => {
      const number = Math.floor(index / training.length);
      if (round.number !== number) {
        round = { number, order: new Random(seed, `countdown/round/${number}`).shuffle([...training]) };
      }
      return round.order[index % training.length]!;
    },
    heldOut: (count, draws) => {
      const byKey = new Map(heldOut.map((problem) => [problemKey(problem.numbers, problem.target), problem]));
      const available = draws === "natural" ? heldOut : [...byKey.values()];
      if (available.length >= count) return available.slice(0, count);
      throw new ConfigError(
        `Asked for ${count} ${draws} held-out problems, but ${file} has ${available.length} among its ${rows.length} ` +
          `rows (heldOutShare ${heldOutShare}). Ask for fewer, or use a larger file.`,
      );
    },
  };
}

/**
 * Problems of a data set, split as the recipe says. Held-out problems come in the order of the split, `distinct` without
 * those that are the same up to the order of their numbers.
 */
export function sourceFromData(data: LoadedData): CountdownSource {
  const problemAt = ({ id, row }: NumberedRow): SourceProblem => ({ id, ...problemOfRow(row) });
  return {
    trainCount: data.trainCount,
    train: (index) => problemAt(data.train(index)),
    heldOut: (count, draws) => {
      const seen = new Set<string>();
      const found: SourceProblem[] = [];
      for (let index = 0; index < data.heldOutCount && found.length < count; index++) {
        const problem = problemAt(data.heldOut(index));
        const key = problemKey(problem.numbers, problem.target);
        if (draws === "natural" || !seen.has(key)) found.push(problem);
        seen.add(key);
      }
      if (found.length === count) return found;
      throw tooFewHeldOut(data, `${count} ${draws} held-out problems`, found.length);
    },
  };
}

/** What makes two rows the same problem, for `loadData`; throws DataError for a row that is none. */
export function identifyRow(row: DataRow): string {
  const { numbers, target } = problemOfRow(row);
  return problemKey(numbers, target);
}
