/**
 * Seeded, counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3",
 * SC 2011). A draw is a pure function of (seed, stream, counter), so nothing depends on the order in which work is done
 * and a resumed run draws what the uninterrupted one would have drawn. No other source of randomness exists in Aha.
 */

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

/** Four counter words; missing ones are 0. Each is taken modulo 2^32. */
export type Counter = readonly [number, number?, number?, number?];

function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

/** One Philox4x32-10 block: four independent 32-bit words for (key, counter). */
export function philox(key0: number, key1: number, counter: Counter): [number, number, number, number] {
  let c0 = counter[0] >>> 0;
  let c1 = (counter[1] ?? 0) >>> 0;
  let c2 = (counter[2] ?? 0) >>> 0;
  let c3 = (counter[3] ?? 0) >>> 0;
  let k0 = key0 >>> 0;
  let k1 = key1 >>> 0;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const low0 = Math.imul(MULTIPLIER_0, c0) >>> 0;
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low1 = Math.imul(MULTIPLIER_1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + WEYL_0) >>> 0;
    k1 = (k1 + WEYL_1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** A 32-bit FNV-1a hash of a string: names a stream of random numbers. */
export function hashString(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

/** A uniform number in [0, 1) with 32 random bits: a pure function of (seed, stream, counter). */
export function uniformAt(seed: number, stream: number, counter: Counter): number {
  return philox(seed, stream, counter)[0] / 0x1_0000_0000;
}

/** A sequential view on one (seed, stream): for loops that draw in a fixed order. `position` is its whole state. */
export class Random {
  readonly seed: number;
  readonly stream: number;
  /** How many 32-bit words were drawn; set it to resume. */
  position: number;

  /** `stream` separates independent uses of one seed, e.g. `"shuffle"`; a string is hashed. */
  constructor(seed: number, stream: string | number, position = 0) {
    this.seed = seed;
    this.stream = typeof stream === "string" ? hashString(stream) : stream;
    this.position = position;
  }

  /** The next uniform number in [0, 1). */
  uniform(): number {
    const value = uniformAt(this.seed, this.stream, [this.position, Math.floor(this.position / 0x1_0000_0000)]);
    this.position++;
    return value;
  }

  /** An integer in [0, bound), bound ≤ 2^32 (bias below 2^-32 · bound). */
  integer(bound: number): number {
    return Math.floor(this.uniform() * bound);
  }

  /** A standard normal number (Box–Muller). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** One element of a non-empty list. */
  choice<T>(items: readonly T[]): T {
    return items[this.integer(items.length)]!;
  }

  /** Shuffles in place (Fisher–Yates) and returns its argument. */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [items[i], items[j]] = [items[j]!, items[i]!];
    }
    return items;
  }
}
