/**
 * The rewards of a stage while it trains: opened before its first step, closed after its last, and what they remember
 * kept in the trainer's part of a checkpoint.
 */

import { z } from "zod";
import { CheckpointError } from "../errors.ts";
import { parseJson } from "../files.ts";
import type { WeightedReward } from "../rollout/collect.ts";
import type { StageLog, TrainerState } from "./context.ts";

/** The key of what rewards remember, in a checkpoint of a trainer that has rewards with a memory. */
const REWARD_STATES = "rewardStates";

/** JSON texts by the reward's name. */
const statesSchema = z.record(z.string(), z.string());

/**
 * Does `work` with the rewards ready, from the states of the checkpoint where one is resumed.
 *
 * @throws ConfigError for a reward that cannot be used.
 */
export async function withOpenRewards<T>(
  rewards: readonly WeightedReward[],
  resumed: TrainerState | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const states = statesOf(resumed);
  try {
    for (const { reward } of rewards) if ("open" in reward) await reward.open?.(states[reward.name]);
    return await work();
  } finally {
    for (const { reward } of rewards) if ("close" in reward) await reward.close?.();
  }
}

/** What the rewards remember after the last batch, as a trainer's checkpoint keeps it. */
export function rewardStates(rewards: readonly WeightedReward[]): Readonly<Record<string, string>> {
  const states: Record<string, string> = {};
  for (const { reward } of rewards) {
    const text = "state" in reward ? reward.state?.() : undefined;
    if (text !== undefined) states[reward.name] = text;
  }
  return Object.keys(states).length === 0 ? {} : { [REWARD_STATES]: JSON.stringify(states) };
}

/** Tells the diary how many completions of an iteration a reward abstained from, and why from the first of them. */
export function logAbstentions(
  log: StageLog,
  iteration: number,
  rollouts: readonly { readonly rewards: Readonly<Record<string, { score: number | null; reason: string }>> }[],
): void {
  for (const reward of Object.keys(rollouts[0]?.rewards ?? {})) {
    const abstained = rollouts.flatMap(({ rewards }) => (rewards[reward]?.score === null ? [rewards[reward]] : []));
    if (abstained.length === 0) continue;
    const { reason } = abstained[0]!;
    log.event("reward-abstained", { iteration, reward, completions: abstained.length, of: rollouts.length, reason });
  }
}

function statesOf(resumed: TrainerState | undefined): Record<string, string> {
  const text = resumed?.[REWARD_STATES];
  if (text === undefined) return {};
  const parsed = statesSchema.safeParse(
    parseJson(String(text), "The rewards' state in the checkpoint", CheckpointError),
  );
  if (parsed.success) return parsed.data;
  throw new CheckpointError("The rewards' state in the checkpoint is not in its form; start the stage anew.");
}
