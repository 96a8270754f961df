/** What the reference engine refuses, as every engine has to: numbers out of range, data without what a loss reads. */

import type { AdamParams, Datum } from "../../src/engine/contract/policy.ts";
import type { SamplerInfo, ScoreDatum } from "../../src/engine/contract/sampler.ts";
import type { SamplingParams } from "../../src/engine/contract/sampling.ts";
import type { SequenceRequest } from "../../src/engine/contract/session.ts";
import { EngineError } from "../../src/errors.ts";
import { lossInputs, lossProblem } from "../../src/losses/engine-losses.ts";
import { type LossSpec, lossTemperature } from "../../src/losses/loss-spec.ts";

export function requireNumbers(what: string, valid: boolean, found: object): void {
  if (!valid) throw new EngineError(`Expected ${what}, got ${JSON.stringify(found)}.`);
}

/** As the contract wants it. Throws EngineError. */
export function requireTemperature(temperature: number): void {
  requireNumbers("a temperature above 0", temperature > 0 && temperature < Infinity, { temperature });
}

export function requireSampling(params: SamplingParams, leastTokens = 1): void {
  const { temperature, topP, topK, minP = 0, maxCompletionTokens } = params;
  const inRange = topP > 0 && topP <= 1 && topK >= 0 && minP >= 0 && minP <= 1;
  const valid = temperature >= 0 && temperature < Infinity && inRange;
  const whole = Number.isInteger(topK) && Number.isInteger(maxCompletionTokens) && maxCompletionTokens >= leastTokens;
  requireNumbers("parameters of a distribution, and whole limits", valid && whole, params);
}

/** Throws EngineError for a sequence that no session can have. */
export function requireSequence(info: SamplerInfo, request: SequenceRequest): void {
  const { tokens, params, adjustments = {}, topLogprobs = 0, promptLogprobs = 0, logprobTemperature = 1 } = request;
  requireSampling(params, 0);
  requireTokens(info, tokens, "a prompt");
  requireRoom(info, tokens.length + params.maxCompletionTokens);
  requireTemperature(logprobTemperature);
  const counts = [topLogprobs, promptLogprobs].every((count) => Number.isInteger(count) && count >= 0);
  requireNumbers("whole numbers of alternatives", counts, { topLogprobs, promptLogprobs });
  const { bias = new Map<number, number>(), ...penalties } = adjustments;
  const numbers = [...bias.values(), ...Object.values(penalties)].every(Number.isFinite);
  const { repetitionPenalty = 1 } = penalties;
  const known = [...bias.keys()].every((token) => token >= 0 && token < info.vocabSize);
  requireNumbers("biases of known tokens, and penalties", numbers && known && repetitionPenalty > 0, penalties);
}

export function requireLoss(loss: LossSpec): void {
  if (loss.embeddingNoise)
    throw new EngineError("A table has no embeddings to add noise to: leave embeddingNoise out.");
  requireTemperature(lossTemperature(loss));
  const problem = lossProblem(loss);
  if (problem) throw new EngineError(problem);
}

export function requireAdam(params: AdamParams): void {
  const finite = Object.values(params).every((value) => Number.isFinite(value) && value >= 0);
  requireNumbers(
    "numbers that AdamW takes",
    finite && params.beta1 < 1 && params.beta2 < 1 && params.epsilon > 0,
    params,
  );
}

export function requireColumns(datum: Datum, loss: LossSpec): void {
  const columns: Record<string, Float32Array | undefined> = { weights: datum.weights };
  if (loss.entropyBonus) columns.entropyWeights = datum.entropyWeights;
  for (const name of lossInputs(loss)) columns[name] = datum[name];
  for (const [name, column] of Object.entries(columns)) {
    if (column?.length === datum.completionTokens.length) continue;
    throw new EngineError(
      `The loss ${loss.name} needs ${datum.completionTokens.length} ${name}, one per completion token; got ${column?.length ?? "none"}.`,
    );
  }
}

export function requireDatum(info: SamplerInfo, datum: ScoreDatum): void {
  requireTokens(info, datum.promptTokens, "a prompt");
  requireTokens(info, datum.completionTokens, "a completion");
  requireRoom(info, datum.promptTokens.length + datum.completionTokens.length);
  const { completionTokens, keptTokens } = datum;
  if (keptTokens === undefined) return;
  const fits = keptTokens.length === completionTokens.length;
  if (fits && keptTokens.every((kept, t) => kept.includes(completionTokens[t]!))) return;
  throw new EngineError("Expected keptTokens for each completion token, itself among them.");
}

export function requireTokens({ vocabSize }: SamplerInfo, tokens: Int32Array, what: string): void {
  if (tokens.length === 0) throw new EngineError(`Expected ${what} of at least one token, got none.`);
  const stray = tokens.find((token) => token < 0 || token >= vocabSize);
  if (stray === undefined) return;
  throw new EngineError(`Token ${stray} of ${what} is not in the vocabulary of ${vocabSize}.`);
}

export function requireRoom({ maxContextTokens }: SamplerInfo, tokens: number): void {
  if (tokens <= maxContextTokens) return;
  throw new EngineError(`A sequence of ${tokens} tokens does not fit into ${maxContextTokens}.`);
}
