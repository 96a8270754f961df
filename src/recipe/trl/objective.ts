/**
 * What a TRL recipe optimizes, and with what: sampling, the loss, AdamW. Where a value is not given, TRL's default of the
 * version that the file was written for goes into the recipe.
 */

import { ConfigError } from "../../errors.ts";
import type { TrlLoss } from "../../losses/policy-loss.ts";
import { IMPORTANCE_SAMPLING_LEVELS } from "../../losses/policy-objective.ts";
import { losses, trlLossKeys } from "../../losses/registry.ts";
import { REWARD_AGGREGATIONS } from "../../rollout/advantages.ts";
import type { TrlDraft } from "./conversion.ts";
import { isSince } from "./releases.ts";
import { shown } from "./settings.ts";
import type { TrlReading } from "./version.ts";

/** Temperature, nucleus, top-k, length. */
export function setSampling(draft: TrlDraft, { defaults, version }: TrlReading): void {
  const { settings } = draft;
  const note = isSince(version, "0.16") ? "" : `in the loss too, where TRL ${version} had none`;
  const temperature = settings.number("temperature") ?? defaults.temperature;
  draft.becomes("temperature", draft.at("temperature"), temperature, { fallback: defaults.temperature, note });
  draft.becomes("top_p", draft.at("topP"), settings.number("top_p") ?? 1, { fallback: 1 });
  // vLLM's way to switch it off is -1.
  const topK = Math.max(0, settings.number("top_k") ?? (settings.written.has("top_k") ? 0 : defaults.top_k));
  draft.becomes("top_k", draft.at("topK"), topK, { fallback: defaults.top_k });
  const longest = settings.number("max_completion_length") ?? defaults.max_completion_length;
  draft.put("evaluation.maxCompletionTokens", longest);
  draft.becomes("max_completion_length", draft.at("maxCompletionTokens"), longest, {
    fallback: defaults.max_completion_length,
    note: "in evaluations too",
  });
}

/** Numbers that have the same meaning here, by TRL's name. */
const SAME_NUMBERS = {
  off_policy_mask_threshold: "offPolicyMaskThreshold",
  top_entropy_quantile: "topEntropyQuantile",
  entropy_coef: "entropyCoef",
} as const;

/** The policy loss, its mean, advantages and the KL term. Throws ConfigError for a loss that there is not. */
export function setLoss(draft: TrlDraft, reading: TrlReading): void {
  const { defaults } = reading;
  const { settings } = draft;
  const lossType = settings.text("loss_type") ?? defaults.loss_type;
  const loss = trlLoss(lossType);
  setKlTerm(draft, reading);
  setLossOptions(draft, loss.trl);
  const note = loss.trl.note ?? "";
  draft.becomes("loss_type", draft.at("lossType"), loss.name, { fallback: defaults.loss_type, note });
  const level = settings.text("importance_sampling_level");
  if (level !== undefined) requireOneOf("importance_sampling_level", level, IMPORTANCE_SAMPLING_LEVELS);
  const idle = loss.trl.unread?.importance_sampling_level;
  if (idle !== undefined) draft.hasNoEffect("importance_sampling_level", idle);
  else if (level !== undefined) {
    draft.becomes("importance_sampling_level", draft.at("importanceSamplingLevel"), level);
  }
  putNumbers(draft, SAME_NUMBERS);
  setEmbeddingNoise(draft, "in training passes; TRL adds it in sampling too where its own model samples");
  setTruncation(draft);
  setAdvantages(draft);
}

/** The loss that TRL calls `name`. Throws ConfigError where there is none. */
function trlLoss(name: string): { readonly name: string; readonly trl: TrlLoss } {
  const known = losses.all.flatMap(({ name: own, trl }) => (trl === undefined ? [] : [{ name: own, trl }]));
  requireOneOf(
    "loss_type",
    name,
    known.map(({ trl }) => trl.name),
  );
  return known.find(({ trl }) => trl.name === name)!;
}

