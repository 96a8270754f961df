/**
 * The adapter of a TRL recipe, and what else saves memory: `use_peft` and what goes with it becomes `model.lora`,
 * `load_in_4bit` `model.quantization`, `gradient_checkpointing` `engine.gradientCheckpointing`. What the file leaves out is TRL's (`ModelConfig`: r 16, α 32, dropout 0.05) and PEFT's: without
 * `lora_target_modules` the adapter is on q_proj and v_proj, as PEFT has it for Qwen2, Qwen3 and Llama.
 *
 * What it is not: bitsandbytes to the bit. Its second quantization, of the scales (`use_bnb_nested_quant`), is left out.
 */

import { ConfigError, nearestName } from "../../errors.ts";
import { ALL_LORA_TARGETS } from "../../model/lora.ts";
import type { TrlDraft } from "./conversion.ts";
import { shown } from "./settings.ts";

/** PEFT's `TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING` for the three architectures. */
const DEFAULT_TARGETS = ["q_proj", "v_proj"];

const LORA_KEYS = ["lora_r", "lora_alpha", "lora_dropout", "lora_target_modules", "use_rslora", "lora_task_type"];
const BNB_KEYS = ["bnb_4bit_quant_type", "use_bnb_nested_quant"];

/** Sets `model.lora`, `model.quantization` and `engine.gradientCheckpointing`. Throws ConfigError for what cannot be trained. */
export function setAdapter(draft: TrlDraft): void {
  setLora(draft);
  setQuantization(draft);
  setCheckpointing(draft);
}

/**
 * The same for a reward model, which is trained whole.
 *
 * @throws ConfigError for an adapter or packed weights, by name
 */
export function requireNoAdapter(draft: TrlDraft): void {
  for (const key of ["use_peft", "load_in_4bit"]) {
    if (draft.settings.boolean(key) !== true) continue;
    throw new ConfigError(
      `${key}: true is not supported: a reward model is trained whole, in float32. Leave it out (--set ${key}=false).`,
    );
  }
  draft.hasNoEffect("use_peft", "all weights are trained");
  for (const key of LORA_KEYS) draft.hasNoEffect(key, "of use_peft, which is off");
  draft.hasNoEffect("load_in_4bit", "weights are held in float32");
  for (const key of BNB_KEYS) draft.hasNoEffect(key, "of load_in_4bit, which is off");
  setCheckpointing(draft);
}

function setCheckpointing(draft: TrlDraft): void {
  const checkpointing = draft.settings.boolean("gradient_checkpointing");
  if (checkpointing === undefined) return;
  draft.becomes("gradient_checkpointing", "engine.gradientCheckpointing", checkpointing, {
    note: "memory for time",
  });
}

function setLora(draft: TrlDraft): void {
  const { settings } = draft;
  if (settings.boolean("use_peft") !== true) {
    draft.hasNoEffect("use_peft", "all weights are trained");
    for (const key of LORA_KEYS) draft.hasNoEffect(key, "of use_peft, which is off");
    return;
  }
  draft.hasNoEffect("use_peft", "what model.lora says by being there");
  draft.becomes("lora_r", "model.lora.rank", settings.number("lora_r") ?? 16, { fallback: 16 });
  draft.becomes("lora_alpha", "model.lora.alpha", settings.number("lora_alpha") ?? 32, { fallback: 32 });
  draft.becomes("lora_dropout", "model.lora.dropout", settings.number("lora_dropout") ?? 0.05, { fallback: 0.05 });
  const rsLora = settings.boolean("use_rslora") ?? false;
  draft.becomes("use_rslora", "model.lora.rsLora", rsLora, { fallback: false });
  const targets = targetsOf(settings.texts("lora_target_modules"));
  const note = settings.has("lora_target_modules") ? "" : "PEFT's default for these architectures";
  draft.becomes("lora_target_modules", "model.lora.targets", targets, { fallback: null, note });
  const taskType = settings.text("lora_task_type") ?? "CAUSAL_LM";
  if (taskType !== "CAUSAL_LM") {
    throw new ConfigError(
      `lora_task_type: ${shown(taskType)} is not supported: what is trained is a causal language model (CAUSAL_LM).`,
    );
  }
  draft.hasNoEffect("lora_task_type", "what is trained is a causal language model");
}

function targetsOf(given: readonly string[] | undefined): string | readonly string[] {
  if (given === undefined) return DEFAULT_TARGETS;
  if (given.length === 1 && given[0] === "all-linear") return "all-linear";
  for (const name of given) {
    if (ALL_LORA_TARGETS.some((target) => target === name)) continue;
    const nearest = nearestName(name, [...ALL_LORA_TARGETS, "all-linear"]);
    const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
    throw new ConfigError(
      `lora_target_modules: ${shown(name)} cannot be adapted; there are ${ALL_LORA_TARGETS.join(", ")}, or all-linear ` +
        `for all of them.${hint}`,
    );
  }
  return [...new Set(given)];
}

function setQuantization(draft: TrlDraft): void {
  const { settings } = draft;
  if (settings.boolean("load_in_4bit") !== true) {
    draft.hasNoEffect("load_in_4bit", "weights are held in float32");
    for (const key of BNB_KEYS) draft.hasNoEffect(key, "of load_in_4bit, which is off");
    return;
  }
  if (settings.boolean("use_peft") !== true) {
    throw new ConfigError(
      "load_in_4bit: weights in 4 bits cannot be trained; set use_peft: true for an adapter beside them, or leave " +
        "load_in_4bit out.",
    );
  }
  const type = settings.text("bnb_4bit_quant_type") ?? "nf4";
  if (type !== "nf4") {
    throw new ConfigError(`bnb_4bit_quant_type: ${shown(type)} is not supported: weights are packed as nf4.`);
  }
  draft.becomes("load_in_4bit", "model.quantization", type);
  if (settings.has("bnb_4bit_quant_type")) draft.becomes("bnb_4bit_quant_type", "model.quantization", type);
  draft.hasNoEffect(
    "use_bnb_nested_quant",
    settings.boolean("use_bnb_nested_quant")
      ? "blocks' scales stay in float32: 0.37 bits a weight more, and nothing lost"
      : "blocks' scales are not packed",
  );
}
