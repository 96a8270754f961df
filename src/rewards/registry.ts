/** Rewards by name. A new reward is one file beside this one and one entry in the list below. */

import type { z } from "zod";
import { ConfigError, nearestName } from "../errors.ts";
import { checkOptions } from "../strict-schema.ts";
import { accuracy } from "./accuracy.ts";
import type { RewardDefinition, RewardDescription } from "./definition.ts";
import { equation } from "./equation.ts";
import { format } from "./format.ts";
import type { Reward } from "./reward.ts";

const rewards: ReadonlyMap<string, RegisteredReward> = new Map(
  [register(format), register(equation), register(accuracy)].map((entry) => [entry.description.name, entry]),
);

interface RegisteredReward {
  readonly description: RewardDescription;
  readonly make: (options: unknown) => Reward;
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
export function createReward(name: string, options: unknown = {}): Reward {
  const registered = rewards.get(name);
  if (registered) return registered.make(options);
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
