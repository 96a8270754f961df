/** The trainers, by the names that recipes have for them. A new one of Aha's own is a folder beside this file, and a line. */

import { Registry } from "../registry.ts";
import { distill } from "./distill/trainer.ts";
import { grpo } from "./grpo/trainer.ts";
import { rewardModel } from "./reward-model/trainer.ts";
import { sft } from "./sft/trainer.ts";
import type { Trainer } from "./trainer.ts";

export const trainers = new Registry<Trainer>("trainer", [sft, grpo, rewardModel, distill]);
