/**
 * The lifetime of rewards. They are opened with the state that they saved, used, stopped when the user stops the run,
 * and closed afterwards, also after an error. All code that asks rewards does it within such a session.
 *
 * A reward that was stopped gives lost abstentions (`isLost`) for what it was judging: after `signal` is aborted, its
 * results must not be used as judgements.
 */

import type { AnyReward, BatchReward } from "./reward.ts";

/** A reward, and the key under which its memory is kept: its name, or where that says too little a label. */
export type KeyedReward = readonly [key: string, reward: AnyReward];

/** What rewards remember, as JSON texts by key. */
export type RewardStates = Readonly<Record<string, string>>;

/**
 * Does `work` with the rewards ready.
 *
 * @throws ConfigError for a reward that cannot be used.
 */
export async function withOpenRewards<T>(
  rewards: readonly KeyedReward[],
  { states = {}, signal }: { readonly states?: RewardStates; readonly signal?: AbortSignal | undefined },
  work: () => Promise<T>,
): Promise<T> {
  const open = batchRewards(rewards);
  const stop = () => {
    for (const [, reward] of open) reward.stop?.();
  };
  signal?.addEventListener("abort", stop);
  try {
    for (const [key, reward] of open) await reward.open?.(states[key]);
    return await work();
  } finally {
    signal?.removeEventListener("abort", stop);
    for (const [, reward] of open) await reward.close?.();
  }
}

/** What the rewards remember after the last batch; those that remember nothing are left out. */
export function rewardStates(rewards: readonly KeyedReward[]): RewardStates {
  const states: Record<string, string> = {};
  for (const [key, reward] of batchRewards(rewards)) {
    const state = reward.state?.();
    if (state !== undefined) states[key] = state;
  }
  return states;
}

/** Rewards that judge synchronously need no opening and closing. */
function batchRewards(rewards: readonly KeyedReward[]): (readonly [string, BatchReward])[] {
  return rewards.flatMap(([key, reward]) => ("judge" in reward ? [] : [[key, reward] as const]));
}
