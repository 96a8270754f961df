/**
 * Where the completion tokens of a micro-batch stand among the per-token inputs and outputs of a sequence program: on the
 * padded axis of S·C positions, or in chunks without padding (`completion-loss.ts`). Either way the tokens of a sequence
 * follow one another.
 */

import type { MicroBatch } from "./micro-batches.ts";

export interface TokenLayout {
  /** Shape of a per-token input or output. */
  readonly dims: readonly number[];
  /** The place of each sequence's first token. */
  readonly starts: readonly number[];
  /** For chunks only. */
  readonly chunks?: {
    /** For each place the completion position of its token. */
    readonly rows: BigInt64Array<ArrayBuffer>;
    /** For each completion position the place of its token, for padding a place without a token. */
    readonly places: BigInt64Array<ArrayBuffer>;
  };
}

/** Every completion position has its place: [S·C]. */
export function paddedLayout({ completionLength: C, sequences }: MicroBatch): TokenLayout {
  return { dims: [sequences.length * C], starts: sequences.map((_, s) => s * C) };
}

/**
 * The tokens of sequences of these lengths, in as few chunks of at most `chunkTokens` as can be, all equally large: [J, U].
 * Where the batch has padding, at least one place is without a token.
 */
export function chunkedLayout(batch: MicroBatch, lengths: readonly number[], chunkTokens: number): TokenLayout {
  const { completionLength: C, sequences } = batch;
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const positions = sequences.length * C;
  const needed = tokens < positions ? tokens + 1 : tokens;
  const count = Math.ceil(needed / chunkTokens);
  const size = Math.ceil(needed / count);
  const rows = new BigInt64Array(count * size);
  const places = new BigInt64Array(positions).fill(BigInt(tokens));
  const starts: number[] = [];
  let place = 0;
  lengths.forEach((length, s) => {
    starts.push(place);
    for (let t = 0; t < length; t++, place++) {
      rows[place] = BigInt(s * C + t);
      places[s * C + t] = BigInt(place);
    }
  });
  return { dims: [count, size], starts, chunks: { rows, places } };
}
