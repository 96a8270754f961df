/**
 * The keys that a TRL recipe of any trainer may have, and what Aha does with them: those of transformers' TrainingArguments,
 * of TRL's ModelConfig and ScriptArguments, and of the scripts around them. What is a trainer's own is beside this file.
 */

import { becomes, type KeyEntry, type KeyRule, nothing, refused } from "../rule.ts";
import { LAUNCHER_ENTRIES } from "./launcher.ts";
import { REPORTING_KEYS } from "./reporting.ts";
import { KEYS_WITHOUT_MEANING } from "./without-meaning.ts";

const CONVERTED: readonly KeyEntry[] = [
  ...becomes("text", "model_name_or_path", "model_revision", "tokenizer_name_or_path"),
  ...becomes("text", "chat_template", "chat_template_path"),
  ...becomes("text", "output_dir", "run_name"),
  ...becomes("seed", "seed"),
  // The data, in the several ways in which scripts name them.
  ...becomes("text", "dataset_id_or_path", "dataset_name", "dataset_config"),
  ...becomes("text", "dataset_split", "dataset_train_split", "dataset_test_split"),
  ...becomes("texts", "dataset_splits", "dataset_configs"),
  ...becomes("mapping", "dataset_mixture", "dataset_mixer"),
  ...becomes("mappings", "datasets"),
  ...becomes("positive", "test_split_size"),
  // The batch.
  ...becomes("whole", "per_device_train_batch_size", "per_gpu_train_batch_size", "gradient_accumulation_steps"),
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
  // Checkpoints and evaluations.
  ...becomes("text", "save_strategy", "eval_strategy", "evaluation_strategy"),
  ...becomes("positive", "save_steps", "eval_steps"),
  ...becomes("whole", "save_total_limit"),
];

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
  refused(
    "lora_modules_to_save",
    "an adapter is the low-rank matrices of the projections; embeddings and head stay as they are",
    [],
  ),
  refused("lora_target_parameters", "adapters are on whole projections (lora_target_modules)", []),
  refused("use_dora", "adapters are LoRA's, without DoRA's magnitudes", false),
  ...nothing("how PyTorch stores the packed codes", "bnb_4bit_quant_storage"),
];

const REFUSED: readonly KeyEntry[] = [
  refused("optim_args", "AdamW has adam_beta1, adam_beta2, adam_epsilon and weight_decay", ""),
  refused("optim_target_modules", "all weights have the same optimizer"),
  refused("adafactor", "the optimizer is AdamW", false),
  refused("eval_delay", "evaluations come at even distances", 0),
  refused("load_best_model_at_end", "the model of a run is the last one; checkpoints keep the others", false),
  refused(
    "spectrum_config_path",
    "Spectrum trains the layers that a file of signal-to-noise ratios names; here it is all weights, or an adapter",
  ),
  refused(
    "auto_insert_empty_system_msg",
    "conversations are rendered as they stand, without an empty system message",
    false,
  ),
];

/** Keys of the training file, whatever its trainer. */
export const EVERY_TRAINER: readonly KeyEntry[] = [
  ...CONVERTED,
  ...ADAPTERS,
  ...REPORTING_KEYS,
  ...REFUSED,
  ...KEYS_WITHOUT_MEANING,
];

/** Keys that both files have. */
const IN_BOTH = ["debug", "use_cpu", "fsdp_config", "parallelism_config"];

/** What the launcher's file may hold (`--accelerate`). */
export const LAUNCHER_KEYS: ReadonlyMap<string, KeyRule> = new Map([
  ...LAUNCHER_ENTRIES,
  ...EVERY_TRAINER.filter(([key]) => IN_BOTH.includes(key)),
]);

/** What a training file may hold: the keys of every trainer and of the launcher, and above them those of one trainer. */
export function trainingKeys(own: readonly KeyEntry[]): ReadonlyMap<string, KeyRule> {
  return new Map([...LAUNCHER_ENTRIES, ...EVERY_TRAINER, ...own]);
}
