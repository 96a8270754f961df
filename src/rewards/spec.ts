/**
 * A reward as recipes, filters and suites name it: of the registry or of the user's own file, with its options. Here it
 * becomes a reward that can be asked, and here is what others have to know before that: which paths it names, and what its
 * scores are a function of.
 */

import { z } from "zod";
import { ConfigError } from "../errors.ts";
import { type NamedPath, valueAt } from "../named-paths.ts";
import type { RewardDeps } from "./entry.ts";
import { forTasks } from "./for-tasks.ts";
import { lazyReward } from "./lazy-reward.ts";
import { createReward, rewards } from "./registry.ts";
import { type AnyReward, renamed, type WeightedReward } from "./reward.ts";
import { DEFAULT_TIMEOUT_MS } from "./user/definition.ts";
import { isRewardReference, parseRewardReference } from "./user/reference.ts";

/** An item of a recipe's `rewards`. */
export const rewardSpecSchema = z.strictObject({
  name: z
    .string()
    .describe("a reward of the registry (aha reward --help lists them), or one of your own: ./my-reward.ts#name"),
  as: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, "a name of letters, digits, - and _")
    .optional()
    .describe("its name in metrics and rollouts, where one reward is listed twice"),
  weight: z.number().default(1).describe("how much its score counts in the sum"),
  options: z.record(z.string(), z.unknown()).default({}).describe("the reward's own options"),
  tasks: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe(
      "of a mixture of tasks: names of those whose completions it judges; it abstains from others. All if absent",
    ),
  timeoutMs: z
    .int()
    .min(1)
    .optional()
    .describe(`a reward of your own abstains where a judgement takes longer; ${DEFAULT_TIMEOUT_MS} if absent`),
});

/** A reward and how it is used. */
export type RewardSpec = Pick<z.output<typeof rewardSpecSchema>, "name"> & Partial<z.output<typeof rewardSpecSchema>>;

/**
 * The rewards that are named, with a weight of 1 where none is given: of the registry, or of the user's own files, which
 * `open` will load.
 *
 * @throws ConfigError for an unknown name or option.
 */
export function createRewards(specs: readonly RewardSpec[], deps: RewardDeps = {}): WeightedReward[] {
  return specs.map((spec) => {
    const created = createOne(spec, deps);
    const reward = spec.as === undefined ? created : renamed(created, spec.as);
    return { reward: spec.tasks ? forTasks(reward, spec.tasks) : reward, weight: spec.weight ?? 1 };
  });
}

function createOne({ name, options = {}, timeoutMs }: RewardSpec, deps: RewardDeps): AnyReward {
  if (isRewardReference(name)) {
    const reference = parseRewardReference(name);
    return lazyReward(reference.label, async () => {
      if (deps.openUserReward === undefined) {
        throw new ConfigError(
          `${name} is a reward of your own file, and nothing that runs one was handed in (openUserReward; NODE_REACH has it).`,
        );
      }
      return deps.openUserReward(reference, { options, ...(timeoutMs !== undefined && { timeoutMs }) });
    });
  }
  if (timeoutMs === undefined) return createReward(name, options, deps);
  throw new ConfigError(`timeoutMs is for rewards of your own (FILE#NAME); ${name} needs none. Leave it out.`);
}

/** What is wrong with a reward's name, options or keys, as a sentence; undefined where nothing is. */
export function rewardFault(spec: RewardSpec): string | undefined {
  try {
    createOne(spec, {});
    return undefined;
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
}

/** The paths that a reward names; `nameKey` is the key that has its name. An unknown reward names none. */
export function rewardPaths({ name, options = {} }: RewardSpec, nameKey = "name"): NamedPath[] {
  if (isRewardReference(name)) {
    const { file } = parseRewardReference(name);
    return [{ keys: [nameKey], path: file, kind: "file", suffix: name.slice(file.length) }];
  }
  return Object.entries(rewards.find(name)?.paths ?? {}).flatMap(([option, kind]) => {
    const path = options[option];
    return typeof path === "string" ? [{ keys: ["options", option], path, kind }] : [];
  });
}

/** `rewardPaths` of a part of a configuration that may not be checked yet. */
export function rewardPathsIn(part: unknown, nameKey = "name"): NamedPath[] {
  const name = valueAt(part, [nameKey]);
  const options = valueAt(part, ["options"]);
  if (typeof name !== "string") return [];
  return rewardPaths({ name, ...(isOptions(options) && { options }) }, nameKey);
}

function isOptions(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/**
 * The options that a reward's scores are a function of; options that only say how long and how often it is asked are
 * left out.
 */
export function rewardIdentity({ name, options = {} }: RewardSpec): Readonly<Record<string, unknown>> {
  return rewards.find(name)?.identity?.(options) ?? options;
}
