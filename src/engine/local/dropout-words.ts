/**
 * The random words of an adapter's dropout, for one micro-batch: for each adapted matrix and each token the two 64-bit
 * words that `dropoutMask` hashes.
 *
 * They are functions of (seed, optimizer steps taken, which token of which datum, matrix), so a resumed run drops what
 * the uninterrupted one would have dropped, and how data are cut into micro-batches changes nothing. A prompt that several
 * completions share is computed once, so its tokens are named by its text and not by a datum.
 */

import { hashString, philox } from "../../random.ts";
import type { ScoreDatum } from "../contract/sampler.ts";
import type { MicroBatch } from "./micro-batches.ts";

const PROMPT_STREAM = hashString("lora dropout, prompts");
const COMPLETION_STREAM = hashString("lora dropout, completions");

/** Where in training a micro-batch stands. */
export interface TrainingMoment {
  /** Optimizer steps taken so far. */
  readonly step: number;
  /** Data that were trained on since the last step, before these. */
  readonly dataBefore: number;
}

/** [2·sites, N]: words 2s and 2s + 1 are those of site s; tokens lie as in the sequence program (`programs.ts`). */
export function dropoutWords(
  { promptLength: P, completionLength: C, promptRows, sequences }: MicroBatch,
  data: readonly ScoreDatum[],
  sites: number,
  seed: number,
  { step, dataBefore }: TrainingMoment,
): BigInt64Array {
  const tokens = promptRows.length * P + sequences.length * C; // N
  const words = new BigInt64Array(2 * sites * tokens);
  const halves = new Uint32Array(words.buffer);
  const fill = (token: number, stream: number, name: number, position: number) => {
    for (let site = 0; site < sites; site++) {
      const [a0, a1, b0, b1] = philox(seed, stream, [position, name, step, site]);
      const multiplier = 2 * (2 * site * tokens + token);
      const offset = multiplier + 2 * tokens;
      halves[multiplier] = a0;
      halves[multiplier + 1] = a1;
      halves[offset] = b0;
      halves[offset + 1] = b1;
    }
  };
  promptRows.forEach((datum, row) => {
    const { promptTokens } = data[datum]!;
    const name = hashString(promptTokens.join(","));
    for (let t = 0; t < promptTokens.length - 1; t++) fill(row * P + t, PROMPT_STREAM, name, t);
  });
  sequences.forEach(({ datum }, s) => {
    const first = promptRows.length * P + s * C;
    const { length } = data[datum]!.completionTokens;
    for (let t = 0; t < length; t++) fill(first + t, COMPLETION_STREAM, dataBefore + datum, t);
  });
  return words;
}
