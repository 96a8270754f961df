/**
 * The losses that an engine differentiates, by their specs: their names, what they read, whether their numbers make sense,
 * and each one's terms, as a graph from per-token log-probabilities and as numbers. The sum over tokens, with its weights,
 * is the engine's.
 */

import { ConfigError } from "../errors.ts";
import { add, clip, exponential, multiply, negate, scale, subtract } from "../graph/ops/elementwise.ts";
import type { Tensor } from "../graph/tensor.ts";
import { KL_ESTIMATORS, klEstimate, klPenalty } from "./kl.ts";
import { CROSS_ENTROPY, isCrossEntropy, type LossSpec } from "./loss-spec.ts";
import type { PolicyLoss } from "./policy-loss.ts";
import { losses, lossOptions } from "./registry.ts";

/** Names of every loss that can be an engine's: cross-entropy, and the terms that have a graph. */
export function engineLossNames(): string[] {
  return [
    CROSS_ENTROPY,
    ...losses.all.filter(({ name, engineName, graph }) => graph && name === engineName).map(({ name }) => name),
  ];
}

/** Per-token data that a loss may read besides the policy's log-probabilities and its weight. */
export type LossInputName = "advantages" | "samplerLogprobs" | "refLogprobs";

/** Which per-token data the terms of a loss read. */
export function lossInputs(loss: LossSpec): readonly LossInputName[] {
  if (isCrossEntropy(loss)) return [];
  return loss.klCoef > 0 ? ["advantages", "samplerLogprobs", "refLogprobs"] : ["advantages", "samplerLogprobs"];
}

/** e^80 is a number in f32, and e^89 is not: its product with a gradient of zero would be NaN. */
const MAX_LOG_RATIO = 80;

/** Per-token loss terms [N] of log-probabilities [N]; `input` gives the per-token data by name, each [N]. */
export function tokenLoss(loss: LossSpec, logprobs: Tensor, input: (name: LossInputName) => Tensor): Tensor {
  if (isCrossEntropy(loss)) return negate(logprobs);
  const entry = lossWithGraph(loss.name);
  const logRatio = subtract(logprobs, input("samplerLogprobs"));
  const ratios = exponential(clip(logRatio, Number.NEGATIVE_INFINITY, MAX_LOG_RATIO));
  const terms = entry.graph({ logprobs, ratios, advantages: input("advantages") }, lossOptions(entry, loss));
  if (loss.klCoef === 0) return terms;
  const penalty = klPenalty(loss.klEstimator ?? "k3", logprobs, input("refLogprobs"));
  return add(scale(loss.klBiasCorrection ? multiply(penalty, ratios) : penalty, loss.klCoef), terms);
}

/** What a term is computed from as numbers; what the loss does not read may be absent. */
export interface TokenDatum {
  readonly logprob: number;
  readonly advantage?: number;
  readonly samplerLogprob?: number;
  readonly refLogprob?: number;
}

/** A term of `tokenLoss` and its slope by logπ, in double precision. */
export function tokenTerm(loss: LossSpec, token: TokenDatum): { readonly value: number; readonly slope: number } {
  const { logprob, advantage = 0, samplerLogprob = 0, refLogprob = 0 } = token;
  if (isCrossEntropy(loss)) return { value: -logprob, slope: -1 };
  const entry = losses.get(loss.name);
  const logRatio = logprob - samplerLogprob;
  const term = entry.value({ logprob, logRatio, advantage, sequenceWeight: 1 }, lossOptions(entry, loss));
  const slope = term.byLogprob + term.byLogRatio;
  if (loss.klCoef === 0) return { value: term.value, slope };
  const kl = klEstimate(loss.klEstimator ?? "k3", logprob, refLogprob);
  const factor = loss.klCoef * (loss.klBiasCorrection ? Math.exp(logRatio) : 1);
  const klSlope = kl.byLogprob + (loss.klBiasCorrection ? kl.value : 0);
  return { value: term.value + factor * kl.value, slope: slope + factor * klSlope };
}

/** Throws ConfigError for a loss that no engine can differentiate. */
function lossWithGraph(name: string): Required<Pick<PolicyLoss, "graph">> & PolicyLoss {
  const { graph, ...entry } = losses.get(name);
  if (graph !== undefined) return { ...entry, graph };
  throw new ConfigError(`The loss ${name} reads whole completions and has no graph; its slopes are computed instead.`);
}

/** What makes no sense about the numbers of a loss, as a sentence; undefined where they do. */
export function lossProblem(loss: LossSpec): string | undefined {
  return noiseProblem(loss) ?? termProblem(loss);
}

function noiseProblem({ name, embeddingNoise }: LossSpec): string | undefined {
  if (embeddingNoise === undefined) return undefined;
  const { alpha, seed } = embeddingNoise;
  if (Number.isFinite(alpha) && alpha > 0 && Number.isSafeInteger(seed)) return undefined;
  const found = `an alpha of ${alpha} and a seed of ${seed}`;
  return `The embeddingNoise of the loss ${name} takes an alpha above 0 and a whole seed, not ${found}; leave it out for none.`;
}

function termProblem(loss: LossSpec): string | undefined {
  if (isCrossEntropy(loss)) return undefined;
  const { name, klCoef, klEstimator = "k3" } = loss;
  if (!KL_ESTIMATORS.includes(klEstimator)) {
    return `The loss ${name} takes a klEstimator of ${KL_ESTIMATORS.join(", ")}, not ${JSON.stringify(klEstimator)}.`;
  }
  if (!(Number.isFinite(klCoef) && klCoef >= 0)) return `The loss ${name} takes a klCoef of at least 0, not ${klCoef}.`;
  try {
    lossOptions(losses.get(name), loss);
    return undefined;
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}
