/**
 * Random draws for one thing out of a countable many (the i-th problem, the trace of a problem): a pure function of
 * (seed, stream, index), whatever was drawn before for others. Philox blocks with the index in the counter, four draws
 * from each; see `random.ts`.
 */

import { hashString, philox } from "../random.ts";

export class Draws {
  private readonly seed: number;
  private readonly stream: number;
  private readonly index: number;
  private block: readonly number[] = [];
  private drawn = 0;

  /** `stream` names the use, e.g. `countdown/train`; `index` is a whole number below 2^53. */
  constructor(seed: number, stream: string, index: number) {
    this.seed = seed;
    this.stream = hashString(stream);
    this.index = index;
  }

  /** The next uniform number in [0, 1). */
  uniform(): number {
    const position = this.drawn % 4;
    if (position === 0) {
      const high = Math.floor(this.index / 0x1_0000_0000);
      this.block = philox(this.seed, this.stream, [this.drawn / 4, this.index, high]);
    }
    this.drawn++;
    return this.block[position]! / 0x1_0000_0000;
  }

  /** A whole number from `min` to `max`, both included. */
  between(min: number, max: number): number {
    return min + Math.floor(this.uniform() * (max - min + 1));
  }

  /** One element of a non-empty list. */
  choice<T>(items: readonly T[]): T {
    return items[this.between(0, items.length - 1)]!;
  }

  /** A shuffled copy (Fisher–Yates). */
  shuffled<T>(items: readonly T[]): T[] {
    const result = [...items];
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.between(0, i);
      [result[i], result[j]] = [result[j]!, result[i]!];
    }
    return result;
  }
}