/** The options of the loss; those of the others have no effect. */
function setLossOptions(draft: TrlDraft, { keys, unread = {} }: TrlLoss): void {
  const { settings } = draft;
  const read = new Set<string>();
  for (const { key, option, fallback, otherwise, note = "" } of keys) {
    const given = settings.number(key) ?? fallback;
    // Where another key stands in for this one, it is that one which the recipe's value comes from.
    const source = given === undefined && otherwise !== undefined ? otherwise.key : key;
    const stoodFor = otherwise && (settings.number(otherwise.key) ?? otherwise.fallback);
    const value = given ?? stoodFor;
    if (value === undefined) continue;
    read.add(source);
    draft.becomes(source, draft.at(option), value, { fallback: fallback ?? stoodFor, note });
  }
  const own = new Set(keys.map(({ key }) => key));
  for (const { key } of trlLossKeys()) {
    if (read.has(key) || own.has(key)) continue;
    draft.hasNoEffect(key, unread[key] ?? "of a loss_type that was not chosen");
  }
}

/** How rewards become advantages. */
function setAdvantages(draft: TrlDraft): void {
  const { settings } = draft;
  const aggregation = settings.text("multi_objective_aggregation");
  if (aggregation !== undefined) {
    requireOneOf("multi_objective_aggregation", aggregation, REWARD_AGGREGATIONS);
    draft.becomes("multi_objective_aggregation", draft.at("rewardAggregation"), aggregation);
  }
  if (aggregation === "normalize_then_sum") {
    draft.hasNoEffect("scale_rewards", "normalize_then_sum divides each reward by its group's deviation");
    return;
  }
  draft.becomes("scale_rewards", draft.at("scaleRewards"), settings.text("scale_rewards") ?? "group", {
    fallback: "group",
  });
}

/** β, the ratio before the KL term, and how the reference follows the policy. */
function setKlTerm(draft: TrlDraft, { defaults }: TrlReading): void {
  const { settings } = draft;
  const beta = settings.number("beta") ?? defaults.beta;
  draft.becomes("beta", draft.at("klCoef"), beta, { fallback: defaults.beta });
  const { use_bias_correction_kl: fallback } = defaults;
  if (beta === 0) draft.hasNoEffect("use_bias_correction_kl", "beta is 0: there is no KL term");
  else {
    const corrected = settings.boolean("use_bias_correction_kl") ?? fallback;
    draft.becomes("use_bias_correction_kl", draft.at("klBiasCorrection"), corrected, { fallback });
  }
  setReference(draft, beta, defaults);
}

/** How the reference of the KL term follows the policy, if it does. */
function setReference(draft: TrlDraft, beta: number, defaults: TrlReading["defaults"]): void {
  const { settings } = draft;
  if (!settings.boolean("sync_ref_model")) {
    draft.hasNoEffect("sync_ref_model", "the reference stays as it is");
    for (const key of ["ref_model_sync_steps", "ref_model_mixup_alpha"]) {
      draft.hasNoEffect(key, "of sync_ref_model, which is off");
    }
    return;
  }
  if (beta === 0)
    throw new ConfigError("sync_ref_model: true needs a beta above 0: without a KL term there is no reference.");
  const steps = settings.number("ref_model_sync_steps") ?? defaults.ref_model_sync_steps;
  const mixup = settings.number("ref_model_mixup_alpha") ?? defaults.ref_model_mixup_alpha;
  draft.hasNoEffect("sync_ref_model", "what refSyncSteps above 0 says");
  draft.becomes("ref_model_sync_steps", draft.at("refSyncSteps"), steps, { fallback: defaults.ref_model_sync_steps });
  draft.becomes("ref_model_mixup_alpha", draft.at("refSyncMixup"), mixup, { fallback: defaults.ref_model_mixup_alpha });
}

/**
 * RLOO's: the clipped ratio of whole completions, each compared with the others of its group, and the KL divergence taken
 * from the reward, as the sum of logπ − logπ_ref over the completion.
 */
