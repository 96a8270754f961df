/**
 * What the noise of NEFTune (arXiv:2310.05914) is made of, for one micro-batch: for each token two random words, which
 * `uniformNoise` hashes, and the bound α/√(L·H) of its numbers.
 *
 * L is the length of the token's own sequence, prompt and completion. So does algorithm 1 of the paper read for one
 * sequence, and so does its authors' training loop (neelsjain/NEFTune, `train.py`), which counts each row's tokens by its
 * attention mask. transformers' hook, which TRL uses, takes the width of the tensor instead: the longest sequence of a
 * padded batch, or the sum of all in a packed one (huggingface/transformers#34659 calls that a mistake), so that its noise
 * depends on what a sequence happens to be batched with. Of a batch of one the two are the same.
 *
 * Words are functions of (seed, optimizer steps taken, which datum, position), so a resumed run adds what the
 * uninterrupted one would have added, and how data are cut into micro-batches changes nothing. Sequences with a common
 * prompt have noise of their own there too, so under noise a prompt is computed for each of them.
 */

import type { EmbeddingNoise } from "../../losses/loss-spec.ts";
import { hashString, philox } from "../../random.ts";
import type { ScoreDatum } from "../contract/sampler.ts";
import type { TrainingMoment } from "./dropout-words.ts";
import type { MicroBatch } from "./micro-batches.ts";

const STREAM = hashString("noise on embeddings");

/** Of N tokens, which lie as in the sequence program (`programs.ts`); padding has a bound of 0. */
export interface NoiseInputs {
  /** [2, N]: multipliers, then offsets. */
  readonly words: BigInt64Array;
  /** [N] */
  readonly magnitudes: Float32Array;
}

/** The noise of a micro-batch whose sequences share no prompt rows; `hiddenSize` is H. */
export function noiseInputs(
  { promptLength: P, completionLength: C, promptRows, sequences }: MicroBatch,
  data: readonly ScoreDatum[],
  { alpha, seed }: EmbeddingNoise,
  hiddenSize: number,
  { step, dataBefore }: TrainingMoment,
): NoiseInputs {
  const tokens = promptRows.length * P + sequences.length * C; // N
  const words = new BigInt64Array(2 * tokens);
  const halves = new Uint32Array(words.buffer);
  const magnitudes = new Float32Array(tokens);
  sequences.forEach(({ datum, promptRow }, s) => {
    const { promptTokens, completionTokens } = data[datum]!;
    const inPrompt = promptTokens.length - 1;
    const magnitude = alpha / Math.sqrt((promptTokens.length + completionTokens.length) * hiddenSize);
    // The last token of a sequence is not an input of the program.
    for (let position = 0; position < inPrompt + completionTokens.length; position++) {
      const token =
        position < inPrompt ? promptRow * P + position : promptRows.length * P + s * C + (position - inPrompt);
      const [a0, a1, b0, b1] = philox(seed, STREAM, [position, dataBefore + datum, step]);
      halves.set([a0, a1], 2 * token);
      halves.set([b0, b1], 2 * (tokens + token));
      magnitudes[token] = magnitude;
    }
  });
  return { words, magnitudes };
}
