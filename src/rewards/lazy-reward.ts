/**
 * A reward that is made when it is first needed: one that asks the network or starts a thread. Recipes are checked, and
 * rewards listed, without it.
 */

import type { BatchReward } from "./reward.ts";

/**
 * The reward that `load` gives, under its name. If `load` throws, the method of the reward that was called throws the
 * same error.
 */
export function lazyReward(name: string, load: () => Promise<BatchReward>): BatchReward {
  let loading: Promise<BatchReward> | undefined;
  let reward: BatchReward | undefined;
  const loaded = async () => {
    loading ??= load();
    reward = await loading;
    return reward;
  };
  return {
    name,
    open: async (state) => (await loaded()).open?.(state),
    judgeBatch: async (inputs) => (await loaded()).judgeBatch(inputs),
    state: () => reward?.state?.(),
    stop: () => reward?.stop?.(),
    close: async () => reward?.close?.(),
  };
}
