/** Rewards by name. A new reward is one file beside this one and one entry in the list below. */

import type { z } from "zod";
import { ConfigError, nearestName } from "../errors.ts";
import { checkOptions } from "../strict-schema.ts";
import type { RewardDefinition, RewardDescription } from "./definition.ts";
import { equation } from "./equation.ts";
import { format } from "./format.ts";
import type { AnyReward, Reward } from "./reward.ts";
import { createRewardModelReward, type OpenScorer, rewardModelDescription } from "./reward-model.ts";

/** What rewards need that this layer does not have. */
export interface RewardDeps {
  /** Opens reward models; without it `reward_model` can be checked, and not opened. */
  readonly openScorer?: OpenScorer | undefined;
}

const rewardModel: RegisteredReward = {
  description: rewardModelDescription,
  make: (options, { openScorer }) => createRewardModelReward(options, openScorer),
};

const rewards: ReadonlyMap<string, RegisteredReward> = new Map(
  [register(format), register(equation), rewardModel].map((entry) => [entry.description.name, entry]),
);

/** Those that judge one completion at a time, at once. */
export type SingleRewardName = "format" | "equation";

interface RegisteredReward {
  readonly description: RewardDescription;
  readonly make: (options: unknown, deps: RewardDeps) => AnyReward;
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
/** The same for a name that is not known yet; it may be a reward that judges in batches. */
export function createReward(name: string, options?: unknown, deps?: RewardDeps): AnyReward;
/** Both in one. */
export function createReward(name: string, options: unknown = {}, deps: RewardDeps = {}): AnyReward {
  const registered = rewards.get(name);
  if (registered) return registered.make(options, deps);
  const nearest = nearestName(name, rewardNames);
  const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
  throw new ConfigError(`There is no reward ${JSON.stringify(name)}; known: ${rewardNames.join(", ")}.${hint}`);
}

function register<Options extends z.ZodType>(definition: RewardDefinition<Options>): RegisteredReward {
  const make = (options: unknown): Reward => ({
    name: definition.name,
    judge: definition.create(checkOptions(definition.options, options, `reward ${definition.name}`)),
  });
  return { description: definition, make };
}
