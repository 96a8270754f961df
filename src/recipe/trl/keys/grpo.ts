/**
 * The keys of TRL's GRPOConfig and RLOOConfig, and of the scripts that take them, open-r1's and the seeds'. Losses and rewards
 * bring those that are options of theirs (`trl` of their entries).
 */

import { trlLossKeys } from "../../../losses/registry.ts";
import { rewardKeys } from "../reward-names.ts";
import { becomes, type KeyEntry, nothing, refused, type ValueKind } from "../rule.ts";
import { SAMPLER_KEYS } from "./own-keys.ts";

/** How completions are sampled and rewarded. */
const ROLLOUTS: readonly KeyEntry[] = [
  ...becomes("whole", "num_generations", "num_iterations", "generation_batch_size", "steps_per_generation"),
  ...becomes("positive", "temperature"),
  ...becomes("shareAboveZero", "top_p"),
  ...becomes("anyWhole", "top_k"),
  ...becomes("whole", "max_completion_length"),
  refused("min_p", "the sampler has temperature, top_p and top_k", 0),
  refused("repetition_penalty", "the sampler has temperature, top_p and top_k", 1),
  refused("generation_kwargs", "the sampler has temperature, top_p and top_k", {}),
  refused("vllm_guided_decoding_regex", "completions are not constrained by a grammar"),
  refused("vllm_structured_outputs_regex", "completions are not constrained by a grammar"),
  refused("max_tool_calling_iterations", "completions call no tools"),
  refused("shuffle_dataset", "rows come in a seeded random order", true),
  ...becomes("texts", "reward_funcs"),
  ...becomes("numbers", "reward_weights"),
  ...becomes("text", "reward_model_name_or_path"),
  ...becomes("text", "dataset_prompt_column", "system_prompt"),
  ...becomes("mapping", "chat_template_kwargs"),
  ...SAMPLER_KEYS,
  ...nothing(
    "no vLLM: the engine that trains also samples, on the same weights",
    "vllm_device",
    "vllm_dtype",
    "vllm_enable_prefix_caching",
    "vllm_max_model_len",
  ),
  ...nothing(
    "the engine keeps its own key-value cache",
    "transformers_continuous_batching_config",
    "use_transformers_continuous_batching",
    "use_transformers_paged",
  ),
  ...nothing(
    "no prompt is ever cut; one that does not fit into the context is an error (TRL cut its start, and dropped the key)",
    "max_prompt_length",
  ),
  ...nothing("the engine decides how many held-out problems are answered at once", "num_generations_eval"),
  ...nothing(
    "every completion is written to rollouts.jsonl, with its rewards",
    "log_completions",
    "log_completions_hub_repo",
    "log_completions_steps",
    "log_multimodal",
    "log_unique_prompts",
    "num_completions_to_print",
    "wandb_log_unique_prompts",
  ),
  ...nothing(
    "of rewards that run the code of completions, of which none is chosen",
    "code_eval_scoring_mode",
    "code_eval_test_batch_size",
    "code_language",
    "code_provider",
    "e2b_router_url",
    "enforce_same_language",
    "ioi_provider",
    "morph_router_url",
    "parallel_code_exec_per_proc",
  ),
];

/** What GRPO and RLOO both optimize with. */
const POLICY: readonly KeyEntry[] = [
  ...becomes("notNegative", "beta"),
  ...becomes("boolean", "mask_truncated_completions", "sync_ref_model"),
  ...becomes("shareAboveZero", "ref_model_mixup_alpha"),
  ...becomes("whole", "ref_model_sync_steps"),
];

/** Keys that are options of entries of a registry. */
function brought(entries: readonly { readonly key: string; readonly kind: ValueKind }[]): KeyEntry[] {
  return entries.flatMap(({ key, kind }) => becomes(kind, key));
}

/** GRPOConfig, and open-r1's GRPOScriptArguments. */
export function grpoKeys(): readonly KeyEntry[] {
  return [...GRPO_KEYS, ...brought(trlLossKeys()), ...brought(rewardKeys())];
}

const GRPO_KEYS: readonly KeyEntry[] = [
  ...ROLLOUTS,
  ...POLICY,
  ...becomes("text", "loss_type"),
  ...becomes("scale", "scale_rewards"),
  ...becomes("boolean", "use_bias_correction_kl"),
  ...becomes("text", "importance_sampling_level", "multi_objective_aggregation"),
  ...becomes("number", "off_policy_mask_threshold", "entropy_coef"),
  ...becomes("share", "top_entropy_quantile"),
  ...becomes("notNegative", "neftune_noise_alpha"),
  refused("use_adaptive_entropy", "the entropy bonus has one coefficient throughout (entropy_coef)", false),
  ...nothing(
    "of use_adaptive_entropy, which is off",
    "entropy_coef_delta",
    "entropy_coef_max",
    "entropy_coef_min",
    "entropy_target",
  ),
  ...nothing(
    "sampler and trainer share their weights and agree to 1e-4: there is nothing to correct",
    "vllm_importance_sampling_cap",
    "vllm_importance_sampling_clip_max",
    "vllm_importance_sampling_clip_min",
    "vllm_importance_sampling_correction",
    "vllm_importance_sampling_mode",
  ),
  ...nothing("logits are computed in float32 in any case", "cast_lm_head_to_fp32"),
  ...nothing("Liger's fused GPU kernels, which compute the same in less memory", "use_liger_loss"),
];

/** Of TRL's RLOO before 0.22, which was another trainer, with PPO's batches and names. */
const OLD_RLOO_KEYS = [
  "base_model",
  "cliprange",
  "cliprange_value",
  "exp_name",
  "gamma",
  "kl_coef",
  "lam",
  "local_rollout_forward_batch_size",
  "missing_eos_penalty",
  "non_eos_penalty",
  "normalize_advantage",
  "normalize_reward",
  "num_mini_batches",
  "num_ppo_epochs",
  "num_sample_generations",
  "penalty_reward_value",
  "response_length",
  "reward_model_path",
  "rloo_k",
  "sanity_check",
  "sft_model_path",
  "stop_token",
  "stop_token_id",
  "token_level_kl",
  "total_episodes",
  "vf_coef",
  "whiten_rewards",
];

/** RLOOConfig as it is since TRL 0.22. */
export function rlooKeys(): readonly KeyEntry[] {
  return [...RLOO_KEYS, ...brought(rewardKeys())];
}

const RLOO_KEYS: readonly KeyEntry[] = [
  ...ROLLOUTS,
  ...POLICY,
  ...becomes("betweenZeroAndOne", "epsilon"),
  ...becomes("positive", "epsilon_high"),
  ...becomes("boolean", "normalize_advantages"),
  refused("reward_clip_range", "rewards count as they are"),
  refused(
    "neftune_noise_alpha",
    "noise on embeddings needs terms of one token each; RLOO's are of whole completions",
    0,
  ),
  ...OLD_RLOO_KEYS.map((key) => refused(key, "it is of TRL's RLOO before 0.22, which was another trainer")),
];
