/** The keys of TRL's RewardConfig, from 0.9 to 1.16. */

import { becomes, type KeyEntry, refused } from "../rule.ts";
import { OWN_LOSS_KEYS } from "./own-keys.ts";

export const REWARD_MODEL_KEYS: readonly KeyEntry[] = [
  ...becomes("whole", "max_length"),
  ...becomes("notNegative", "center_rewards_coefficient"),
  ...becomes("text", "eos_token"),
  refused("neftune_noise_alpha", "a reward model is trained without noise on its embeddings", 0),
  ...OWN_LOSS_KEYS,
];
