/**
 * How a reward is written: one file per reward exports one definition, `registry.ts` lists them. A definition is what the
 * registry, the command line and the documentation know of a reward before it has its options.
 */

import type { z } from "zod";
import type { RewardInput, RewardResult } from "./reward.ts";

/** What is said of a reward, apart from how it judges. */
export interface RewardDescription {
  readonly name: string;
  /** One line: which score for what. */
  readonly summary: string;
  /** The task's columns that it reads. */
  readonly columns: readonly string[];
  /** A strict object; every option has a default. Weights are not options: they belong to the recipe. */
  readonly options: z.ZodType;
}

export interface RewardDefinition<Options extends z.ZodType> extends RewardDescription {
  readonly options: Options;
  /** The judgement for checked options. It must not throw; what it cannot judge it abstains from. */
  readonly create: (options: z.output<Options>) => (input: RewardInput) => RewardResult;
}

/** The identity: it lets TypeScript infer the options' type from the schema. */
export function defineReward<Options extends z.ZodType>(
  definition: RewardDefinition<Options>,
): RewardDefinition<Options> {
  return definition;
}
