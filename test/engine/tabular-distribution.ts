/** Distributions over the next token as the reference engine has them: log-probabilities, drawn from and cut down one by one. */

import type { ScoreDatum } from "../../src/engine/contract/sampler.ts";
import type { SamplingParams } from "../../src/engine/contract/sampling.ts";
import type { LogitAdjustments } from "../../src/engine/contract/session.ts";

/** The token before each completion token. */
export function previousTokens({ promptTokens, completionTokens }: ScoreDatum): number[] {
  const last = promptTokens[promptTokens.length - 1]!;
  return Array.from(completionTokens, (_, t) => (t === 0 ? last : completionTokens[t - 1]!));
}

/** H = −Σ π logπ, in nats. */
export function entropyOf(logprobs: Float64Array): number {
  return -logprobs.reduce((sum, logprob) => (logprob === -Infinity ? sum : sum + Math.exp(logprob) * logprob), 0);
}

/** Greedy, or a draw from the tokens that min-p, top-k and then top-p leave, in order of falling probability (ties by id). */
export function drawToken(
  logprobs: Float64Array,
  { temperature, topK, topP, minP = 0 }: SamplingParams,
  barred: readonly number[],
  uniform: number,
): { readonly token: number; readonly kept?: Int32Array } {
  let ranked = Array.from(logprobs, (logprob, token) => ({ token, probability: Math.exp(logprob) }))
    .filter(({ token }) => !barred.includes(token))
    .sort((a, b) => b.probability - a.probability || a.token - b.token);
  if (temperature === 0) return { token: ranked[0]!.token };
  const least = minP * ranked[0]!.probability;
  ranked = ranked.filter(({ probability }) => probability >= least);
  if (topK > 0) ranked = ranked.slice(0, topK);
  const mass = () => ranked.reduce((sum, { probability }) => sum + probability, 0);
  if (topP < 1) {
    const enough = topP * mass();
    let sum = 0;
    ranked = ranked.filter(({ probability }) => {
      const needed = sum < enough;
      sum += probability;
      return needed;
    });
  }
  const kept = topK > 0 || topP < 1 || minP > 0 ? { kept: Int32Array.from(ranked, ({ token }) => token) } : {};
  let left = uniform * mass();
  for (const { token, probability } of ranked) {
    left -= probability;
    if (left < 0) return { token, ...kept };
  }
  return { token: ranked[ranked.length - 1]!.token, ...kept };
}

/** The distribution over `kept` alone, log-probabilities of all others −∞; the same one where nothing was left out. */
export function among(logprobs: Float64Array, kept: Int32Array | undefined): Float64Array {
  if (kept === undefined) return logprobs;
  const mass = kept.reduce((sum, token) => sum + Math.exp(logprobs[token]!), 0);
  const result = new Float64Array(logprobs.length).fill(Number.NEGATIVE_INFINITY);
  for (const token of kept) result[token] = logprobs[token]! - Math.log(mass);
  return result;
}

/** The logits that a token is drawn from: a bias added, then what the tokens so far cost, one rule after another. */
export function adjust(
  logits: Float64Array,
  prompt: Int32Array,
  completion: readonly number[],
  { bias, repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0 }: LogitAdjustments = {},
): Float64Array {
  return logits.map((logit, token) => {
    let value = logit + (bias?.get(token) ?? 0);
    const count = completion.filter((other) => other === token).length;
    if (count > 0 || prompt.includes(token)) value = value > 0 ? value / repetitionPenalty : value * repetitionPenalty;
    return value - frequencyPenalty * count - (count > 0 ? presencePenalty : 0);
  });
}

/** Log-softmax, [V]. */
export function logSoftmax(logits: Float64Array): Float64Array {
  const max = logits.reduce((most, value) => Math.max(most, value), -Infinity);
  const logSum = max + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - max), 0));
  return logits.map((value) => value - logSum);
}
