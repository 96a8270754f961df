/** The keys of TRL's SFTConfig, from 0.9 to 1.16. */

import { becomes, type KeyEntry, nothing, refused } from "../rule.ts";

export const SFT_KEYS: readonly KeyEntry[] = [
  ...becomes("boolean", "packing", "assistant_only_loss", "completion_only_loss"),
  ...becomes("whole", "max_length", "max_seq_length"),
  ...becomes(
    "text",
    "dataset_text_field",
    "text_column",
    "eos_token",
    "packing_strategy",
    "truncation_mode",
    "loss_type",
  ),
  ...becomes("mapping", "dataset_kwargs"),
  ...becomes("notNegative", "neftune_noise_alpha"),
  refused("label_smoothing_factor", "the loss is the cross-entropy with the text itself", 0),
  ...nothing(
    "packing needs no care here: every demonstration is a sequence of its own, and nothing is padded",
    "chars_per_token",
    "eval_packing",
    "num_of_sequences",
    "padding_free",
  ),
  ...nothing("of open-r1's benchmarks; the rows are trained on as they stand", "system_prompt"),
  ...nothing("for models that return their past", "past_index"),
];
