/**
 * How a reward is written: one file per reward exports one definition, `registry.ts` lists them. A definition is what the
 * registry, the command line and the documentation know of a reward before it has its options.
 */

import type { z } from "zod";
import type { AnyReward, RewardInput, RewardResult } from "./reward.ts";

/** What is said of a reward, apart from how it judges. */
export interface RewardDescription {
  readonly name: string;
  /** What people call it, a few words. */
  readonly title: string;
  /** One line: which score for what. */
  readonly summary: string;
  /** Where the definition is from, e.g. `DAPO, arXiv:2503.14476, eq. 13`. */
  readonly citation: string;
  /** The task's columns that it cannot do without, whatever its options. */
  readonly columns: readonly string[];
  /** A strict object, each key with a description; where a default makes sense there is one. Weights are not options:
   * they belong to the recipe. */
  readonly options: z.ZodType;
}

/** The registry as its rewards see it, for those that ask another one first. */
export interface RewardSource {
  readonly names: readonly string[];
  /** Throws ConfigError like `createReward`. */
  readonly create: (name: string, options?: unknown) => AnyReward;
}

export interface RewardDefinition<Options extends z.ZodType> extends RewardDescription {
  readonly options: Options;
  /** The columns that it cannot do without with these options; `columns` where absent. */
  readonly columnsFor?: (options: z.output<Options>) => readonly string[];
  /** The columns of which it needs one, whichever, with these options; none where absent or empty. */
  readonly anyColumnFor?: (options: z.output<Options>) => readonly string[];
  /**
   * The judgement of one completion for checked options, which must not throw: what it cannot judge it abstains from. Or
   * a whole reward, named like the definition, for one that judges in batches or elsewhere.
   */
  readonly create: (
    options: z.output<Options>,
    rewards: RewardSource,
  ) => ((input: RewardInput) => RewardResult) | AnyReward;
}

/** The identity: it lets TypeScript infer the options' type from the schema. */
export function defineReward<Options extends z.ZodType>(
  definition: RewardDefinition<Options>,
): RewardDefinition<Options> {
  return definition;
}
