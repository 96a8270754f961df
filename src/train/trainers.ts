/** The trainers, by the names that recipes have for them. A new one of Aha's own is a folder beside this file, and a line. */

import { Registry } from "../registry.ts";
import { distillTrainer } from "./distill/trainer.ts";
import { grpoTrainer } from "./grpo/trainer.ts";
import { rewardModelTrainer } from "./reward-model/trainer.ts";
import { sftTrainer } from "./sft/trainer.ts";
import type { Trainer } from "./trainer.ts";

export const trainers = new Registry<Trainer>("trainer", [sftTrainer, grpoTrainer, rewardModelTrainer, distillTrainer]);
