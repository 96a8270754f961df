/**
 * The trainers of TRL whose recipes Aha can run, each with the keys that its file may have and the trainer of Aha's that does
 * its work. A further one is a table of keys, an entry here, and a program beside `grpo.ts`.
 */

import { losses } from "../../losses/registry.ts";
import { cachedBy } from "../../registry.ts";
import { rewards } from "../../rewards/registry.ts";
import { distillTrainer } from "../../train/distill/trainer.ts";
import { grpoTrainer } from "../../train/grpo/trainer.ts";
import { rewardModelTrainer } from "../../train/reward-model/trainer.ts";
import { sftTrainer } from "../../train/sft/trainer.ts";
import { DISTILLATION_KEYS } from "./keys/distillation.ts";
import { trainingKeys } from "./keys/every-trainer.ts";
import { grpoKeys, rlooKeys } from "./keys/grpo.ts";
import { REWARD_MODEL_KEYS } from "./keys/reward-model.ts";
import { SFT_KEYS } from "./keys/sft.ts";
import type { KeyEntry, KeyRule } from "./rule.ts";

/** Their names, as TRL's command line and `--trainer` have them. */
export const TRL_TRAINERS = ["grpo", "rloo", "sft", "reward", "distillation"] as const;

export type TrlTrainerName = (typeof TRL_TRAINERS)[number];

export interface TrlTrainer {
  readonly name: TrlTrainerName;
  /** For people: `GRPO`, `a reward model`. */
  readonly title: string;
  /** TRL's classes for its keys. */
  readonly config: string;
  /** Name and trainer of the stage that it becomes. */
  readonly stage: { readonly name: string; readonly trainer: string };
  /** What its file may hold. */
  readonly keys: ReadonlyMap<string, KeyRule>;
  /** Keys that tell it: those of its own class, and not of every trainer's. */
  readonly signs: ReadonlySet<string>;
}

/** Keys of TrainingArguments and of scripts that stand in trainers' own tables: they tell nothing. */
const NO_SIGNS = ["neftune_noise_alpha", "label_smoothing_factor", "past_index", "system_prompt"];

function trainer(
  name: TrlTrainerName,
  title: string,
  config: string,
  stage: TrlTrainer["stage"],
  { own, further = [] }: { readonly own: readonly KeyEntry[]; readonly further?: readonly string[] },
): TrlTrainer {
  const signs = new Set([...own.map(([key]) => key), ...further].filter((key) => !NO_SIGNS.includes(key)));
  return { name, title, config, stage, keys: trainingKeys(own), signs };
}

/** Keys that several classes have, and GRPOConfig has not; none of them has a meaning here. */
const OF_TEXTS = ["activation_offloading", "chat_template_path", "dataset_num_proc", "pad_token"];

/** By name, with the keys of the losses and rewards that there are now. */
export const trlTrainers: () => ReadonlyMap<TrlTrainerName, TrlTrainer> = cachedBy([losses, rewards], () => {
  const all = [
    trainer("grpo", "GRPO", "GRPOConfig", { name: grpoTrainer.name, trainer: grpoTrainer.name }, { own: grpoKeys() }),
    trainer("rloo", "RLOO", "RLOOConfig", { name: "rloo", trainer: grpoTrainer.name }, { own: rlooKeys() }),
    trainer(
      "sft",
      "SFT",
      "SFTConfig",
      { name: sftTrainer.name, trainer: sftTrainer.name },
      { own: SFT_KEYS, further: [...OF_TEXTS, "dataset_batch_size", "use_liger", "spectrum_config_path"] },
    ),
    trainer(
      "reward",
      "a reward model",
      "RewardConfig",
      { name: rewardModelTrainer.name, trainer: rewardModelTrainer.name },
      { own: REWARD_MODEL_KEYS, further: OF_TEXTS },
    ),
    trainer(
      "distillation",
      "on-policy distillation",
      "DistillationConfig or GKDConfig",
      { name: distillTrainer.name, trainer: distillTrainer.name },
      { own: DISTILLATION_KEYS, further: OF_TEXTS },
    ),
  ];
  return new Map(all.map((one) => [one.name, one]));
});
