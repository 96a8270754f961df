/**
 * What reinforcement learning minimises over one optimizer step, as data: the policy loss with all its knobs, under the
 * names that recipes have. `evaluate-objective.ts` is its mathematics, `tokenLossOf` says which objectives an engine can
 * differentiate in one pass.
 *
 * The names of the losses are TRL's `loss_type`. Each is a term per token or sequence and a mean over them
 * (`rollout/loss-weights.ts`):
 *
 *   grpo bnpo dr_grpo dapo luspo   the clipped ratio, averaged in five ways
 *   cispo                          the capped ratio as a constant before logπ (MiniMax-M1, arXiv:2506.13585)
 *   sapo                           a sigmoid in place of the clip (arXiv:2511.20347)
 *   vespo                          a smooth weight of the whole sequence's ratio (arXiv:2602.10693)
 *   rloo                           the clipped ratio of whole completions (Ahmadian et al., arXiv:2402.14740)
 */

import type { EmbeddingNoise, KlEstimator, LossSpec } from "./loss-spec.ts";

/** Names of the losses. */
export const LOSS_TYPES = ["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo", "rloo"] as const;

export type LossType = (typeof LOSS_TYPES)[number];

/**
 * Whose ratio counts: each token's, or that of the sequence, exp(mean_t(logπ − logπ_old)), for all its tokens (GSPO,
 * arXiv:2507.18071).
 */
export const IMPORTANCE_SAMPLING_LEVELS = ["token", "sequence"] as const;

export type ImportanceSamplingLevel = (typeof IMPORTANCE_SAMPLING_LEVELS)[number];

/** r = π/π_old of a token or sequence, A its advantage. */
export interface PolicyObjective {
  readonly lossType: LossType;
  readonly importanceSamplingLevel: ImportanceSamplingLevel;
  /** r is clipped at 1 − clipEpsilon from below; ≥ 0. */
  readonly clipEpsilon: number;
  /** r is clipped at 1 + clipEpsilonHigh from above, clipEpsilon if absent; of cispo it is the cap itself. */
  readonly clipEpsilonHigh?: number | undefined;
  /** Two-sided clipping: r is bounded by delta also where A < 0 (INTELLECT-2, arXiv:2505.07291). */
  readonly delta?: number | undefined;
  /** sapo: the sigmoid's steepness where A > 0. */
  readonly sapoTemperaturePos: number;
  /** sapo: the same where A ≤ 0. */
  readonly sapoTemperatureNeg: number;
  /** vespo: φ = e^λ · w^k · e^−λw where A ≥ 0. */
  readonly vespoKPos: number;
  readonly vespoLambdaPos: number;
  /** vespo: the same where A < 0. */
  readonly vespoKNeg: number;
  readonly vespoLambdaNeg: number;
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

/** The objective with TRL's default for what is not given, the temperature and loss type included; klBiasCorrection is
 * off, as in DeepSeekMath. */
export function policyObjective(given: Partial<PolicyObjective> = {}): PolicyObjective {
  return {
    lossType: "dapo",
    importanceSamplingLevel: "token",
    clipEpsilon: 0.2,
    sapoTemperaturePos: 1,
    sapoTemperatureNeg: 1.05,
    vespoKPos: 2,
    vespoLambdaPos: 3,
    vespoKNeg: 3,
    vespoLambdaNeg: 2,
    klCoef: 0,
    klEstimator: "k3",
    klBiasCorrection: false,
    topEntropyQuantile: 1,
    entropyCoef: 0,
    temperature: 1,
    ...given,
  };
}

/** clipEpsilonHigh, or what stands for it: clipEpsilon, as in PPO. */
export function upperClip({ clipEpsilon, clipEpsilonHigh }: PolicyObjective): number {
  return clipEpsilonHigh ?? clipEpsilon;
}

/**
 * The engine's loss with the same gradient, where each term reads one token's numbers only; undefined where terms need
 * the whole sequence (its ratio, its drift) or the whole batch (its entropies). A correction of the sampler enters the
 * data: every policy term is proportional to its advantage.
 */
export function tokenLossOf(objective: PolicyObjective): LossSpec | undefined {
  const { lossType, temperature, clipEpsilon, delta, klCoef, klEstimator } = objective;
  if (objective.importanceSamplingLevel === "sequence") return undefined;
  if (objective.offPolicyMaskThreshold !== undefined || objective.topEntropyQuantile < 1) return undefined;
  const shared = {
    temperature,
    klCoef,
    ...(klCoef > 0 && { klEstimator, klBiasCorrection: objective.klBiasCorrection }),
    ...(objective.entropyCoef !== 0 && { entropyBonus: true }),
    ...(objective.embeddingNoise && { embeddingNoise: objective.embeddingNoise }),
  };
  const clipEpsilonHigh = upperClip(objective);
  switch (lossType) {
    case "grpo":
    case "bnpo":
    case "dr_grpo":
    case "dapo":
    case "luspo":
      return { name: "grpo", ...shared, clipEpsilon, clipEpsilonHigh, ...(delta !== undefined && { delta }) };
    case "cispo":
      return { name: "cispo", ...shared, clipEpsilonHigh };
    case "sapo": {
      const { sapoTemperaturePos, sapoTemperatureNeg } = objective;
      return { name: "sapo", ...shared, sapoTemperaturePos, sapoTemperatureNeg };
    }
    case "vespo":
    case "rloo":
      return undefined;
    default:
      return lossType satisfies never;
  }
}
