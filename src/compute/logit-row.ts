/**
 * A row of logits [V] as a draw reads it: in blocks, of which it knows the sums of exponentials, so that it passes over
 * all tokens of a block at once and looks at those of a few blocks alone. A program makes the sums (`row-sums.ts`), or
 * `summed` does, which computes an exponential for every token.
 *
 * Some tokens' logits may differ from those in memory: what was excluded, biased or penalised. Nothing here makes an
 * array of the vocabulary's size.
 */

/** Tokens of a block. */
export const BLOCK_TOKENS = 128;
/** A vocabulary of at most so many tokens is one block: to go through it costs less than to run a program. */
const SMALL_VOCABULARY = 1024;

/** Tokens of a block of this vocabulary; the last block may have fewer. */
function blockTokens(vocabSize: number): number {
  return vocabSize <= SMALL_VOCABULARY ? vocabSize : BLOCK_TOKENS;
}

/** Blocks of this vocabulary. */
export function blockCount(vocabSize: number): number {
  return Math.ceil(vocabSize / blockTokens(vocabSize));
}

/** The weights exp((z − largest) / temperature) of a row, summed up by blocks. */
export interface BlockSums {
  /** The logit that weights are relative to: the largest one, or the largest before some were replaced. */
  readonly largest: number;
  readonly inverseTemperature: number;
  readonly sums: Float32Array | Float64Array | readonly number[];
  readonly total: number;
  /** The weights themselves, where there is but one block. */
  readonly weights?: Float64Array;
}

/** Sums in f32 may be below what they are of by some units in the last place. */
const ROUNDING = 1 + 1e-5;
/** Weights whose sum is below this are summed again, relative to the largest of them: in f32 they vanish at 1e-38. */
const LEAST_TOTAL = 1e-20;

/** Up to this many tokens, keeping a sorted list is cheaper than sorting the vocabulary. */
const MOST_INSERTED = 512;

/** A token and its logit. */
export interface TokenLogit {
  readonly token: number;
  readonly logit: number;
}

/** A token and its weight. */
export interface WeightedToken {
  readonly token: number;
  readonly weight: number;
}

/** A row of logits, some of them replaced. */
export class LogitRow {
  readonly vocabSize: number;
  readonly #logits: Float32Array;
  readonly #blockTokens: number;
  /** What replaces logits, by block; undefined where nothing does. */
  readonly #changes: Map<number, [token: number, logit: number][]> | undefined;
  readonly #changed: Float32Array | undefined;

