/** The recipe's key `rollouts`: how sampled completions are kept, and what of each. */

import { z } from "zod";
import type { RolloutRecord } from "../run/records.ts";
import { sumOf } from "../statistics.ts";
import type { RolloutRow } from "../train/context.ts";

const MIB = 2 ** 20;

/** The key. */
export const rolloutsSchema = z.strictObject({
  format: z
    .enum(["jsonl", "parquet"])
    .default("jsonl")
    .describe("of full files, and in the end of all: parquet files appear whole, rows before that are JSON Lines"),
  logprobs: z
    .boolean()
    .default(false)
    .describe(
      "each completion's tokens, the sampler's log-probability of each, and what updates saw of them: ratio, entropy, advantage; large",
    ),
  maxFileBytes: z
    .int()
    .min(1024)
    .max(256 * MIB)
    .default(64 * MIB)
    .describe("a file that would become larger ends, and another begins; counted as JSON Lines"),
  keepFiles: z.int().min(1).optional().describe("full files that are kept, the newest; all if absent"),
});

export type RolloutsConfig = z.infer<typeof rolloutsSchema>;

/** Nine significant digits tell every float32 from its neighbours. */
const FLOAT32_DIGITS = 9;

/** A row of the log from what a trainer hands over. */
export function rolloutRecord(row: RolloutRow, { logprobs }: Pick<RolloutsConfig, "logprobs">) {
  const { tokens, samplerLogprobs, tokenAdvantages, ratios, entropies, ...about } = row;
  const record: Omit<RolloutRecord, "stage"> = {
    ...about,
    rewards: { ...about.rewards },
    samplerLogprob: rounded(sumOf(samplerLogprobs)),
    ...(logprobs && {
      tokens: Array.from(tokens),
      samplerLogprobs: Array.from(samplerLogprobs, rounded),
      ...(tokenAdvantages && { tokenAdvantages: Array.from(tokenAdvantages, rounded) }),
      ...(ratios && { ratios: Array.from(ratios, rounded) }),
      ...(entropies && { entropies: Array.from(entropies, rounded) }),
    }),
  };
  return record;
}

function rounded(value: number): number {
  return Number(value.toPrecision(FLOAT32_DIGITS));
}
