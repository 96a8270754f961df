/** Rewards on Node, where endpoints are asked over the network and a user's own rewards run in worker threads. */

import { ENDPOINTS } from "../endpoint/open.ts";
import type { RewardDeps } from "./entry.ts";
import * as registry from "./registry.ts";
import type { AnyReward, Reward, WeightedReward } from "./reward.ts";
import * as spec from "./spec.ts";

/** What Node hands to rewards. */
export const NODE_REWARD_DEPS = {
  endpoints: ENDPOINTS,
  // The thread is loaded when one is wanted.
  openUserReward: async (reference, options) => new (await import("./user/thread.ts")).UserReward(reference, options),
} as const satisfies RewardDeps;

/** `createRewards` of `spec.ts`, with what Node has. Throws ConfigError likewise. */
export function createRewards(specs: readonly spec.RewardSpec[], deps: RewardDeps = {}): WeightedReward[] {
  return spec.createRewards(specs, { ...NODE_REWARD_DEPS, ...deps });
}

/** `createReward` of `registry.ts`, with what Node has. Throws ConfigError likewise. */
export function createReward(name: registry.SingleRewardName, options?: unknown): Reward;
/** Any reward by name, as above. */
export function createReward(name: string, options?: unknown, deps?: RewardDeps): AnyReward;
/** The two above in one. */
export function createReward(name: string, options?: unknown, deps: RewardDeps = {}): AnyReward {
  return registry.createReward(name, options, { ...NODE_REWARD_DEPS, ...deps });
}