  constructor(logits: Float32Array, changes?: ReadonlyMap<number, number>) {
    this.vocabSize = logits.length;
    this.#logits = logits;
    this.#blockTokens = blockTokens(logits.length);
    if (changes === undefined) return;
    this.#changes = new Map();
    this.#changed = new Float32Array(this.#blockTokens);
    for (const [token, logit] of changes) {
      const block = Math.floor(token / this.#blockTokens);
      const known = this.#changes.get(block);
      if (known) known.push([token, logit]);
      else this.#changes.set(block, [[token, logit]]);
    }
  }

  /** The same row, these logits replaced. */
  with(changes: ReadonlyMap<number, number>): LogitRow {
    return new LogitRow(this.#logits, changes);
  }

  /** The logit of a token, as it is in memory. */
  logit(token: number): number {
    return this.#logits[token]!;
  }

  get blocks(): number {
    return blockCount(this.vocabSize);
  }

  /** The first token of a block. */
  firstOf(block: number): number {
    return block * this.#blockTokens;
  }

  /** The logits of a block, until the next call. */
  block(block: number): Float32Array {
    const first = this.firstOf(block);
    const isWhole = this.#blockTokens === this.vocabSize;
    const own = isWhole ? this.#logits : this.#logits.subarray(first, first + this.#blockTokens);
    const changes = this.#changes?.get(block);
    if (changes === undefined) return own;
    const changed = this.#changed!.subarray(0, own.length);
    changed.set(own);
    for (const [token, logit] of changes) changed[token - first] = logit;
    return changed;
  }

  /** The largest logit, and the lowest token that has it. */
  largest(): { readonly logit: number; readonly token: number } {
    let [largest, best] = [Number.NEGATIVE_INFINITY, 0];
    for (let block = 0; block < this.blocks; block++) {
      const logits = this.block(block);
      for (let i = 0; i < logits.length; i++) {
        if (!(logits[i]! > largest)) continue;
        largest = logits[i]!;
        best = this.firstOf(block) + i;
      }
    }
    return { logit: largest, token: best };
  }

  /** The sums of this row, each weight computed here. */
  summed(inverseTemperature: number): BlockSums {
    const largest = this.largest().logit;
    if (this.blocks === 1) {
      const { weights, total } = weighed(this.block(0), largest, inverseTemperature);
      return { largest, inverseTemperature, sums: [total], total, weights };
    }
    const sums = new Float64Array(this.blocks);
    let total = 0;
    for (let block = 0; block < sums.length; block++) {
      sums[block] = this.#sumOf(block, largest, inverseTemperature);
      total += sums[block]!;
    }
    return { largest, inverseTemperature, sums, total };
  }

  /** The sums of this row from those of the same logits without what is replaced here: only blocks that have something
   * replaced are summed again. */
  summedFrom({ largest, inverseTemperature, sums: given }: BlockSums): BlockSums {
    if (this.blocks === 1) return this.summed(inverseTemperature);
    const sums = Float64Array.from(given);
    for (const block of this.#changes?.keys() ?? []) sums[block] = this.#sumOf(block, largest, inverseTemperature);
    let total = 0;
    for (const sum of sums) total += sum;
    const isSound = total > LEAST_TOTAL && total < 1 / LEAST_TOTAL;
    return isSound ? { largest, inverseTemperature, sums, total } : this.summed(inverseTemperature);
  }

  #sumOf(block: number, largest: number, inverseTemperature: number): number {
    const logits = this.block(block);
    let sum = 0;
    for (let i = 0; i < logits.length; i++) sum += Math.exp((logits[i]! - largest) * inverseTemperature);
    return sum;
  }

  /**
   * The token at which the cumulative sum of weights, in the order of token ids, exceeds `mass`; the last one with a weight
   * where it never does.
   */
  tokenAt(mass: number, { largest, inverseTemperature, sums, weights }: BlockSums): number {
    if (weights) return indexAt(mass, weights);
    let [remaining, chosen, before] = [mass, 0, mass];
    for (let block = 0; block < sums.length; block++) {
      if (sums[block] === 0) continue;
      [chosen, before] = [block, remaining];
      remaining -= sums[block]!;
      if (remaining < 0) break;
    }
    const { weights: own } = weighed(this.block(chosen), largest, inverseTemperature);
    return this.firstOf(chosen) + indexAt(before, own);
  }

  /** The lowest token whose logit is the largest one of this row, which has no replaced logits. */
  tokenOfLargest({ largest, sums }: BlockSums): number {
    for (let block = 0; block < sums.length; block++) {
      // Its weight is 1.
      if (sums[block]! * ROUNDING < 1) continue;
      const place = this.block(block).indexOf(largest);
      if (place >= 0) return this.firstOf(block) + place;
    }
    return this.largest().token;
  }

  /** All tokens of a weight of at least `least`, and above 0, in the order of token ids. */
  tokensFrom(least: number, { largest, inverseTemperature, sums }: BlockSums): WeightedToken[] {
    const found: WeightedToken[] = [];
    // Tokens far below need no exponential.
    const floor = largest + (Math.log(least) - 1e-3) / inverseTemperature;
    for (let block = 0; block < sums.length; block++) {
      if (sums[block]! * ROUNDING < least) continue;
      const logits = this.block(block);
      for (let i = 0; i < logits.length; i++) {
        if (logits[i]! < floor) continue;
        const weight = Math.exp((logits[i]! - largest) * inverseTemperature);
        if (weight >= least && weight > 0) found.push({ token: this.firstOf(block) + i, weight });
      }
    }
    return found;
  }

  /** The tokens of the `count` largest logits, from the largest down, equals by id. */
  topLogits(count: number, sums: BlockSums): TokenLogit[] {
    return count > MOST_INSERTED ? this.#topBySorting(count) : this.#topByInserting(count, sums);
  }

  #topBySorting(count: number): TokenLogit[] {
    const all: TokenLogit[] = [];
    for (let block = 0; block < this.blocks; block++) {
      for (const [i, logit] of this.block(block).entries()) all.push({ token: this.firstOf(block) + i, logit });
    }
    return all.sort((a, b) => b.logit - a.logit || a.token - b.token).slice(0, count);
  }

  #topByInserting(count: number, { largest, inverseTemperature, sums }: BlockSums): TokenLogit[] {
    const top: TokenLogit[] = [];
    if (count === 0) return top;
    /** The weight of the last one, once there are enough. */
    let least = 0;
    for (let block = 0; block < sums.length; block++) {
      if (sums[block]! * ROUNDING < least) continue;
      const logits = this.block(block);
      for (let i = 0; i < logits.length; i++) {
        const logit = logits[i]!;
        if (top.length === count) {
          if (!(logit > top[count - 1]!.logit)) continue;
          top.pop();
        }
        let at = top.length;
        while (at > 0 && logit > top[at - 1]!.logit) at--;
        top.splice(at, 0, { token: this.firstOf(block) + i, logit });
      }
      if (top.length === count) least = Math.exp((top[count - 1]!.logit - largest) * inverseTemperature);
    }
    return top;
  }
}

/** The weights of a block and their sum. */
function weighed(
  logits: Float32Array,
  largest: number,
  inverseTemperature: number,
): { readonly weights: Float64Array; readonly total: number } {
  const weights = new Float64Array(logits.length);
  let total = 0;
  for (let i = 0; i < logits.length; i++) {
    const weight = Math.exp((logits[i]! - largest) * inverseTemperature);
    weights[i] = weight;
    total += weight;
  }
  return { weights, total };
}

/** The index at which the cumulative sum of the weights exceeds `mass`; else the last one with a weight. */
function indexAt(mass: number, weights: Float64Array): number {
  let remaining = mass;
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]!;
    if (weight === 0) continue;
    last = i;
    remaining -= weight;
    if (remaining < 0) break;
  }
  return last;
}
