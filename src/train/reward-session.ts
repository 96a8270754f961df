/**
 * The rewards of a stage while it trains: opened before its first step, closed after its last, and what they remember
 * kept in the trainer's part of a checkpoint.
 */

import { z } from "zod";
import { CheckpointError } from "../errors.ts";
import { parseJson } from "../json-text.ts";
import type { RewardResult, WeightedReward } from "../rewards/reward.ts";
import { type RewardStates, rewardStates, withOpenRewards } from "../rewards/session.ts";
import type { StageLog, TrainContext } from "./context.ts";

/** The key of what rewards remember, in a checkpoint of a trainer that has rewards with a memory. */
const REWARD_STATES = "rewardStates";

/** JSON texts by the reward's name. */
const statesSchema = z.record(z.string(), z.string());

/**
 * Does `work` with the rewards of a stage ready, from the states of the checkpoint where one is resumed.
 *
 * @throws ConfigError for a reward that cannot be used.
 */
export function withStageRewards<T>(
  rewards: readonly WeightedReward[],
  { resumed, signal }: Partial<Pick<TrainContext, "resumed" | "signal">>,
  work: () => Promise<T>,
): Promise<T> {
  return withOpenRewards(keyed(rewards), { states: statesOf(resumed), signal }, work);
}

/** What the rewards remember after the last batch, as a trainer's checkpoint keeps it. */
export function rememberedRewards(rewards: readonly WeightedReward[]): Readonly<Record<string, string>> {
  const states = rewardStates(keyed(rewards));
  return Object.keys(states).length === 0 ? {} : { [REWARD_STATES]: JSON.stringify(states) };
}

const keyed = (rewards: readonly WeightedReward[]) => rewards.map(({ reward }) => [reward.name, reward] as const);

/** Tells the diary how many completions of an iteration a reward abstained from, and why from the first of them. */
export function logAbstentions(
  log: StageLog,
  iteration: number,
  rollouts: readonly { readonly rewards: Readonly<Record<string, RewardResult>> }[],
): void {
  for (const reward of Object.keys(rollouts[0]?.rewards ?? {})) {
    const asked = rollouts.flatMap(({ rewards }) => (rewards[reward]?.isForOthers ? [] : [rewards[reward]!]));
    const abstained = asked.filter(({ score }) => score === null);
    if (abstained.length === 0) continue;
    const { reason } = abstained[0]!;
    log.event("reward-abstained", { iteration, reward, completions: abstained.length, of: asked.length, reason });
  }
}

function statesOf(resumed: TrainContext["resumed"]): RewardStates {
  const text = resumed?.[REWARD_STATES];
  if (text === undefined) return {};
  const parsed = statesSchema.safeParse(
    parseJson(String(text), "The rewards' state in the checkpoint", CheckpointError),
  );
  if (parsed.success) return parsed.data;
  throw new CheckpointError("The rewards' state in the checkpoint is not in its form; start the stage anew.");
}
