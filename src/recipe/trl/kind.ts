/**
 * Which trainer of TRL a file is for, told by the keys that only that trainer's configuration has. Aha converts GRPO's;
 * files of the others, and rewards that execute code, are refused as a whole before any key is looked at, for a list of
 * unknown keys would not say what is the matter.
 *
 * Names are those of TRL 1.16 and of the older versions that had others (max_seq_length), and of open-r1's scripts.
 */

import { ConfigError } from "../../errors.ts";

/** Keys that only GRPO's recipes have. One of them is enough: what else stands there is a matter of single keys then. */
const GRPO_KEYS = [
  "reward_funcs",
  "reward_weights",
  "num_generations",
  "num_iterations",
  "max_completion_length",
  "generation_batch_size",
  "steps_per_generation",
  "scale_rewards",
  "mask_truncated_completions",
  "importance_sampling_level",
  "use_vllm",
  "temperature",
  "epsilon",
  "epsilon_high",
  "log_completions",
] as const;

interface OtherKind {
  /** What the file is, with its article. */
  readonly name: string;
  /** Whose keys they are. */
  readonly owner: string;
  readonly keys: readonly string[];
  /** What the user can do. */
  readonly instead: string;
}

const SFT_STAGE = "Write a recipe with a stage of the trainer sft and the task conversations";
const REWARD_STAGE = "a stage of the trainer reward_model";

/** The first whose keys the file has. A filter of open-r1's samples as GRPO does, so it is looked for before GRPO. */
const FILTER: OtherKind = {
  name: "a filter of a data set by pass rate",
  owner: "open-r1's script compute_pass_rate.py",
  keys: ["pass_rate_min", "pass_rate_max"],
  instead: "It trains nothing. Aha has no such filter",
};

const OTHER_KINDS: readonly OtherKind[] = [
  {
    name: "a DPO recipe",
    owner: "TRL's DPOConfig",
    keys: [
      "precompute_ref_log_probs",
      "precompute_ref_batch_size",
      "ref_model_name_or_path",
      "rpo_alpha",
      "label_smoothing",
      "f_divergence_type",
      "f_alpha_divergence_coef",
      "ld_alpha",
      "discopop_tau",
      "use_weighting",
      "loss_weights",
    ],
    instead: "Aha has no trainer for DPO; on pairs it trains a reward model, and GRPO against that",
  },
  {
    name: "a KTO recipe",
    owner: "TRL's KTOConfig",
    keys: ["desirable_weight", "undesirable_weight"],
    instead: "Aha has no trainer for KTO",
  },
  {
    name: "a recipe for a reward model",
    owner: "TRL's RewardConfig",
    keys: ["center_rewards_coefficient"],
    instead: `Write a recipe with ${REWARD_STAGE}`,
  },
  {
    name: "an SFT recipe",
    owner: "TRL's SFTConfig",
    keys: [
      "packing",
      "packing_strategy",
      "eval_packing",
      "assistant_only_loss",
      "completion_only_loss",
      "dataset_text_field",
      "dataset_kwargs",
      "max_seq_length",
      "num_of_sequences",
    ],
    instead: SFT_STAGE,
  },
  {
    name: "a recipe for SFT or a reward model",
    owner: "TRL's SFTConfig and RewardConfig, not of GRPOConfig",
    keys: ["max_length", "eos_token", "pad_token", "dataset_num_proc", "chat_template_path", "padding_free"],
    instead: `${SFT_STAGE}, or with ${REWARD_STAGE}`,
  },
];

/** open-r1's rewards that run what the model wrote, in E2B, Morph or Piston. */
const CODE_REWARDS = ["code", "binary_code", "ioi_code", "cf_code"] as const;

/**
 * Passes a file for GRPO, and one whose keys name no trainer, which is read as GRPO's.
 *
 * @throws ConfigError for a file of another kind, or one whose rewards execute code, by that name
 */
export function requireGrpo(mapping: Readonly<Record<string, unknown>>, source: string): void {
  const has = (key: string) => mapping[key] !== undefined && mapping[key] !== null;
  const isGrpo = GRPO_KEYS.some(has);
  const other = [FILTER, ...(isGrpo ? [] : OTHER_KINDS)].find(({ keys }) => keys.some(has));
  if (other !== undefined) {
    const found = other.keys.filter(has).join(", ");
    throw new ConfigError(
      `${source} is ${other.name}: ${found} is of ${other.owner}. --trl converts recipes for GRPO only. ${other.instead}.`,
    );
  }
  requireNoCode(mapping.reward_funcs, source);
}

function requireNoCode(rewards: unknown, source: string): void {
  const asked: readonly unknown[] = Array.isArray(rewards) ? rewards : [rewards];
  const code = CODE_REWARDS.filter((name) => asked.includes(name) || asked.includes(`${name}_reward`));
  if (code.length === 0) return;
  throw new ConfigError(
    `${source} asks for rewards that execute the code of completions (reward_funcs: ${code.join(", ")}). Aha runs no code ` +
      "that a model wrote, so it cannot judge these; choose a recipe whose rewards read the text.",
  );
}
