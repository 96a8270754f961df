/**
 * TRL's releases, and which of its keys came and went with which. So a file's keys say between which releases it can have
 * been written: one with `vllm_device` is of 0.17 at the latest, one with `num_iterations` of 0.16 at the earliest.
 *
 * Read from the last patch of each minor release in TRL's repository, and from the package of 1.16 (`make_trl_keys.py`; a
 * test compares the tables with that). Releases between 1.9 and 1.16 were not read.
 */

import type { TrlTrainerName } from "./trainers.ts";

/** Minor releases, oldest first. */
export const TRL_RELEASES: readonly string[] = [
  ...Array.from({ length: 21 }, (_, i) => `0.${i + 9}`),
  ...Array.from({ length: 10 }, (_, i) => `1.${i}`),
  "1.16",
];

/** The first release that has the trainer as it is today. */
export const FIRST_RELEASE: Readonly<Record<TrlTrainerName, string>> = {
  grpo: "0.14",
  rloo: "0.22",
  sft: "0.9",
  reward: "0.9",
  distillation: "0.11",
};

/** Keys by release. */
export type KeysByRelease = Readonly<Record<string, readonly string[]>>;

interface Lives {
  /** The first release that has them, where it is not the trainer's first. */
  readonly brought: KeysByRelease;
  /** The last release that has them, where it is not the newest. */
  readonly last: KeysByRelease;
}

/** Of ModelConfig and ScriptArguments. */
const EVERY_TRAINER: Lives = {
  brought: {
    "0.10": ["use_rslora"],
    "0.13": ["dataset_config"],
    "0.16": ["use_dora"],
    "0.19": ["dataset_streaming"],
    "0.21": ["lora_target_parameters"],
    "0.23": ["dtype"],
    "0.26": ["bnb_4bit_quant_storage"],
  },
  last: { "0.26": ["gradient_checkpointing_use_reentrant", "torch_dtype"] },
};

