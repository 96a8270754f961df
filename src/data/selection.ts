/**
 * Which rows are trained on and which are held out, as numbers: shuffle, select, split, in the order of the seeds
 * (`dataset.shuffle(seed).select(range(n))`, then `train_test_split(test_size)`).
 *
 * The permutations are Fisher and Yates's, drawn from Aha's counter-based numbers: the same rows on every machine and
 * for ever, but not the rows that NumPy's generator gives `datasets` for the same seed. Sizes are those of `datasets`:
 * of n rows ⌈share · n⌉ are held out, the rest is trained on.
 */

import { ConfigError } from "../errors.ts";
import { Random } from "../random.ts";
import type { DataOptions } from "./options.ts";

/** Row numbers in the order in which they are used. */
export interface Selection {
  readonly train: Uint32Array;
  /** Empty where another split is held out. */
  readonly heldOut: Uint32Array;
}

/**
 * The selection among `count` rows.
 *
 * @throws ConfigError where there are fewer rows than `select`, or none is left on one side.
 */
export function selectRows(count: number, options: DataOptions): Selection {
  const { path, select, shuffle, seed, testShare, testSplit } = options;
  if (select !== undefined && select > count) {
    throw new ConfigError(`data.select asks for ${select} rows of ${path}, which has ${count}. Ask for fewer.`);
  }
  const order = shuffle ? permutation(count, seed, "data/shuffle") : ascending(count);
  const chosen = order.subarray(0, select ?? count);
  if (chosen.length === 0) throw new ConfigError(`${path} has no rows.`);
  if (testSplit !== undefined) return { train: chosen, heldOut: new Uint32Array() };
  const heldOutCount = Math.ceil(testShare * chosen.length);
  if (heldOutCount === chosen.length) {
    throw new ConfigError(
      `${path}: holding out ${testShare} of ${chosen.length} rows leaves none for training. Take more rows or a smaller ` +
        "data.testShare.",
    );
  }
  const drawn = permutation(chosen.length, seed, "data/split").map((place) => chosen[place]!);
  return { train: drawn.subarray(heldOutCount), heldOut: drawn.subarray(0, heldOutCount) };
}

/**
 * Which of `count` rows a share of them is: ⌊share · count⌋, at least one, drawn by seed, in ascending order. `source`
 * separates the data sets of one recipe.
 */
export function drawShare(count: number, share: number, seed: number, source: number): Uint32Array {
  if (share === 1 || count === 0) return ascending(count);
  // A share that was written as a decimal may be a hair below the whole number that is meant.
  const size = Math.max(1, Math.floor(share * count + 1e-9));
  return permutation(count, seed, `data/share/${source}`).slice(0, size).sort();
}

/** The numbers 0 … count − 1 in a seeded order; `stream` separates uses of one seed. */
export function permutation(count: number, seed: number, stream: string): Uint32Array {
  const order = ascending(count);
  const random = new Random(seed, stream);
  for (let i = count - 1; i > 0; i--) {
    const j = random.integer(i + 1);
    const swapped = order[i]!;
    order[i] = order[j]!;
    order[j] = swapped;
  }
  return order;
}

function ascending(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => i);
}

/**
 * An endless walk over `count` items: every round visits each once, in a new order. Item `index` of the walk is a pure
 * function of (seed, index), so where a trainer stands in it, its cursor, is one integer. One round's order is kept.
 */
export class Rounds {
  readonly #count: number;
  readonly #seed: number;
  #round = -1;
  #order: Uint32Array = new Uint32Array();

  constructor(count: number, seed: number) {
    this.#count = count;
    this.#seed = seed;
  }

  /** Which of the items comes at place `index` of the walk. */
  at(index: number): number {
    const round = Math.floor(index / this.#count);
    if (round !== this.#round) {
      this.#order = permutation(this.#count, this.#seed, `data/round/${round}`);
      this.#round = round;
    }
    return this.#order[index % this.#count]!;
  }
}
