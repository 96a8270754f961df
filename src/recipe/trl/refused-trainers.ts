/**
 * The trainers of TRL that Aha has no counterpart of, with the keys that tell them. A file of theirs is refused by that
 * name, and told what there is in its place, instead of key by key.
 */

import type { TrlTrainerName } from "./trainers.ts";

export interface RefusedTrainer {
  /** As TRL's command line, or its experimental folder, names it. */
  readonly name: string;
  readonly title: string;
  readonly config: string;
  /** Whose keys it has too. */
  readonly base?: TrlTrainerName;
  /** Keys of its own class, as far as they are not of every trainer's or of its base's. */
  readonly signs: readonly string[];
  readonly inItsPlace: string;
}

const PAIRS =
  "Of pairs of answers Aha makes a reward model (--trainer reward, for rows with chosen and rejected), and GRPO learns from it.";
const REWARDS = "Aha learns from rewards with GRPO and RLOO.";
const DISTILLATION = "Aha distils on policy, by the reverse KL divergence (DistillationConfig with beta 1).";

/** Of those that learn from preferences. */
const PREFERENCE_KEYS = [
  "activation_offloading",
  "beta",
  "dataset_num_proc",
  "disable_dropout",
  "generate_during_eval",
  "is_encoder_decoder",
  "label_pad_token_id",
  "label_smoothing",
  "loss_type",
  "max_completion_length",
  "max_length",
  "max_prompt_length",
  "max_target_length",
  "padding_value",
  "truncation_mode",
];

const REFERENCE_KEYS = [
  "model_adapter_name",
  "precompute_ref_batch_size",
  "precompute_ref_log_probs",
  "ref_adapter_name",
  "ref_model_init_kwargs",
  "ref_model_mixup_alpha",
  "ref_model_sync_steps",
  "sync_ref_model",
];

const DENSITY_KEYS = ["max_density_ratio", "min_density_ratio", "prompt_sample_size"];

const PPO_KEYS = [
  "adap_kl_ctrl",
  "cliprange",
  "cliprange_value",
  "gamma",
  "init_kl_coef",
  "kl_coef",
  "lam",
  "local_rollout_forward_batch_size",
  "mini_batch_size",
  "missing_eos_penalty",
  "num_mini_batches",
  "num_ppo_epochs",
  "num_sample_generations",
  "ppo_epochs",
  "response_length",
  "reward_model_path",
  "sft_model_path",
  "stop_token",
  "stop_token_id",
  "temperature",
  "total_episodes",
  "vf_coef",
  "whiten_rewards",
];