/** The same of the keys that single trainers have. */
const KEY_LIVES: Readonly<Record<TrlTrainerName, Lives>> = {
  grpo: {
    brought: {
      "0.15": [
        "ds3_gather_for_generation",
        "log_completions",
        "ref_model_mixup_alpha",
        "ref_model_sync_steps",
        "reward_weights",
        "sync_ref_model",
        "vllm_dtype",
        "vllm_max_model_len",
      ],
      "0.16": [
        "cache_implementation",
        "epsilon",
        "epsilon_high",
        "min_p",
        "num_iterations",
        "repetition_penalty",
        "scale_rewards",
        "top_k",
        "top_p",
        "vllm_enable_prefix_caching",
        "vllm_guided_decoding_regex",
        "vllm_server_host",
        "vllm_server_port",
        "vllm_server_timeout",
      ],
      "0.17": ["disable_dropout", "loss_type", "mask_truncated_completions", "shuffle_dataset", "use_liger_loss"],
      "0.18": [
        "delta",
        "generation_batch_size",
        "steps_per_generation",
        "vllm_mode",
        "vllm_server_base_url",
        "vllm_tensor_parallel_size",
      ],
      "0.19": ["generation_kwargs"],
      "0.20": ["importance_sampling_level", "top_entropy_quantile", "use_transformers_paged"],
      "0.21": ["vllm_model_impl"],
      "0.23": ["vllm_enable_sleep_mode", "vllm_importance_sampling_cap", "vllm_importance_sampling_correction"],
      "0.25": ["cast_lm_head_to_fp32", "chat_template_kwargs"],
      "0.26": [
        "log_unique_prompts",
        "num_generations_eval",
        "sapo_temperature_neg",
        "sapo_temperature_pos",
        "use_bias_correction_kl",
        "vllm_importance_sampling_mode",
        "vllm_max_model_length",
      ],
      "0.27": [
        "max_tool_calling_iterations",
        "multi_objective_aggregation",
        "off_policy_mask_threshold",
        "vllm_group_port",
        "vllm_structured_outputs_regex",
      ],
      "0.28": ["log_completions_hub_repo"],
      "1.0": ["pad_to_multiple_of", "vespo_k_neg", "vespo_k_pos", "vespo_lambda_neg", "vespo_lambda_pos"],
      "1.6": ["vllm_importance_sampling_clip_max", "vllm_importance_sampling_clip_min"],
      "1.7": [
        "router_aux_loss_coef",
        "transformers_continuous_batching_config",
        "use_transformers_continuous_batching",
      ],
      "1.8": [
        "entropy_coef",
        "entropy_coef_delta",
        "entropy_coef_max",
        "entropy_coef_min",
        "entropy_target",
        "use_adaptive_entropy",
      ],
      "1.9": ["log_multimodal"],
    },
    last: {
      "0.17": ["vllm_device", "vllm_dtype", "vllm_enable_prefix_caching", "vllm_max_model_len"],
      "0.27": ["max_prompt_length", "use_liger_loss", "vllm_guided_decoding_regex"],
    },
  },
  rloo: {
    brought: {
      "0.24": ["vllm_enable_sleep_mode"],
      "0.25": ["chat_template_kwargs"],
      "0.26": ["log_unique_prompts", "num_generations_eval"],
      "0.27": ["vllm_group_port", "vllm_max_model_length", "vllm_structured_outputs_regex"],
      "1.0": ["pad_to_multiple_of"],
      "1.7": [
        "router_aux_loss_coef",
        "transformers_continuous_batching_config",
        "use_transformers_continuous_batching",
      ],
      "1.9": ["log_multimodal"],
    },
    last: { "0.27": ["vllm_guided_decoding_regex"], "0.28": ["max_prompt_length"] },
  },
  sft: {
    brought: {
      "0.10": ["use_liger"],
      "0.16": ["max_length", "pad_token", "padding_free"],
      "0.17": ["completion_only_loss", "eos_token"],
      "0.18": ["activation_offloading", "pad_to_multiple_of"],
      "0.19": ["assistant_only_loss", "chat_template_path", "packing_strategy"],
      "0.23": ["loss_type"],
      "0.26": ["shuffle_dataset"],
      "1.0": ["truncation_mode"],
      "1.7": ["router_aux_loss_coef"],
    },
    last: {
      "0.17": ["chars_per_token", "dataset_batch_size", "num_of_sequences", "use_liger"],
      "0.19": ["max_seq_length"],
    },
  },
  reward: {
    brought: {
      "0.10": ["center_rewards_coefficient", "dataset_num_proc"],
      "0.14": ["disable_dropout"],
      "0.24": [
        "activation_offloading",
        "chat_template_path",
        "eos_token",
        "model_init_kwargs",
        "pad_to_multiple_of",
        "pad_token",
      ],
    },
    last: {},
  },
  // Two classes, GKDConfig and DistillationConfig, whose keys come and go apart: they say nothing of the release.
  distillation: { brought: {}, last: {} },
};

/** Position among the releases; −1 for none of them. */
export function releaseIndex(release: string): number {
  return TRL_RELEASES.indexOf(release);
}

/** Whether `release` is `other` or younger. */
export function isSince(release: string, other: string): boolean {
  return releaseIndex(release) >= releaseIndex(other);
}

/** The oldest and the newest release that a file can be of. */
export interface ReleaseSpan {
  readonly from: string;
  readonly to: string;
  /** The key that only releases up to `to` have; undefined where that is the newest. */
  readonly oldKey: string | undefined;
  /** The key that only releases since `from` have; undefined where that is the trainer's first. */
  readonly youngKey: string | undefined;
}

/** Between which releases a file with these keys was written, by the trainer's keys and by every trainer's. */
export function releaseSpan(keys: Iterable<string>, trainer: TrlTrainerName): ReleaseSpan {
  let span: ReleaseSpan = {
    from: FIRST_RELEASE[trainer],
    to: TRL_RELEASES.at(-1)!,
    oldKey: undefined,
    youngKey: undefined,
  };
  for (const key of keys) {
    for (const { brought, last } of [EVERY_TRAINER, KEY_LIVES[trainer]]) {
      const [since, until] = [releaseOf(brought, key), releaseOf(last, key)];
      if (since !== undefined && !isSince(span.from, since)) span = { ...span, from: since, youngKey: key };
      if (until !== undefined && !isSince(until, span.to)) span = { ...span, to: until, oldKey: key };
    }
  }
  return span;
}

function releaseOf(releases: KeysByRelease, key: string): string | undefined {
  return Object.keys(releases).find((release) => releases[release]!.includes(key));
}
