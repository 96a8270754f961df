/**
 * Losses as data: what an engine is asked to differentiate. A spec is JSON-serialisable: a name, what every loss may have,
 * and the options of the loss that has the name (`registry.ts`). The engine computes Σ_t weight_t · term_t (− Σ_t
 * entropyWeight_t · H_t, where asked); normalisation (over tokens, sequences, a group) is in the weights, which the trainer
 * computes over the whole optimizer step, so micro-batching cannot change the result.
 *
 * Every term here reads the numbers of one token. A loss whose terms read a whole sequence, or the whole batch, is a
 * `PolicyObjective`: its gradient by log-probability is worked out from a forward pass, and the engine differentiates
 * cross-entropy with that as its weights.
 */

import type { KlEstimator } from "./kl.ts";

/**
 * Noise on the embeddings of the tokens that a loss is computed from (NEFTune, arXiv:2310.05914): x + α/√(L·H)·ε, ε uniform
 * on [−1, 1] in every element, L the tokens of the sequence, prompt and completion, H the width of the embedding. ε is a
 * function of (seed, optimizer steps taken, which datum since the last step, position, element).
 */
export interface EmbeddingNoise {
  /** α > 0. */
  readonly alpha: number;
  /** Root of the random numbers: a whole number, of which 32 bits count. */
  readonly seed: number;
}

/** What every loss may have beside its own term. */
interface TokenLossSpec {
  /** > 0; logits are divided by it before the log-softmax. 1 by default. */
  readonly temperature?: number;
  /** None where absent. Engines that have it say so (`Capabilities.embeddingNoise`), others refuse the loss. */
  readonly embeddingNoise?: EmbeddingNoise;
  /** True: − Σ_t entropyWeight_t · H_t is part of the loss, H_t the entropy of the distribution that token t is drawn
   * from. Data then carry `entropyWeights`. False by default. */
  readonly entropyBonus?: boolean;
}

/** term = −logπ(token). */
export interface CrossEntropyLoss extends TokenLossSpec {
  readonly name: "cross_entropy";
}

/** term = policy term + klCoef · KL, the policy term that of the loss `name`, whose options stand beside these keys.
 * r = exp(logπ − logπ_sampler). */
export interface PolicyLossSpec extends TokenLossSpec {
  readonly name: string;
  /** > 0; logits are divided by it before the log-softmax, as the sampler did. */
  readonly temperature: number;
  /** β ≥ 0; 0 leaves the KL term, and the need for reference log-probabilities, out. */
  readonly klCoef: number;
  /** k3 by default. */
  readonly klEstimator?: KlEstimator;
  /** True: the KL term is multiplied by r, which makes its gradient that of the divergence itself (DeepSeek-V3.2,
   * arXiv:2512.02556). False by default. */
  readonly klBiasCorrection?: boolean;
  readonly [option: string]: unknown;
}

/** Either kind. */
export type LossSpec = CrossEntropyLoss | PolicyLossSpec;

/** Whether the spec is that of cross-entropy, which every engine that trains has. */
export function isCrossEntropy(loss: LossSpec): loss is CrossEntropyLoss {
  return loss.name === CROSS_ENTROPY;
}

/** The name of the loss that needs no advantages. */
export const CROSS_ENTROPY = "cross_entropy";

/** The temperature that logits are divided by under this loss. */
export function lossTemperature(loss: LossSpec): number {
  return loss.temperature ?? 1;
}
