/**
 * What reinforcement learning minimises over one optimizer step, as data: a loss of the registry with its options, and what
 * every loss can be combined with, under the names that recipes have. `evaluate-objective.ts` is its mathematics,
 * `tokenLossOf` says which objectives an engine can differentiate in one pass.
 */

import type { KlEstimator } from "./kl.ts";
import type { EmbeddingNoise, LossSpec } from "./loss-spec.ts";
import { DEFAULT_LOSS_TYPE, losses, lossOptions } from "./registry.ts";

/**
 * Whose ratio counts: each token's, or that of the sequence, exp(mean_t(logπ − logπ_old)), for all its tokens (GSPO,
 * arXiv:2507.18071).
 */
export const IMPORTANCE_SAMPLING_LEVELS = ["token", "sequence"] as const;

export type ImportanceSamplingLevel = (typeof IMPORTANCE_SAMPLING_LEVELS)[number];

/** r = π/π_old of a token or sequence, A its advantage. */
export interface PolicyObjective {
  /** A loss of the registry. */
  readonly lossType: string;
  /** The options of that loss, defaults included. */
  readonly lossOptions: Readonly<Record<string, unknown>>;
  readonly importanceSamplingLevel: ImportanceSamplingLevel;
  /** β of the KL term in the loss; 0 is none. */
  readonly klCoef: number;
  readonly klEstimator: KlEstimator;
  /** Multiplies the KL term by r (DeepSeek-V3.2, arXiv:2512.02556). */
  readonly klBiasCorrection: boolean;
  /** Sequences with A < 0 and mean_t(logπ_sampler − logπ) above this are left out (DeepSeek-V3.2, eq. 9). */
  readonly offPolicyMaskThreshold?: number | undefined;
  /** Share of tokens, those of the highest entropy, whose policy term counts (arXiv:2506.01939); 1 is all. */
  readonly topEntropyQuantile: number;
  /** Coefficient of the mean entropy that is taken from the loss; 0 is none. */
  readonly entropyCoef: number;
  /** Logits are divided by it before the log-softmax, as the sampler did; > 0. */
  readonly temperature: number;
  /** Noise on the embeddings while the gradient is computed; only of objectives that are an engine's loss. */
  readonly embeddingNoise?: EmbeddingNoise;
}

/** What an objective is made of: keys of `PolicyObjective`, and beside them options of the loss. */
export type ObjectiveKeys = Partial<Omit<PolicyObjective, "lossOptions">> & Readonly<Record<string, unknown>>;

/**
 * The objective with TRL's default for what is not given, the temperature and loss type included; klBiasCorrection is off,
 * as in DeepSeekMath. Options of other losses are passed over.
 *
 * @throws ConfigError for an unknown loss, or an option that is out of range.
 */
export function policyObjective(given: ObjectiveKeys = {}): PolicyObjective {
  const { lossType = DEFAULT_LOSS_TYPE } = given;
  return {
    lossType,
    lossOptions: lossOptions(losses.get(lossType), given),
    importanceSamplingLevel: given.importanceSamplingLevel ?? "token",
    klCoef: given.klCoef ?? 0,
    klEstimator: given.klEstimator ?? "k3",
    klBiasCorrection: given.klBiasCorrection ?? false,
    offPolicyMaskThreshold: given.offPolicyMaskThreshold,
    topEntropyQuantile: given.topEntropyQuantile ?? 1,
    entropyCoef: given.entropyCoef ?? 0,
    temperature: given.temperature ?? 1,
    ...(given.embeddingNoise && { embeddingNoise: given.embeddingNoise }),
  };
}

/**
 * The engine's loss with the same gradient, where each term reads one token's numbers only; undefined where terms need
 * the whole sequence (its ratio, its drift) or the whole batch (its entropies). A correction of the sampler enters the
 * data: every policy term is proportional to its advantage.
 */
export function tokenLossOf(objective: PolicyObjective): LossSpec | undefined {
  const { temperature, klCoef, klEstimator, klBiasCorrection } = objective;
  const { graph, engineName } = losses.get(objective.lossType);
  if (graph === undefined || objective.importanceSamplingLevel === "sequence") return undefined;
  if (objective.offPolicyMaskThreshold !== undefined || objective.topEntropyQuantile < 1) return undefined;
  return {
    name: engineName,
    temperature,
    klCoef,
    ...(klCoef > 0 && { klEstimator, klBiasCorrection }),
    ...(objective.entropyCoef !== 0 && { entropyBonus: true }),
    ...(objective.embeddingNoise && { embeddingNoise: objective.embeddingNoise }),
    ...objective.lossOptions,
  };
}
