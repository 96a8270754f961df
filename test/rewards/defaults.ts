/** Rewards with as few options as they can be made with. */

import { createReward } from "../../src/rewards/registry.ts";
import type { AnyReward } from "../../src/rewards/reward.ts";

/** Options that have no default. The endpoint is a port that nobody listens on. */
const NEEDED: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  reward_model: { path: "nowhere" },
  judge: { baseUrl: "http://127.0.0.1:9/v1", model: "none", attempts: 1, cacheDirectory: false },
};

/** The reward of that name, with what it cannot do without. */
export function rewardWithDefaults(name: string): AnyReward {
  return createReward(name, NEEDED[name] ?? {});
}
