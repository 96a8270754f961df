/** The keys of TRL's RewardConfig, from 0.9 to 1.16. */

import { becomes, type KeyEntry, nothing, refused } from "../rule.ts";

export const REWARD_MODEL_KEYS: readonly KeyEntry[] = [
  ...becomes("whole", "max_length"),
  ...becomes("notNegative", "center_rewards_coefficient"),
  ...becomes("text", "eos_token"),
  refused("neftune_noise_alpha", "a reward model is trained without noise on its embeddings", 0),
  ...nothing("of the trainer's own loss, which this one does not use", "label_smoothing_factor", "past_index"),
];
