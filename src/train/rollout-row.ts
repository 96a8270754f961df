/** A judged completion as trainers log it. */

import type { Rollout } from "../rollout/collect.ts";
import type { RolloutRow, UpdatedTokens } from "./context.ts";

/** The row of a completion that was learned from with this advantage in this iteration, and what updates saw of its tokens. */
export function rolloutRow(
  rollout: Rollout,
  advantage: number,
  iteration: number,
  numbers: UpdatedTokens = {},
): RolloutRow {
  return {
    iteration,
    promptId: rollout.promptId,
    sample: rollout.sample,
    prompt: rollout.problem.prompt,
    completion: rollout.text,
    rewards: Object.fromEntries(
      Object.entries(rollout.rewards).map(([name, { score, reason }]) => [name, { score, reason }]),
    ),
    reward: rollout.reward,
    advantage,
    solved: rollout.verdict.solved,
    finishReason: rollout.finishReason,
    promptTokens: rollout.promptTokens.length,
    lengthTokens: rollout.tokens.length,
    tokens: rollout.tokens,
    samplerLogprobs: rollout.samplerLogprobs,
    ...numbers,
  };
}
