/** Rewards by name. A new reward is one file beside this one and one entry in the list below. */

import { Registry } from "../registry.ts";
import { checkOptions } from "../strict-schema.ts";
import { accuracy } from "./accuracy.ts";
import { cosine } from "./cosine.ts";
import type { Judge, RewardDeps, RewardEntry } from "./entry.ts";
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
import { rewardModel } from "./reward-model.ts";
import { softOverlong } from "./soft-overlong.ts";
import { tagCount } from "./tag-count.ts";

const builtIn = [
  format,
  equation,
  accuracy,
  tagCount,
  reasoningSteps,
  cosine,
  length,
  softOverlong,
  repetitionPenalty,
  languageConsistency,
  exactMatch,
  regexMatch,
  modelJudge,
  rewardModel,
] as const;

/** Every reward that a recipe can name. */
export const rewards: Registry<RewardEntry> = new Registry<RewardEntry>("reward", builtIn);

/** Those that judge one completion at a time, at once. */
export type SingleRewardName = Extract<(typeof builtIn)[number], { create: (...given: never[]) => Judge }>["name"];

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
  const entry = rewards.get(name);
  const create = (other: string, of?: unknown) => createReward(other, of, deps);
  const made = entry.create(checkedOptions(entry, options), { ...deps, entries: rewards.all, create });
  return typeof made === "function" ? { name, judge: made } : made;
}

/**
 * The columns of a problem that the reward of that name cannot do without, with these options.
 *
 * @throws ConfigError like `createReward`.
 */
export function rewardColumns(name: string, options: unknown = {}): readonly string[] {
  const entry = rewards.get(name);
  return entry.columnsFor?.(checkedOptions(entry, options)) ?? entry.columns;
}

/**
 * The columns of which the reward of that name needs one, with these options; empty where it needs none.
 *
 * @throws ConfigError like `createReward`.
 */
export function rewardAnyColumn(name: string, options: unknown = {}): readonly string[] {
  const entry = rewards.get(name);
  return entry.anyColumnFor?.(checkedOptions(entry, options)) ?? [];
}

const checkedOptions = ({ name, options: schema }: RewardEntry, options: unknown) =>
  checkOptions(schema, options, `reward ${name}`);
