/** TRL's own GRPO steps (`test/golden/grpo-loss.json`) and what Aha's parts make of the same completions. */

import { readFile } from "node:fs/promises";
import { evaluateObjective, type ObjectiveRow, type PolicyScores } from "../../src/losses/evaluate-objective.ts";
import { type PolicyObjective, policyObjective } from "../../src/losses/policy-objective.ts";
import { correctionRatios, type SamplerCorrection } from "../../src/losses/sampler-correction.ts";
import {
  completionAdvantages,
  type GroupAdvantages,
  type RewardAggregation,
  type ScaleRewards,
} from "../../src/rollout/advantages.ts";
import { lossWeights } from "../../src/rollout/loss-weights.ts";

type Ragged = readonly (readonly number[])[];

export interface TrlBatch {
  readonly groupSize: number;
  readonly rewardWeights: readonly number[];
  readonly logprobs: Ragged;
  readonly oldLogprobs: Ragged;
  readonly samplerLogprobs: Ragged;
  readonly refLogprobs: Ragged;
  readonly entropies: Ragged;
  readonly mask: Ragged;
  readonly truncated: readonly boolean[];
  readonly rewards: readonly (readonly (number | null)[])[];
}

interface TrlConfig {
  readonly lossType: string;
  readonly clipEpsilon: number;
  readonly clipEpsilonHigh: number | null;
  readonly klCoef: number;
  readonly maskTruncatedCompletions: boolean;
  readonly samplerCorrection: SamplerCorrection;
  readonly samplerCorrectionMax: number | null;
  readonly samplerCorrectionMin: number | null;
  readonly scaleRewards: ScaleRewards;
  readonly rewardAggregation: RewardAggregation;
  readonly normalizeAdvantages: boolean;
  readonly minibatchesPerIteration: number;
}

export interface TrlCase {
  readonly trainer: "grpo" | "rloo";
  readonly batch: string;
  readonly config: Partial<TrlConfig>;
  readonly advantages: readonly number[];
  readonly loss: number;
  readonly gradient: Ragged;
  readonly entropyGradient?: Ragged;
  readonly correction?: Ragged;
  readonly metrics: Readonly<Record<string, number>>;
}

interface TrlGolden {
  readonly versions: { readonly trl: string };
  readonly tolerance: { readonly lossRelative: number; readonly gradientRelative: number };
  readonly defaults: TrlConfig;
  readonly maxCompletionTokens: number;
  readonly batches: Readonly<Record<string, TrlBatch>>;
  readonly cases: readonly TrlCase[];
}

export const golden: TrlGolden = JSON.parse(
  await readFile(new URL("../golden/grpo-loss.json", import.meta.url), "utf8"),
);

/** Every case with a title that says what is set. */
export const titledCases = golden.cases.map(
  (c, i) => [`${i}: ${c.trainer} on ${c.batch}, ${JSON.stringify(c.config).replaceAll('"', "")}`, c] as const,
);

export interface Step {
  readonly objective: PolicyObjective;
  readonly advantages: GroupAdvantages;
  readonly rows: readonly ObjectiveRow[];
  readonly scores: PolicyScores;
}

/** The step that a case describes, made by the parts that the trainer uses. */
export function stepOf({ trainer, batch, config: knobs }: TrlCase): Step {
  const data = golden.batches[batch]!;
  const config = { ...golden.defaults, ...knobs };
  // Null is how Python says absent.
  const given = Object.fromEntries(Object.entries(config).filter(([, value]) => value !== null));
  const rewardsPenalty = trainer === "rloo" ? config.klCoef : 0;
  // TRL's cispo caps the ratio at epsilon where epsilon_high is not given.
  const cap = config.lossType === "cispo" && { clipEpsilonHigh: config.clipEpsilonHigh ?? config.clipEpsilon };
  const objective = policyObjective({ ...given, ...cap, ...(trainer === "rloo" && { klCoef: 0 }) });
  // RLOOTrainer knows no tool masks.
  const mask = data.mask.map((row, i) =>
    row.map((m) => (config.maskTruncatedCompletions && data.truncated[i] ? 0 : trainer === "rloo" ? 1 : m)),
  );
  const trainedTokens = mask.map((row) => row.reduce((sum, m) => sum + m, 0));
  const totalTokens = trainedTokens.reduce((sum, tokens) => sum + tokens, 0);
  const weights = lossWeights(config.lossType, trainedTokens, {
    maxCompletionTokens: golden.maxCompletionTokens,
    tokensPerStep: totalTokens / config.minibatchesPerIteration,
  });
  const judged = data.rewards.map((row, i) => {
    const scores = row.map((score, k) => ({ weight: data.rewardWeights[k]!, score }));
    const given = scores.filter(({ score }) => score !== null);
    const reward = given.length === 0 ? null : given.reduce((sum, { weight, score }) => sum + weight * score!, 0);
    const penalties = data.oldLogprobs[i]!.map((old, t) => rewardsPenalty * (old - data.refLogprobs[i]![t]!));
    return { reward, scores, tokens: trainedTokens[i]!, ...(rewardsPenalty > 0 && { penalties }) };
  });
  const advantages = completionAdvantages(judged, {
    groupSize: data.groupSize,
    advantage: trainer === "rloo" ? "rloo" : "group",
    scaleRewards: config.scaleRewards,
    rewardAggregation: config.rewardAggregation,
    normalizeAdvantages: config.normalizeAdvantages,
  });
  const bounds = { max: config.samplerCorrectionMax, min: config.samplerCorrectionMin };
  const rows = mask.map((row, i) => ({
    weights: row.map((m) => m * weights[i]!),
    advantages: row.map(() => advantages.advantages[i]!),
    oldLogprobs: data.oldLogprobs[i]!,
    samplerLogprobs: data.samplerLogprobs[i]!,
    refLogprobs: data.refLogprobs[i]!,
    ...(config.samplerCorrection !== "none" && {
      correction: correctionRatios(
        config.samplerCorrection,
        data.oldLogprobs[i]!,
        data.samplerLogprobs[i]!,
        bounds,
        row,
      ),
    }),
  }));
  return { objective, advantages, rows, scores: { logprobs: data.logprobs, entropies: data.entropies } };
}

/** What `evaluateObjective` makes of a case. */
export function evaluated(c: TrlCase) {
  const { objective, rows, scores } = stepOf(c);
  return evaluateObjective(objective, rows, scores);
}

/** ‖actual − expected‖ / ‖expected‖; the plain distance where expected is zero. */
export function relativeGap(actual: readonly ArrayLike<number>[], expected: Ragged): number {
  const flat = expected.flat();
  const found = actual.flatMap((row) => Array.from(row));
  const distance = Math.hypot(...flat.map((value, i) => found[i]! - value));
  return distance / (Math.hypot(...flat) || 1);
}
