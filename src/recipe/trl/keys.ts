/**
 * Every key that a TRL recipe for GRPO may have, and what Aha does with it. To give a key a meaning is to move its entry
 * from `REFUSED` to `CONVERTED` and to read it in `convert.ts`.
 */

import { trlLossKeys } from "../../losses/registry.ts";
import { KEYS_WITHOUT_MEANING, LAUNCHER_KEYS_WITHOUT_MEANING, ZERO_KEYS } from "./keys-without-meaning.ts";
import { rewardKeys } from "./reward-names.ts";
import { becomes, type KeyEntry, type KeyRule, nothing, refused } from "./rule.ts";

const CONVERTED: readonly KeyEntry[] = [
  ...becomes("text", "model_name_or_path", "model_revision", "tokenizer_name_or_path"),
  ...becomes("text", "dataset_id_or_path", "dataset_name", "dataset_config"),
  ...becomes("text", "dataset_splits", "dataset_train_split"),
  ...becomes("text", "output_dir", "run_name"),
  ...becomes("seed", "seed"),
  // The batch.
  ...becomes("whole", "per_device_train_batch_size", "per_gpu_train_batch_size", "gradient_accumulation_steps"),
  ...becomes("whole", "num_generations", "num_iterations", "generation_batch_size", "steps_per_generation"),
  // How long, and how fast.
  ...becomes("anyWhole", "max_steps"),
  ...becomes("positive", "num_train_epochs", "learning_rate"),
  ...becomes("text", "lr_scheduler_type"),
  ...becomes("mapping", "lr_scheduler_kwargs"),
  ...becomes("share", "warmup_ratio"),
  ...becomes("notNegative", "warmup_steps"),
  // AdamW.
  ...becomes("text", "optim"),
  ...becomes("notNegative", "weight_decay", "max_grad_norm"),
  ...becomes("belowOne", "adam_beta1", "adam_beta2"),
  ...becomes("positive", "adam_epsilon"),
  // Sampling.
  ...becomes("positive", "temperature"),
  ...becomes("shareAboveZero", "top_p"),
  ...becomes("anyWhole", "top_k"),
  ...becomes("whole", "max_completion_length"),
  // The loss.
  ...becomes("notNegative", "beta"),
  ...becomes("text", "loss_type"),
  ...becomes("scale", "scale_rewards"),
  ...becomes("boolean", "mask_truncated_completions", "use_bias_correction_kl", "sync_ref_model"),
  ...becomes("text", "importance_sampling_level", "multi_objective_aggregation"),
  ...becomes("number", "off_policy_mask_threshold", "entropy_coef"),
  ...becomes("share", "top_entropy_quantile"),
  ...becomes("notNegative", "neftune_noise_alpha"),
  ...becomes("shareAboveZero", "ref_model_mixup_alpha"),
  ...becomes("whole", "ref_model_sync_steps"),
  // Rewards.
  ...becomes("texts", "reward_funcs"),
  ...becomes("numbers", "reward_weights"),
  // Checkpoints and evaluations.
  ...becomes("text", "save_strategy", "eval_strategy", "evaluation_strategy"),
  ...becomes("positive", "save_steps", "eval_steps"),
  ...becomes("whole", "save_total_limit"),
];

const NO_CODE = "there is no reward that runs the code of a completion";

const OWN_TASK = "the prompts are those of Aha's Countdown task (--prompt)";

/** Adapters, quantization and what else decides how much memory a step takes (`adapter.ts`). */
const ADAPTERS: readonly KeyEntry[] = [
  ...becomes("boolean", "gradient_checkpointing"),
  ...becomes("boolean", "use_peft", "use_rslora", "load_in_4bit", "use_bnb_nested_quant"),
  ...becomes("whole", "lora_r"),
  ...becomes("positive", "lora_alpha"),
  ...becomes("belowOne", "lora_dropout"),
  ...becomes("texts", "lora_target_modules"),
  ...becomes("text", "lora_task_type", "bnb_4bit_quant_type"),
  refused("load_in_8bit", "weights are packed in 4 bits (load_in_4bit), or not at all", false),
  refused("lora_modules_to_save", "an adapter is the low-rank matrices of the projections and nothing else", []),
  refused("lora_target_parameters", "adapters are on whole projections (lora_target_modules)", []),
  refused("use_dora", "adapters are LoRA's, without DoRA's magnitudes", false),
  ...nothing("how PyTorch stores the packed codes", "bnb_4bit_quant_storage"),
];

