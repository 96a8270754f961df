/**
 * Which keys of GRPO go together. Combinations that make no sense, and keys that the others leave without effect, are
 * refused with the recipe: a key that has no effect misleads the user.
 */

import { z } from "zod";
import { tokenLossOf } from "../../losses/policy-objective.ts";
import { losses, lossOptionShape, lossOptions } from "../../losses/registry.ts";
import { cachedBy } from "../../registry.ts";
import { rewardFault } from "../../rewards/spec.ts";
import { rewardLabel } from "../../rewards/user/reference.ts";
import { type ConfigIssue, refineWith } from "../config-issue.ts";
import { type ConditionalKeys, idleKeyIssues } from "../idle-keys.ts";
import { optimizerIssues } from "../optimizer-config.ts";
import { type GrpoConfig, grpoShape, grpoTotalSteps, objectiveOf } from "./config.ts";

/** Combinations that cannot be, and keys that would change nothing. */
function combinationIssues(config: GrpoConfig): ConfigIssue[] {
  const loss = losses.get(config.lossType);
  const ofLoss = loss.issues?.(lossOptions(loss, config), config) ?? [];
  return [
    ...impossibleIssues(config),
    ...ofLoss.map(({ key, message }) => ({ path: [key], message })),
    ...idleKeyIssues(config, grpoShape(), [...lossKeys(), ...CONDITIONAL_KEYS]),
  ];
}

/** Keys that some losses read and others do not: their options, and what chooses a ratio. */
function lossKeys(): ConditionalKeys<GrpoConfig>[] {
  const options = Object.keys(lossOptionShape()) as (keyof ReturnType<typeof lossOptionShape>)[];
  return [...options, "importanceSamplingLevel" as const].map((key) => {
    const owners = losses.all.filter(({ options: own }) => key in own).map(({ name }) => name);
    return {
      keys: [key],
      isRead: ({ lossType }) => {
        const { options: own, unread } = losses.get(lossType);
        return unread?.[key] === undefined && (key in own || owners.length === 0);
      },
      because: ({ lossType }) =>
        losses.get(lossType).unread?.[key] ?? `it is of lossType ${owners.join(" or ")}, not ${lossType}`,
    };
  });
}

const hasKl = ({ klCoef }: GrpoConfig) => klCoef > 0;
const withoutKl = () => "klCoef is 0, so there is no KL term";

const CONDITIONAL_KEYS: readonly ConditionalKeys<GrpoConfig>[] = [
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
    keys: ["maxStaleness"],
    isRead: ({ iterations }) => iterations > 1,
    because: () => "there is one iteration, so nothing is sampled while another one is trained on",
  },
  {
    keys: ["samplerCorrectionMax", "samplerCorrectionMin"],
    isRead: ({ samplerCorrection }) => samplerCorrection !== "none",
    because: () => "samplerCorrection is none",
  },
];

/** Keys that cannot be set together. */
function impossibleIssues(config: GrpoConfig): ConfigIssue[] {
  const { advantage, samplerCorrection, samplerCorrectionMax: max, samplerCorrectionMin: min } = config;
  const batchBaseline = advantage === "reinforce++";
  const truncates = samplerCorrection.endsWith("truncate");
  const decoupled = config.rewardAggregation === "normalize_then_sum";
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

/** Impossible combinations, for `superRefine`. */
export function grpoIssues(config: GrpoConfig): ConfigIssue[] {
  const { promptsPerIteration, minibatchesPerIteration } = config;
  const issues = [...optimizerIssues(config, grpoTotalSteps(config)), ...combinationIssues(config)];
  if (promptsPerIteration % minibatchesPerIteration !== 0) {
    issues.push({
      path: ["minibatchesPerIteration"],
      message:
        `minibatchesPerIteration (${minibatchesPerIteration}) does not divide promptsPerIteration ` +
        `(${promptsPerIteration}); a minibatch is a whole number of groups`,
    });
  }
  if (config.neftuneNoiseAlpha > 0 && tokenLossOf(objectiveOf(config)) === undefined) {
    issues.push({
      path: ["neftuneNoiseAlpha"],
      message:
        "neftuneNoiseAlpha needs an objective whose terms read one token each; this one is computed from a pass without noise",
    });
  }
  const found = config.rewards.flatMap(rewardIssues);
  const names = found.length > 0 ? [] : config.rewards.map(({ name, as }) => as ?? rewardLabel(name));
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    issues.push({
      path: ["rewards"],
      message: `rewards lists ${twice} twice; give it one weight, or name them apart with as`,
    });
  }
  return [...issues, ...found];
}

/** What the registry refuses about a reward, so that it is refused with the recipe and not at the stage's start. */
function rewardIssues(reward: GrpoConfig["rewards"][number], index: number): ConfigIssue[] {
  const message = rewardFault(reward);
  return message === undefined ? [] : [{ path: ["rewards", index], message }];
}

/** The strict schema: unknown keys and impossible combinations are refused. */
export const grpoConfigSchema = cachedBy([losses], () =>
  z.strictObject(grpoShape()).superRefine(refineWith(grpoIssues)),
);
