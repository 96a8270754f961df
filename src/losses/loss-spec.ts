/**
 * Losses as data: what an engine is asked to differentiate. A spec is JSON-serialisable; `token-losses.ts` holds the
 * graph of each one. The engine computes Σ_t weight_t · term_t (− Σ_t entropyWeight_t · H_t, where asked); normalisation
 * (over tokens, sequences, a group) is in the weights, which the trainer computes over the whole optimizer step, so
 * micro-batching cannot change the result.
 *
 * Every term here reads the numbers of one token. A loss whose terms read a whole sequence, or the whole batch, is a
 * `PolicyObjective`: its gradient by log-probability is worked out from a forward pass, and the engine differentiates
 * cross-entropy with that as its weights.
 */

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
interface TokenLoss {
  /** None where absent. Engines that have it say so (`EngineInfo.embeddingNoise`), others refuse the loss. */
  readonly embeddingNoise?: EmbeddingNoise;
  /** True: − Σ_t entropyWeight_t · H_t is part of the loss, H_t the entropy of the distribution that token t is drawn
   * from. Data then carry `entropyWeights`. False by default. */
  readonly entropyBonus?: boolean;
}

/** term = −logπ(token). */
export interface CrossEntropyLoss extends TokenLoss {
  readonly name: "cross_entropy";
  /** > 0; logits are divided by it before the log-softmax. 1 by default. */
  readonly temperature?: number;
}

/**
 * Estimators of KL(π ‖ π_ref) from one sample, with d = logπ_ref − logπ (Schulman, "Approximating KL Divergence", 2020):
 * k1 = −d, k2 = d²/2, k3 = e^d − d − 1.
 */
export const KL_ESTIMATORS = ["k1", "k2", "k3"] as const;

export type KlEstimator = (typeof KL_ESTIMATORS)[number];

/** What the policy-gradient losses share: term = policy term + klCoef · KL. r = exp(logπ − logπ_sampler). */
interface PolicyLoss extends TokenLoss {
  /** > 0; logits are divided by it before the log-softmax, as the sampler did. */
  readonly temperature: number;
  /** β ≥ 0; 0 leaves the KL term, and the need for reference log-probabilities, out. */
  readonly klCoef: number;
  /** k3 by default. */
  readonly klEstimator?: KlEstimator;
  /** True: the KL term is multiplied by r, which makes its gradient that of the divergence itself (DeepSeek-V3.2,
   * arXiv:2512.02556). False by default. */
  readonly klBiasCorrection?: boolean;
}

/**
 * −min(min(r, delta)·A, clip(r, 1 − clipEpsilon, 1 + clipEpsilonHigh)·A). PPO's objective as DeepSeekMath
 * (arXiv:2402.03300) eq. 3 has it; clip-higher from DAPO (arXiv:2503.14476), the second clip from INTELLECT-2
 * (arXiv:2505.07291).
 */
export interface GrpoLoss extends PolicyLoss {
  readonly name: "grpo";
  /** ≥ 0. */
  readonly clipEpsilon: number;
  /** ≥ 0. */
  readonly clipEpsilonHigh: number;
  /** > 0: bounds the ratio also where the advantage is negative. Absent: no bound. */
  readonly delta?: number;
}

/** −sg(min(r, clipEpsilonHigh))·A·logπ: every token keeps a gradient (MiniMax-M1, arXiv:2506.13585). */
export interface CispoLoss extends PolicyLoss {
  readonly name: "cispo";
  /** > 0: the cap itself, not its distance from 1. */
  readonly clipEpsilonHigh: number;
}

/** −(4/τ)·σ(τ·(r − 1))·A: a smooth clip (SAPO, arXiv:2511.20347). */
export interface SapoLoss extends PolicyLoss {
  readonly name: "sapo";
  /** τ where A > 0; > 0. */
  readonly sapoTemperaturePos: number;
  /** τ where A ≤ 0; > 0. */
  readonly sapoTemperatureNeg: number;
}

export type LossSpec = CrossEntropyLoss | GrpoLoss | CispoLoss | SapoLoss;

/** The temperature that logits are divided by under this loss. */
export function lossTemperature(loss: LossSpec): number {
  return loss.name === "cross_entropy" ? (loss.temperature ?? 1) : loss.temperature;
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
  if (loss.name === "cross_entropy") return undefined;
  const { name, klEstimator = "k3" } = loss;
  if (!KL_ESTIMATORS.includes(klEstimator)) {
    return `The loss ${name} takes a klEstimator of ${KL_ESTIMATORS.join(", ")}, not ${JSON.stringify(klEstimator)}.`;
  }
  const bad = (values: Readonly<Record<string, number | undefined>>, isInRange: (value: number) => boolean) =>
    Object.entries(values).find(([, value]) => value !== undefined && !(Number.isFinite(value) && isInRange(value)));
  const negative = bad(notNegative(loss), (value) => value >= 0);
  if (negative) return `The loss ${name} takes a ${negative[0]} of at least 0, not ${negative[1]}.`;
  const tooSmall = bad(positive(loss), (value) => value > 0);
  return tooSmall && `The loss ${name} takes a ${tooSmall[0]} above 0, not ${tooSmall[1]}.`;
}

function notNegative(loss: GrpoLoss | CispoLoss | SapoLoss) {
  const { klCoef } = loss;
  return loss.name === "grpo"
    ? { klCoef, clipEpsilon: loss.clipEpsilon, clipEpsilonHigh: loss.clipEpsilonHigh }
    : { klCoef };
}

function positive(loss: GrpoLoss | CispoLoss | SapoLoss): Record<string, number | undefined> {
  switch (loss.name) {
    case "grpo":
      return { delta: loss.delta };
    case "cispo":
      return { clipEpsilonHigh: loss.clipEpsilonHigh };
    case "sapo":
      return { sapoTemperaturePos: loss.sapoTemperaturePos, sapoTemperatureNeg: loss.sapoTemperatureNeg };
    default:
      return loss satisfies never;
  }
}
