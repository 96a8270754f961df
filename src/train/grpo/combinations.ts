/**
 * Which keys of GRPO go together. Combinations that make no sense, and keys that the others leave without effect, are
 * refused with the recipe: a knob that nothing listens to is worse than none.
 */

import type { LossType } from "../../losses/policy-objective.ts";
import { type ConditionalKeys, idleKeyIssues } from "../idle-keys.ts";
import type { ConfigIssue } from "../optimizer-config.ts";
import type { GrpoConfig, grpoShape } from "./config.ts";

/** Combinations that cannot be, and keys that would change nothing; `shape` has the defaults. */
export function combinationIssues(config: GrpoConfig, shape: typeof grpoShape): ConfigIssue[] {
  return [...impossibleIssues(config), ...idleKeyIssues(config, shape, CONDITIONAL_KEYS)];
}

/** The losses whose term is the clipped ratio. */
const CLIPPED: readonly LossType[] = ["grpo", "bnpo", "dr_grpo", "dapo", "luspo", "rloo"];

const isClipped = ({ lossType }: GrpoConfig) => CLIPPED.includes(lossType);

/** What each of the other losses has in the clip's place. */
const unclipped = ({ lossType }: GrpoConfig) => {
  switch (lossType) {
    case "cispo":
      return "cispo caps the ratio at clipEpsilonHigh and has no other bound";
    case "sapo":
      return "sapo has a sigmoid in place of the clip (sapoTemperaturePos, sapoTemperatureNeg)";
    default:
      return `${lossType} has a smooth weight in place of the clip (vespoKPos and its like)`;
  }
};

const hasKl = ({ klCoef }: GrpoConfig) => klCoef > 0;
const withoutKl = () => "klCoef is 0, so there is no KL term";

const CONDITIONAL_KEYS: readonly ConditionalKeys<GrpoConfig>[] = [
  { keys: ["clipEpsilon", "delta"], isRead: isClipped, because: unclipped },
  {
    keys: ["clipEpsilonHigh"],
    isRead: (config) => isClipped(config) || config.lossType === "cispo",
    because: unclipped,
  },
  {
    keys: ["importanceSamplingLevel"],
    isRead: ({ lossType }) => lossType !== "vespo" && lossType !== "rloo",
    because: ({ lossType }) => `${lossType} takes the ratio of whole completions by itself`,
  },
  {
    keys: ["sapoTemperaturePos", "sapoTemperatureNeg"],
    isRead: ({ lossType }) => lossType === "sapo",
    because: ({ lossType }) => `it is of lossType sapo, not ${lossType}`,
  },
  {
    keys: ["vespoKPos", "vespoLambdaPos", "vespoKNeg", "vespoLambdaNeg"],
    isRead: ({ lossType }) => lossType === "vespo",
    because: ({ lossType }) => `it is of lossType vespo, not ${lossType}`,
  },
  {
    keys: ["scaleRewards"],
    isRead: ({ advantage }) => advantage === "group",
    because: ({ advantage }) => `it is of advantage group, not ${advantage}`,
  },
  {
    keys: ["scaleRewards", "normalizeAdvantages"],
    isRead: ({ rewardAggregation }) => rewardAggregation === "sum_then_normalize",
    because: () => "rewardAggregation normalize_then_sum divides each reward by its own deviation and whitens the sum",
  },
  {
    keys: ["normalizeAdvantages"],
    isRead: ({ advantage }) => !advantage.startsWith("reinforce++"),
    because: ({ advantage }) => `${advantage} whitens advantages always`,
  },
  { keys: ["klEstimator", "klPlacement", "klBiasCorrection"], isRead: hasKl, because: withoutKl },
  {
    keys: ["refSyncMixup"],
    isRead: ({ refSyncSteps }) => refSyncSteps > 0,
    because: () => "refSyncSteps is 0, so the reference is never moved",
  },
  {
    keys: ["samplerCorrectionMax", "samplerCorrectionMin"],
    isRead: ({ samplerCorrection }) => samplerCorrection !== "none",
    because: () => "samplerCorrection is none",
  },
];

/** Keys that cannot be turned together. */
function impossibleIssues(config: GrpoConfig): ConfigIssue[] {
  const { advantage, lossType, samplerCorrection, samplerCorrectionMax: max, samplerCorrectionMin: min } = config;
  const batchBaseline = advantage === "reinforce++";
  const correctsSequences = samplerCorrection.startsWith("sequence");
  const truncates = samplerCorrection.endsWith("truncate");
  const decoupled = config.rewardAggregation === "normalize_then_sum";
  const [clipKey, clip] =
    config.clipEpsilonHigh === undefined
      ? ["clipEpsilon", config.clipEpsilon]
      : ["clipEpsilonHigh", config.clipEpsilonHigh];
  const checks: [boolean, keyof GrpoConfig, string][] = [
    [
      config.groupSize < 2 && !batchBaseline,
      "groupSize",
      `groupSize must be at least 2 with advantage ${advantage}: a completion is compared with the others of its group`,
    ],
    [
      config.maxSamplingRounds > 1 && batchBaseline,
      "maxSamplingRounds",
      "maxSamplingRounds must be 1 with advantage reinforce++, which learns from groups of equal rewards too",
    ],
    [
      decoupled && advantage !== "group",
      "rewardAggregation",
      `rewardAggregation normalize_then_sum needs advantage group, not ${advantage}`,
    ],
    [
      decoupled && config.klCoef > 0 && config.klPlacement === "reward",
      "klPlacement",
      "klPlacement reward needs rewardAggregation sum_then_normalize: a penalty is taken from the sum",
    ],
    [
      config.klCoef > 0 && config.klBiasCorrection && config.klPlacement === "reward",
      "klBiasCorrection",
      "klBiasCorrection corrects a KL term in the loss; with klPlacement reward there is none",
    ],
    [
      config.refSyncSteps > 0 && config.klCoef === 0,
      "refSyncSteps",
      "refSyncSteps needs a klCoef above 0: without a KL term there is no reference",
    ],
    [
      isClipped(config) && config.delta !== undefined && config.delta < 1 + clip,
      "delta",
      `delta (${config.delta}) must be at least 1 + ${clipKey} (${1 + clip}): it bounds ratios beyond the clip, where ` +
        "the advantage is negative, and below that it would clip before the clip does",
    ],
    [
      lossType === "vespo" && correctsSequences,
      "samplerCorrection",
      `vespo takes corrections per token (token_truncate, token_mask), not ${samplerCorrection}`,
    ],
    [
      truncates && max === null && min === undefined,
      "samplerCorrectionMax",
      `samplerCorrection ${samplerCorrection} needs samplerCorrectionMax or samplerCorrectionMin`,
    ],
    [
      samplerCorrection !== "none" && max !== null && min !== undefined && min >= max,
      "samplerCorrectionMin",
      `samplerCorrectionMin (${min}) must be below samplerCorrectionMax (${max})`,
    ],
  ];
  return checks.flatMap(([isWrong, key, message]) => (isWrong ? [{ path: [key], message }] : []));
}