export function setRlooLoss(draft: TrlDraft, { defaults }: TrlReading): void {
  const { settings } = draft;
  draft.put(draft.at("lossType"), "rloo");
  draft.put(draft.at("advantage"), "rloo");
  const beta = settings.number("beta") ?? defaults.beta;
  const note = beta === 0 ? "" : "taken from the reward";
  draft.becomes("beta", draft.at("klCoef"), beta, { fallback: defaults.beta, note });
  if (beta > 0) {
    draft.put(draft.at("klPlacement"), "reward");
    draft.put(draft.at("klEstimator"), "k1");
  }
  setReference(draft, beta, defaults);
  draft.becomes("epsilon", draft.at("clipEpsilon"), settings.number("epsilon") ?? 0.2, { fallback: 0.2 });
  putNumbers(draft, { epsilon_high: "clipEpsilonHigh" });
  const normalized = settings.boolean("normalize_advantages") ?? false;
  draft.becomes("normalize_advantages", draft.at("normalizeAdvantages"), normalized, { fallback: false });
  setTruncation(draft);
}

/** Whether completions that were cut count in the loss. */
function setTruncation(draft: TrlDraft): void {
  const masked = draft.settings.boolean("mask_truncated_completions") ?? false;
  draft.becomes("mask_truncated_completions", draft.at("maskTruncatedCompletions"), masked, { fallback: false });
}

/** Noise on the embeddings, in training passes. */
export function setEmbeddingNoise(draft: TrlDraft, note: string): void {
  const alpha = draft.settings.number("neftune_noise_alpha");
  if (alpha === undefined) return;
  draft.becomes("neftune_noise_alpha", draft.at("neftuneNoiseAlpha"), alpha, { note: alpha > 0 ? note : "" });
}

/** Numbers of the file that go into the recipe as they are, by TRL's name. */
function putNumbers(draft: TrlDraft, names: Readonly<Record<string, string>>): void {
  for (const [key, own] of Object.entries(names)) {
    const value = draft.settings.number(key);
    if (value !== undefined) draft.becomes(key, draft.at(own), value);
  }
}

function requireOneOf(key: string, value: string, known: readonly string[]): void {
  if (known.includes(value)) return;
  throw new ConfigError(`${key}: ${shown(value)} is not supported; there are ${known.join(", ")}.`);
}

/** AdamW by its names in transformers; those of bitsandbytes and paging differ in memory only. */
const ADAMW =
  /^(adamw_(hf|torch|torch_fused|torch_xla|torch_npu_fused|apex_fused|8bit|bnb_8bit|torch_4bit|torch_8bit)|paged_adamw_(32bit|8bit))$/;

/** AdamW; `clipping` is what DeepSpeed clips the gradient to. Throws ConfigError for another optimizer. */
export function setOptimizer(draft: TrlDraft, clipping: number | undefined): void {
  const { settings } = draft;
  const optim = settings.text("optim") ?? "adamw_torch";
  if (!ADAMW.test(optim)) {
    throw new ConfigError(`optim: ${shown(optim)} is not supported: the optimizer is AdamW (adamw_torch).`);
  }
  draft.hasNoEffect("optim", "AdamW, its moments in float32");
  const decay = settings.number("weight_decay") ?? 0;
  draft.becomes("weight_decay", draft.at("weightDecay"), decay, { fallback: 0 });
  draft.becomes("adam_beta1", draft.at("beta1"), settings.number("adam_beta1") ?? 0.9, { fallback: 0.9 });
  draft.becomes("adam_beta2", draft.at("beta2"), settings.number("adam_beta2") ?? 0.999, { fallback: 0.999 });
  draft.becomes("adam_epsilon", draft.at("adamEpsilon"), settings.number("adam_epsilon") ?? 1e-8, { fallback: 1e-8 });
  const given = settings.number("max_grad_norm");
  if (given !== undefined && clipping !== undefined && given !== clipping) {
    throw new ConfigError(
      `max_grad_norm is ${given}, deepspeed_config.gradient_clipping ${clipping}. Make them one number.`,
    );
  }
  const note = given === undefined && clipping !== undefined ? "deepspeed_config.gradient_clipping" : "";
  draft.becomes("max_grad_norm", draft.at("maxGradNorm"), given ?? clipping ?? 1, { fallback: clipping ?? 1, note });
}
