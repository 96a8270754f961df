/**
 * What the embedded engine asks of a request before it computes anything. Native code reads these numbers as addresses,
 * lengths and divisors, so values that make no sense are refused here, by name, before they reach it.
 */

import { EngineError } from "../../errors.ts";
import { lossProblem } from "../../losses/engine-losses.ts";
import { type LossSpec, lossTemperature } from "../../losses/loss-spec.ts";
import type { Capabilities } from "../contract/capabilities.ts";
import type { AdamParams, Datum } from "../contract/policy.ts";
import type { SamplerInfo, ScoreDatum } from "../contract/sampler.ts";
import type { SamplePrompt, SamplingParams } from "../contract/sampling.ts";
import type { LogitAdjustments, SequenceRequest } from "../contract/session.ts";
import type { LossColumn } from "./completion-loss.ts";

/** Throws EngineError for prompts or parameters that cannot be sampled with. */
export function requireSampling(info: SamplerInfo, prompts: readonly SamplePrompt[], params: SamplingParams): void {
  requireParams(params, 1);
  prompts.forEach(({ tokens, numSamples }, i) => {
    if (!isWhole(numSamples, 0)) {
      throw new EngineError(`Prompt ${i}: numSamples must be a whole number of at least 0, not ${numSamples}.`);
    }
    requireFits(info, `Prompt ${i}`, tokens.length, params.maxCompletionTokens);
    requireKnownTokens(info, `Prompt ${i}`, tokens);
  });
}

function requireParams(params: SamplingParams, leastTokens: 0 | 1): void {
  const { temperature, topP, topK, minP = 0, maxCompletionTokens, minCompletionTokens = 0 } = params;
  if (!isAtLeast(temperature, 0) || !(topP > 0 && topP <= 1) || !isWhole(topK, 0) || !(minP >= 0 && minP <= 1)) {
    const found = `temperature ${temperature}, topP ${topP}, topK ${topK}, minP ${minP}`;
    throw new EngineError(
      `Sampling takes a temperature ≥ 0, a topP in (0, 1], a whole topK ≥ 0 and a minP in [0, 1], not ${found}.`,
    );
  }
  if (!isWhole(maxCompletionTokens, leastTokens) || !isWhole(minCompletionTokens, 0)) {
    const found = `maxCompletionTokens ${maxCompletionTokens}, minCompletionTokens ${minCompletionTokens}`;
    const least = leastTokens === 1 ? "at least one token" : "a whole number of tokens";
    throw new EngineError(`A completion has ${least}, and limits are whole numbers; got ${found}.`);
  }
}

/** Throws EngineError for a sequence that cannot be sampled in a session. */
export function requireSequence(info: SamplerInfo, request: SequenceRequest): void {
  const { tokens, params, topLogprobs = 0, promptLogprobs = 0, logprobTemperature = 1, adjustments } = request;
  requireParams(params, 0);
  // Without a completion the prompt may fill the context.
  if (tokens.length === 0) throw new EngineError("A sequence needs a prompt of at least one token.");
  requireRoom(info, "The sequence", tokens.length, params.maxCompletionTokens);
  requireKnownTokens(info, "The prompt", tokens);
  requireTemperature(logprobTemperature);
  if (adjustments) requireAdjustments(info, adjustments);
  for (const [name, count] of Object.entries({ topLogprobs, promptLogprobs })) {
    if (!isWhole(count, 0)) throw new EngineError(`${name} must be a whole number of at least 0, not ${count}.`);
  }
}

function requireAdjustments(info: SamplerInfo, adjustments: LogitAdjustments): void {
  const { bias = new Map<number, number>(), ...penalties } = adjustments;
  const { repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0 } = penalties;
  const finite = [...bias.values(), repetitionPenalty, frequencyPenalty, presencePenalty].every(Number.isFinite);
  if (!finite || repetitionPenalty <= 0) {
    const found = JSON.stringify({ ...penalties, bias: Object.fromEntries(bias) });
    throw new EngineError(`Biases and penalties are numbers, the repetition penalty above 0, not ${found}.`);
  }
  requireKnownTokens(info, "The bias", Int32Array.from(bias.keys()));
}