const REFUSED: readonly KeyEntry[] = [
  refused("use_adaptive_entropy", "the entropy bonus has one coefficient throughout (entropy_coef)", false),
  refused("min_p", "the sampler has temperature, top_p and top_k", 0),
  refused("repetition_penalty", "the sampler has temperature, top_p and top_k", 1),
  refused("generation_kwargs", "the sampler has temperature, top_p and top_k", {}),
  refused("vllm_guided_decoding_regex", "completions are not constrained by a grammar"),
  refused("vllm_structured_outputs_regex", "completions are not constrained by a grammar"),
  refused("max_tool_calling_iterations", "completions call no tools"),
  refused("chat_template", OWN_TASK),
  refused("chat_template_kwargs", OWN_TASK, {}),
  refused("system_prompt", OWN_TASK),
  refused("dataset_prompt_column", OWN_TASK, "prompt"),
  refused("code_language", NO_CODE, "python"),
  refused("code_provider", NO_CODE, "e2b"),
  refused("code_eval_test_batch_size", NO_CODE, 1),
  refused("code_eval_scoring_mode", NO_CODE, "weighted_sum"),
  refused("parallel_code_exec_per_proc", NO_CODE, 2),
  refused("enforce_same_language", NO_CODE, false),
  refused("e2b_router_url", NO_CODE),
  refused("morph_router_url", NO_CODE),
  refused("ioi_provider", NO_CODE, "piston"),
  refused(
    "spectrum_config_path",
    "Spectrum trains chosen layers; here all weights are trained, or adapters (use_peft)",
  ),
  refused("dataset_mixture", "there is one data set"),
  refused("shuffle_dataset", "rows come in a seeded random order", true),
  refused("optim_args", "AdamW has adam_beta1, adam_beta2, adam_epsilon and weight_decay", ""),
  refused("optim_target_modules", "all weights have the same optimizer"),
  refused("adafactor", "the optimizer is AdamW", false),
  refused("eval_delay", "evaluations come at even distances", 0),
  refused("load_best_model_at_end", "the model of a run is the last one; checkpoints keep the others", false),
];

/** Of the launcher's file, or of the training file. */
const LAUNCHER: readonly KeyEntry[] = [
  ...becomes("whole", "num_processes"),
  ...becomes("mapping", "deepspeed_config"),
  ...LAUNCHER_KEYS_WITHOUT_MEANING,
];

/** Entries of the training file; losses and rewards bring keys of their own. */
export function trainingEntries(): KeyEntry[] {
  const brought = [...trlLossKeys(), ...rewardKeys()].flatMap(({ key, kind }) => becomes(kind, key));
  return [...CONVERTED, ...brought, ...ADAPTERS, ...REFUSED, ...KEYS_WITHOUT_MEANING];
}

/** What the training file may hold: TRL's keys, and those of the launcher. */
export function trlKeys(): ReadonlyMap<string, KeyRule> {
  return new Map([...LAUNCHER, ...trainingEntries()]);
}

/** What the launcher's file may hold (`--accelerate`). `debug` and the like are keys of both files. */
export const LAUNCHER_KEYS: ReadonlyMap<string, KeyRule> = new Map([
  ...LAUNCHER,
  ...KEYS_WITHOUT_MEANING.filter(([key]) => ["debug", "use_cpu", "fsdp_config", "parallelism_config"].includes(key)),
]);

/** What `deepspeed_config` may hold. */
export const DEEPSPEED_KEYS: ReadonlyMap<string, KeyRule> = new Map([
  ...becomes("text", "gradient_accumulation_steps", "gradient_clipping"),
  ...ZERO_KEYS,
]);
