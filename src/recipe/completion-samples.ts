/**
 * The recipe's key `completionSamples`: which completions of training are also written as plain text
 * (`run/completion-samples.ts`), as the reward functions of Mini-R1 do.
 *
 * Two independent draws are made for each completion: one for the file of all completions, and, if it solves its
 * problem, one for the file of successes. A draw is a function of seed, iteration, prompt and sample, so a resumed run
 * writes the same texts.
 */

import { z } from "zod";
import { endsInsideThink } from "../expression/answer.ts";
import { hashString, uniformAt } from "../random.ts";
import type { SampleFile } from "../run/stage-writer.ts";
import type { RolloutRow } from "../train/context.ts";

/** The key. */
export const completionSamplesSchema = z.strictObject({
  share: z.number().min(0).max(1).default(0.1).describe("of the completions, and again of those that are solved"),
});

export type CompletionSamplesConfig = z.infer<typeof completionSamplesSchema>;

const STREAM = hashString("completion-samples");

/** The texts of `rows` that are drawn. Where the prompt has opened the thinking, the tag stands before the completion. */
export function drawnSamples(
  rows: readonly RolloutRow[],
  { share }: CompletionSamplesConfig,
  seed: number,
): Readonly<Record<SampleFile, readonly string[]>> {
  const isDrawn = ({ iteration, promptId, sample }: RolloutRow, file: number) =>
    uniformAt(seed, STREAM, [iteration, promptId, sample, file]) < share;
  const text = ({ prompt, completion }: RolloutRow) => `${endsInsideThink(prompt) ? "<think>" : ""}${completion}`;
  return {
    all: rows.filter((row) => isDrawn(row, 0)).map(text),
    solved: rows.filter((row) => row.solved && isDrawn(row, 1)).map(text),
  };
}
