/** Rewards by name. A new reward is one file beside this one and one entry in the list below. */

import type { z } from "zod";
import { ConfigError, nearestName } from "../errors.ts";
import { checkOptions } from "../strict-schema.ts";
import { accuracy } from "./accuracy.ts";
import { cosine } from "./cosine.ts";
import type { RewardDefinition, RewardDescription } from "./definition.ts";
import { equation } from "./equation.ts";
import { exactMatch } from "./exact-match.ts";
import { format } from "./format.ts";
import { languageConsistency } from "./language-consistency.ts";
import { length } from "./length.ts";
import { modelJudge } from "./model-judge.ts";
import { reasoningSteps } from "./reasoning-steps.ts";
import { regexMatch } from "./regex-match.ts";
import { repetitionPenalty } from "./repetition-penalty.ts";
import type { AnyReward, Reward } from "./reward.ts";
import { createRewardModelReward, type OpenScorer, rewardModelDescription } from "./reward-model.ts";
import { softOverlong } from "./soft-overlong.ts";
import { tagCount } from "./tag-count.ts";

/** What rewards need that this layer does not have. */
export interface RewardDeps {
  /** Opens reward models; without it `reward_model` can be checked, and not opened. */
  readonly openScorer?: OpenScorer | undefined;
}

const rewardModel: RegisteredReward = {
  description: rewardModelDescription,
  make: (options, { openScorer }) => createRewardModelReward(options, openScorer),
  columnsFor: () => rewardModelDescription.columns,
};

const rewards: ReadonlyMap<string, RegisteredReward> = new Map(
  [
    register(format),
    register(equation),
    register(accuracy),
    register(tagCount),
    register(reasoningSteps),
    register(cosine),
    register(length),
    register(softOverlong),
    register(repetitionPenalty),
    register(languageConsistency),
    register(exactMatch),
    register(regexMatch),
    register(modelJudge),
    rewardModel,
  ].map((entry) => [entry.description.name, entry]),
);

/** Those that judge one completion at a time, at once. */
export type SingleRewardName =
  | "format"
  | "equation"
  | "accuracy"
  | "tag_count"
  | "reasoning_steps"
  | "repetition_penalty"
  | "soft_overlong"
  | "language_consistency"
  | "exact_match"
  | "regex_match";

interface RegisteredReward {
  readonly description: RewardDescription;
  readonly make: (options: unknown, deps: RewardDeps) => AnyReward;
  readonly columnsFor: (options: unknown) => readonly string[];
  readonly anyColumnFor?: (options: unknown) => readonly string[];
}

/** Every reward's description, in the order of the list. */
export const rewardDescriptions: readonly RewardDescription[] = [...rewards.values()].map((entry) => entry.description);

/** Names that `createReward` knows. */
export const rewardNames: readonly string[] = rewardDescriptions.map(({ name }) => name);

/**
 * The reward of that name with these options (those left out have their defaults).
 *
 * @throws ConfigError for an unknown name or option, naming the nearest known one.
 */
export function createReward(name: SingleRewardName, options?: unknown): Reward;
/** Any reward by name, as above. */
export function createReward(name: string, options?: unknown, deps?: RewardDeps): AnyReward;
/** The two above in one. */
export function createReward(name: string, options: unknown = {}, deps: RewardDeps = {}): AnyReward {
  return registeredReward(name).make(options, deps);
}

/**
 * The columns of a problem that the reward of that name cannot do without, with these options.
 *
 * @throws ConfigError like `createReward`.
 */
export function rewardColumns(name: string, options: unknown = {}): readonly string[] {
  return registeredReward(name).columnsFor(options);
}

/**
 * The columns of which the reward of that name needs one, with these options; empty where it needs none.
 *
 * @throws ConfigError like `createReward`.
 */
export function rewardAnyColumn(name: string, options: unknown = {}): readonly string[] {
  return registeredReward(name).anyColumnFor?.(options) ?? [];
}

function registeredReward(name: string): RegisteredReward {
  const registered = rewards.get(name);
  if (registered) return registered;
  const nearest = nearestName(name, rewardNames);
  const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
  throw new ConfigError(`There is no reward ${JSON.stringify(name)}; known: ${rewardNames.join(", ")}.${hint}`);
}

function register<Options extends z.ZodType>(definition: RewardDefinition<Options>): RegisteredReward {
  const { name } = definition;
  const checked = (options: unknown) => checkOptions(definition.options, options, `reward ${name}`);
  return {
    description: definition,
    make: (options, deps) => {
      const create = (other: string, of?: unknown) => createReward(other, of, deps);
      const made = definition.create(checked(options), { names: rewardNames, create });
      return typeof made === "function" ? { name, judge: made } : made;
    },
    columnsFor: (options) => definition.columnsFor?.(checked(options)) ?? definition.columns,
    anyColumnFor: (options) => definition.anyColumnFor?.(checked(options)) ?? [],
  };
}
