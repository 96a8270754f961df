/**
 * What a TRL recipe optimizes, and with what: sampling, the loss, AdamW. Where a value is not given, TRL's default of the
 * version that the file was written for goes into the recipe.
 */

import { ConfigError } from "../../errors.ts";
import { LOSS_TYPES } from "../../losses/policy-objective.ts";
import { STAGE, type TrlDraft } from "./conversion.ts";
import { shown } from "./settings.ts";
import type { TrlReading } from "./version.ts";

/** Temperature, nucleus, top-k, length. */
export function setSampling(draft: TrlDraft, { defaults, version }: TrlReading): void {
  const { settings } = draft;
  const at = (key: string) => `stages.${STAGE}.${key}`;
  const note = version === "0.14" ? "in the loss too, where TRL 0.14 had none" : "";
  const temperature = settings.number("temperature") ?? defaults.temperature;
  draft.becomes("temperature", at("temperature"), temperature, { fallback: defaults.temperature, note });
  draft.becomes("top_p", at("topP"), settings.number("top_p") ?? 1, { fallback: 1 });
  // vLLM's way to switch it off is -1.
  const topK = Math.max(0, settings.number("top_k") ?? (settings.written.has("top_k") ? 0 : defaults.top_k));
  draft.becomes("top_k", at("topK"), topK, { fallback: defaults.top_k });
  const longest = settings.number("max_completion_length") ?? defaults.max_completion_length;
  draft.put("evaluation.maxCompletionTokens", longest);
  draft.becomes("max_completion_length", at("maxCompletionTokens"), longest, {
    fallback: defaults.max_completion_length,
    note: "in evaluations too",
  });
}

/** The clipped objective and its mean. Throws ConfigError for a loss that there is not. */
export function setLoss(draft: TrlDraft, { defaults, version }: TrlReading): void {
  const { settings } = draft;
  const at = (key: string) => `stages.${STAGE}.${key}`;
  const beta = settings.number("beta") ?? defaults.beta;
  draft.becomes("beta", at("klCoef"), beta, { fallback: defaults.beta });
  draft.becomes("epsilon", at("clipEpsilon"), settings.number("epsilon") ?? 0.2, { fallback: 0.2 });
  const high = settings.number("epsilon_high");
  if (high !== undefined) draft.becomes("epsilon_high", at("clipEpsilonHigh"), high);
  const lossType = settings.text("loss_type") ?? defaults.loss_type;
  // The local batch that bnpo counts tokens of is the whole optimizer step here, which is what dapo means by it.
  const own = lossType === "bnpo" ? "dapo" : lossType;
  if (!LOSS_TYPES.some((known) => known === own)) {
    throw new ConfigError(
      `loss_type: ${shown(lossType)} cannot be done; there are ${[...LOSS_TYPES, "bnpo"].join(", ")}.`,
    );
  }
  const note = lossType === "bnpo" ? "the local batch is the whole optimizer step here" : "";
  draft.becomes("loss_type", at("lossType"), own, { fallback: defaults.loss_type, note });
  draft.becomes("scale_rewards", at("scaleRewards"), settings.text("scale_rewards") ?? "group", { fallback: "group" });
  const masked = settings.boolean("mask_truncated_completions") ?? false;
  draft.becomes("mask_truncated_completions", at("maskTruncatedCompletions"), masked, { fallback: false });
  setKlCorrection(draft, beta, version);
}

/** TRL 1.16 multiplies the KL term by the ratio, by default; Aha has the plain one of DeepSeekMath. */
function setKlCorrection(draft: TrlDraft, beta: number, version: string): void {
  const asked = draft.settings.boolean("use_bias_correction_kl");
  if (asked === true && beta > 0) {
    throw new ConfigError(
      "use_bias_correction_kl: true cannot be done: the KL term is not multiplied by the ratio. Set it to false.",
    );
  }
  draft.hasNoEffect("use_bias_correction_kl", beta > 0 ? "as it is here" : "beta is 0: there is no KL term");
  if (asked === undefined && beta > 0 && version !== "0.14") {
    draft.choices.push({
      what: "KL term",
      chosen: "that of DeepSeekMath; TRL 1.16 multiplies it by the ratio unless use_bias_correction_kl is false",
    });
  }
}

/** AdamW by its names in transformers; those of bitsandbytes and paging differ in memory only. */
const ADAMW =
  /^(adamw_(hf|torch|torch_fused|torch_xla|torch_npu_fused|apex_fused|8bit|bnb_8bit|torch_4bit|torch_8bit)|paged_adamw_(32bit|8bit))$/;

/** AdamW; `clipping` is what DeepSpeed clips the gradient to. Throws ConfigError for another optimizer. */
export function setOptimizer(draft: TrlDraft, clipping: number | undefined): void {
  const { settings } = draft;
  const at = (key: string) => `stages.${STAGE}.${key}`;
  const optim = settings.text("optim") ?? "adamw_torch";
  if (!ADAMW.test(optim)) {
    throw new ConfigError(`optim: ${shown(optim)} cannot be done: the optimizer is AdamW (adamw_torch).`);
  }
  draft.hasNoEffect("optim", "AdamW, its moments in float32");
  const decay = settings.number("weight_decay") ?? 0;
  draft.becomes("weight_decay", at("weightDecay"), decay, { fallback: 0 });
  draft.becomes("adam_beta1", at("beta1"), settings.number("adam_beta1") ?? 0.9, { fallback: 0.9 });
  draft.becomes("adam_beta2", at("beta2"), settings.number("adam_beta2") ?? 0.999, { fallback: 0.999 });
  draft.becomes("adam_epsilon", at("adamEpsilon"), settings.number("adam_epsilon") ?? 1e-8, { fallback: 1e-8 });
  const given = settings.number("max_grad_norm");
  if (given !== undefined && clipping !== undefined && given !== clipping) {
    throw new ConfigError(
      `max_grad_norm is ${given}, deepspeed_config.gradient_clipping ${clipping}. Make them one number.`,
    );
  }
  const note = given === undefined && clipping !== undefined ? "deepspeed_config.gradient_clipping" : "";
  draft.becomes("max_grad_norm", at("maxGradNorm"), given ?? clipping ?? 1, { fallback: clipping ?? 1, note });
}