export const REFUSED_TRAINERS: readonly RefusedTrainer[] = [
  {
    ...{ name: "dpo", title: "DPO", config: "DPOConfig", inItsPlace: PAIRS },
    signs: [
      ...PREFERENCE_KEYS,
      ...REFERENCE_KEYS,
      "discopop_tau",
      "f_alpha_divergence_coef",
      "f_divergence_type",
      "force_use_ref_model",
      "ld_alpha",
      "loss_weights",
      "pad_token",
      "padding_free",
      "reference_free",
      "rpo_alpha",
      "use_liger_loss",
      "use_logits_to_keep",
      "use_num_logits_to_keep",
      "use_weighting",
    ],
  },
  {
    ...{ name: "kto", title: "KTO", config: "KTOConfig", inItsPlace: PAIRS },
    signs: [...PREFERENCE_KEYS, ...REFERENCE_KEYS, ...DENSITY_KEYS, "desirable_weight", "undesirable_weight"],
  },
  { ...{ name: "orpo", title: "ORPO", config: "ORPOConfig", inItsPlace: PAIRS }, signs: PREFERENCE_KEYS },
  {
    ...{ name: "cpo", title: "CPO or SimPO", config: "CPOConfig", inItsPlace: PAIRS },
    signs: [...PREFERENCE_KEYS, "alpha", "cpo_alpha", "simpo_gamma"],
  },
  {
    ...{ name: "bco", title: "BCO", config: "BCOConfig", inItsPlace: PAIRS },
    signs: [...PREFERENCE_KEYS, ...DENSITY_KEYS, "precompute_ref_log_probs", "ref_model_init_kwargs"],
  },
  {
    ...{ name: "tpo", title: "TPO", config: "TPOConfig", inItsPlace: PAIRS },
    signs: [...PREFERENCE_KEYS, "tpo_alpha", "tpo_l_gamma"],
  },
  {
    ...{ name: "online_dpo", title: "online DPO, Nash-MD or XPO", config: "OnlineDPOConfig", inItsPlace: REWARDS },
    signs: [
      "alpha",
      "beta",
      "dataset_num_proc",
      "disable_dropout",
      "judge",
      "loss_type",
      "max_length",
      "max_new_tokens",
      "missing_eos_penalty",
      "mixture_coef",
      "reward_model_path",
      "reward_weights",
      "temperature",
    ],
  },
  { ...{ name: "ppo", title: "PPO", config: "PPOConfig", inItsPlace: REWARDS }, signs: PPO_KEYS },
  {
    ...{ name: "prm", title: "a process reward model", config: "PRMConfig", inItsPlace: PAIRS },
    signs: [
      "dataset_num_proc",
      "disable_dropout",
      "max_completion_length",
      "max_length",
      "max_prompt_length",
      "step_separator",
      "train_on_last_step_only",
    ],
  },
  {
    ...{ name: "gold", title: "GOLD", config: "GOLDConfig", base: "distillation", inItsPlace: DISTILLATION },
    signs: [
      "teacher_tokenizer_name_or_path",
      "uld_crossentropy_weight",
      "uld_distillation_weight",
      "uld_hybrid_matched_weight",
      "uld_hybrid_unmatched_weight",
      "uld_skip_student_eos",
      "uld_skip_teacher_eos",
      "uld_student_temperature",
      "uld_teacher_temperature",
      "uld_token_merge_strategy",
      "uld_use_hybrid_loss",
      "use_extended_uld",
      "use_uld_loss",
    ],
  },
  {
    ...{ name: "iw_opd", title: "IW-OPD", config: "IWOPDConfig", base: "distillation", inItsPlace: DISTILLATION },
    signs: ["distillation_objective", "iw_opd_epsilon", "iw_opd_gamma"],
  },
  {
    ...{ name: "minillm", title: "MiniLLM", config: "MiniLLMConfig", base: "grpo", inItsPlace: DISTILLATION },
    signs: ["gamma", "kd_temperature", "length_normalization", "rkl_advantage", "single_step_decomposition"],
  },
  {
    ...{ name: "sdft", title: "self-distillation (SDFT or SDPO)", config: "SDFTConfig or SDPOConfig", base: "grpo" },
    inItsPlace: DISTILLATION,
    signs: [
      "distillation_add_tail",
      "distillation_alpha",
      "distillation_is_clip",
      "distillation_mode",
      "distillation_topk",
      "distillation_weight",
      "feedback_template",
      "generate_from_teacher",
      "max_reprompt_len",
      "num_loss_tokens_to_skip",
      "reprompt_template",
      "solution_template",
      "teacher_model_kind",
      "teacher_prompt_template",
      "teacher_sync_steps",
      "teacher_update_rate",
      "use_successful_as_teacher",
    ],
  },
  {
    ...{ name: "async_grpo", title: "asynchronous GRPO", config: "AsyncGRPOConfig", base: "grpo", inItsPlace: REWARDS },
    signs: [
      "fork_threshold_tokens",
      "heartbeat_stale_after_s",
      "max_inflight_tasks",
      "max_staleness",
      "queue_maxsize",
      "request_timeout",
      "token_budget",
      "weight_sync_steps",
      "weight_sync_timeout",
    ],
  },
  {
    ...{ name: "a2po", title: "A*-PO", config: "A2POConfig", base: "grpo", inItsPlace: REWARDS },
    signs: ["beta1", "beta2", "filter_all_incorrect", "num_value_samples"],
  },
  {
    ...{ name: "papo", title: "a variant of GRPO", config: "PAPOConfig, GFPOConfig or DPPOConfig", base: "grpo" },
    inItsPlace: REWARDS,
    signs: [
      "clip_ratio_c",
      "der_loss_weight1",
      "der_loss_weight2",
      "divergence_topk",
      "divergence_type",
      "mask_ratio",
      "mask_type",
      "num_remains_in_group",
      "perception_loss_weight",
      "replay_buffer_size",
    ],
  },
  {
    ...{ name: "pass_rate", title: "open-r1's filter by pass rate", config: "compute_pass_rate.py", base: "grpo" },
    inItsPlace: "A data step of a pipeline filters by rewards (docs/pipelines.md).",
    signs: ["output_dataset_name", "pass_rate_max", "pass_rate_min"],
  },
];
