/**
 * From judged completions to what an optimizer step learns from: the advantages, and the rows of a step with weights
 * that are normalised over all its completions.
 */

import type { Policy } from "../../engine/contract/policy.ts";
import { klEstimate } from "../../losses/kl.ts";
import { correctionRatios } from "../../losses/sampler-correction.ts";
import type { WeightedReward } from "../../rewards/reward.ts";
import type { GroupAdvantages, JudgedCompletion } from "../../rollout/advantages.ts";
import type { Rollout } from "../../rollout/collect.ts";
import { lossWeights } from "../../rollout/loss-weights.ts";
import { sumOf } from "../../statistics.ts";
import type { GrpoConfig } from "./config.ts";
import type { UpdateRow } from "./policy-update.ts";

/** A completion, with what the trainer's own policies say of it. */
export interface ScoredRollout {
  readonly rollout: Rollout;
  /** Tokens that are trained on: all of them, or none of a completion that is masked. */
  readonly trainedTokens: number;
  /** Of the policy that sampled, computed by the trainer; where the sampler is corrected. */
  readonly oldLogprobs?: Float32Array;
  /** Where there is a KL term. */
  readonly refLogprobs?: Float32Array;
}

/** Scores completions under the policies that the configuration asks about: the current one, the reference, or neither. */
export async function scoreRollouts(
  engine: Policy,
  rollouts: readonly Rollout[],
  config: Pick<GrpoConfig, "maskTruncatedCompletions" | "samplerCorrection" | "klCoef" | "temperature">,
): Promise<ScoredRollout[]> {
  const data = rollouts.map(({ promptTokens, tokens, keptTokens }) => ({
    promptTokens,
    completionTokens: tokens,
    ...(keptTokens && { keptTokens }),
  }));
  const { temperature } = config;
  const old = config.samplerCorrection === "none" ? undefined : await engine.score(data, { temperature });
  const ref = config.klCoef > 0 ? await engine.score(data, { temperature, policy: "reference" }) : undefined;
  return rollouts.map((rollout, i) => ({
    rollout,
    trainedTokens: config.maskTruncatedCompletions && rollout.finishReason === "length" ? 0 : rollout.tokens.length,
    ...(old && { oldLogprobs: old.logprobs[i]! }),
    ...(ref && { refLogprobs: ref.logprobs[i]! }),
  }));
}

/** What advantages are computed from. */
export function judgedCompletion(
  { rollout, trainedTokens, oldLogprobs, refLogprobs }: ScoredRollout,
  rewards: readonly WeightedReward[],
  config: Pick<GrpoConfig, "klCoef" | "klPlacement" | "klEstimator">,
): JudgedCompletion {
  const old = oldLogprobs ?? rollout.samplerLogprobs;
  const penalised = config.klPlacement === "reward" && refLogprobs !== undefined;
  return {
    reward: rollout.reward,
    scores: rewards.map(({ reward, weight }) => ({ weight, score: rollout.rewards[reward.name]?.score ?? null })),
    tokens: trainedTokens,
    ...(penalised && {
      penalties: Float64Array.from(
        { length: trainedTokens },
        (_, t) => config.klCoef * klEstimate(config.klEstimator, old[t]!, refLogprobs[t]!).value,
      ),
    }),
  };
}

/** A row of a step, and the completion that it is of. */
export interface RolloutUpdateRow extends UpdateRow {
  readonly rollout: Rollout;
}

/** Where in the iteration a step stands. */
export interface StepContext {
  /** Index of the step's first completion among those that `advantages` are of. */
  readonly start: number;
  /** Mean number of trained tokens of the iteration's steps. */
  readonly tokensPerStep: number;
}

/** The rows of one optimizer step, weights normalised over all its completions; those that cannot move it are left out. */
export function updateRows(
  step: readonly ScoredRollout[],
  { advantages, tokenAdvantages }: Pick<GroupAdvantages, "advantages" | "tokenAdvantages">,
  config: Pick<
    GrpoConfig,
    | "lossType"
    | "maxCompletionTokens"
    | "klCoef"
    | "klPlacement"
    | "entropyCoef"
    | "topEntropyQuantile"
    | "samplerCorrection"
    | "samplerCorrectionMax"
    | "samplerCorrectionMin"
  >,
  { start, tokensPerStep }: StepContext,
): RolloutUpdateRow[] {
  const trainedTokens = step.map((scored) => scored.trainedTokens);
  const weights = lossWeights(config.lossType, trainedTokens, {
    maxCompletionTokens: config.maxCompletionTokens,
    tokensPerStep,
  });
  const hasKlTerm = config.klCoef > 0 && config.klPlacement === "loss";
  const bounds = { max: config.samplerCorrectionMax, min: config.samplerCorrectionMin };
  // Without advantage a completion still has a divergence, and entropies that others' are compared with.
  const allCount = hasKlTerm || config.entropyCoef !== 0 || config.topEntropyQuantile < 1;
  return step.flatMap(({ rollout, oldLogprobs, refLogprobs }, i): RolloutUpdateRow[] => {
    const { promptTokens, tokens, samplerLogprobs, keptTokens } = rollout;
    const perToken = (value: number) => new Float64Array(tokens.length).fill(value);
    const own = tokenAdvantages?.[start + i] ?? perToken(advantages[start + i]!);
    if (weights[i] === 0 || (!allCount && own.every((advantage) => advantage === 0))) return [];
    return [
      {
        rollout,
        promptTokens,
        completionTokens: tokens,
        weights: perToken(weights[i]!),
        advantages: own,
        samplerLogprobs,
        ...(keptTokens && { keptTokens }),
        ...(oldLogprobs && {
          oldLogprobs,
          correction: correctionRatios(config.samplerCorrection, oldLogprobs, samplerLogprobs, bounds),
        }),
        ...(hasKlTerm && refLogprobs && { refLogprobs }),
      },
    ];
  });
}

/** The rows of each optimizer step of a pass. */
export function minibatchesOf(
  scored: readonly ScoredRollout[],
  groups: GroupAdvantages,
  config: GrpoConfig,
): readonly (readonly RolloutUpdateRow[])[] {
  const { minibatchesPerIteration } = config;
  const size = scored.length / minibatchesPerIteration;
  const tokensPerStep = sumOf(scored.map(({ trainedTokens }) => trainedTokens)) / minibatchesPerIteration;
  return Array.from({ length: minibatchesPerIteration }, (_, i) => {
    const start = i * size;
    return updateRows(scored.slice(start, start + size), groups, config, { start, tokensPerStep });
  });
}