/** Throws EngineError for data that cannot be scored. */
export function requireData(info: SamplerInfo, data: readonly ScoreDatum[]): void {
  if (data.length === 0) throw new EngineError("There is nothing to compute: the list of data is empty.");
  const hasKept = data[0]!.keptTokens !== undefined;
  data.forEach(({ promptTokens, completionTokens, keptTokens, targetTokens = completionTokens }, i) => {
    requireFits(info, `Datum ${i}`, promptTokens.length, completionTokens.length);
    requireKnownTokens(info, `Datum ${i}`, promptTokens);
    requireKnownTokens(info, `Datum ${i}`, completionTokens);
    if (targetTokens.length !== completionTokens.length) {
      const found = `${completionTokens.length} completion tokens and ${targetTokens.length} targetTokens`;
      throw new EngineError(`Datum ${i} has ${found}; there is one for each.`);
    }
    requireKnownTokens(info, `Datum ${i}, targetTokens,`, targetTokens);
    if ((keptTokens !== undefined) !== hasKept) {
      throw new EngineError(`All data of a call have keptTokens, or none; datum 0 and datum ${i} differ.`);
    }
    if (keptTokens) requireKept(info, `Datum ${i}`, targetTokens, keptTokens);
  });
}

/** Throws EngineError unless each completion token is among the tokens that it is said to have been drawn from. */
function requireKept(info: SamplerInfo, what: string, tokens: Int32Array, kept: readonly Int32Array[]): void {
  if (kept.length !== tokens.length) {
    throw new EngineError(`${what} has ${tokens.length} completion tokens and ${kept.length} sets of keptTokens.`);
  }
  kept.forEach((set, t) => {
    requireKnownTokens(info, `${what}, keptTokens ${t},`, set);
    if (set.includes(tokens[t]!)) return;
    throw new EngineError(`${what}: completion token ${t} (${tokens[t]}) is not among its keptTokens.`);
  });
}

/** Throws EngineError for a temperature that logits cannot be divided by. */
export function requireTemperature(temperature: number): void {
  if (isAtLeast(temperature, 0) && temperature > 0) return;
  throw new EngineError(`Scoring and training take a temperature above 0, not ${temperature}.`);
}

/** Throws EngineError for a loss that the engine does not have, or whose numbers make no sense. */
export function requireLoss({ losses }: Capabilities, loss: LossSpec): void {
  if (!losses.includes(loss.name)) {
    throw new EngineError(`This engine has the losses ${losses.join(", ")}, not ${JSON.stringify(loss.name)}.`);
  }
  requireTemperature(lossTemperature(loss));
  const problem = lossProblem(loss);
  if (problem) throw new EngineError(problem);
}

/** Throws EngineError for a share of the policy that a reference cannot be mixed with. */
export function requireMixup(mixup: number): void {
  if (mixup > 0 && mixup <= 1) return;
  throw new EngineError(`A reference takes a share in (0, 1] of the policy, not ${mixup}.`);
}

/** Throws EngineError for parameters with which AdamW would make weights that are no numbers. */
export function requireAdam(params: AdamParams): void {
  const { learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm } = params;
  const rates = [learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm];
  if (rates.every((value) => isAtLeast(value, 0)) && beta1 < 1 && beta2 < 1 && epsilon > 0) return;
  throw new EngineError(
    `AdamW takes numbers of at least 0, with beta1 and beta2 below 1 and epsilon above 0, not ${JSON.stringify(params)}.`,
  );
}

function requireFits(info: SamplerInfo, what: string, promptTokens: number, completionTokens: number): void {
  if (promptTokens === 0 || completionTokens === 0) {
    const found = `${promptTokens} and ${completionTokens}`;
    throw new EngineError(`${what} needs at least one prompt token and one completion token, not ${found}.`);
  }
  requireRoom(info, what, promptTokens, completionTokens);
}

function requireRoom(
  { maxContextTokens }: SamplerInfo,
  what: string,
  promptTokens: number,
  completionTokens: number,
): void {
  if (promptTokens + completionTokens > maxContextTokens) {
    const needed = `${promptTokens} prompt and ${completionTokens} completion tokens`;
    throw new EngineError(`${what} needs ${needed}; the model's context has ${maxContextTokens}.`);
  }
}

/** Throws EngineError for a token that the vocabulary does not have. */
export function requireKnownTokens(
  { vocabSize }: Pick<SamplerInfo, "vocabSize">,
  what: string,
  tokens: Int32Array,
): void {
  const bad = tokens.find((token) => token < 0 || token >= vocabSize);
  if (bad !== undefined) throw new EngineError(`${what} has token ${bad}; the model's vocabulary has ${vocabSize}.`);
}

function isAtLeast(value: number, least: number): boolean {
  return Number.isFinite(value) && value >= least;
}

function isWhole(value: number, least: number): boolean {
  return Number.isSafeInteger(value) && value >= least;
}

/** Throws EngineError unless every datum has this column, with one value for each completion token. */
export function requirePerToken(data: readonly Datum[], name: LossColumn): void {
  data.forEach(({ completionTokens: { length }, ...columns }, datum) => {
    const own = columns[name];
    if (own?.length === length) return;
    const found = own ? `${own.length} ${name}` : `no ${name}`;
    throw new EngineError(`Datum ${datum} has ${length} completion tokens and ${found}; this loss needs one for each.`);
  });
}
