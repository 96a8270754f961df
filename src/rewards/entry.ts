/**
 * How a reward is written: one file for each reward exports one entry, and `registry.ts` lists them. The entry is all
 * that other code (the registry, recipes, pipelines, the doctor, the command line) knows of a reward before its options
 * are given.
 */

import type { z } from "zod";
import type { Endpoints } from "../endpoint/endpoint.ts";
import type { PathKind } from "../named-paths.ts";
import type { AnyReward, BatchReward, RewardInput, RewardResult } from "./reward.ts";
import type { OpenScorer } from "./scorer.ts";
import type { RewardReference } from "./user/reference.ts";

/** The judgement of one completion. It must not throw: what it cannot judge it abstains from. */
export type Judge = (input: RewardInput) => RewardResult;

/** What rewards need from higher layers. */
export interface RewardDeps {
  /** Opens reward models. Without it a reward that needs one can be checked, but not opened. */
  readonly openScorer?: OpenScorer | undefined;
  /** Reaches models behind endpoints; likewise. */
  readonly endpoints?: Endpoints | undefined;
  /** Runs a reward of the user's own file, apart from this program; likewise. */
  readonly openUserReward?: OpenUserReward | undefined;
}

/** Makes the reward that a reference names. Throws ConfigError where it cannot be. */
export type OpenUserReward = (
  reference: RewardReference,
  options: { readonly options: Readonly<Record<string, unknown>>; readonly timeoutMs?: number },
) => Promise<BatchReward>;

/** What a reward is made with: the other rewards, for those that ask another one first, and what was handed in. */
export interface RewardContext extends RewardDeps {
  readonly entries: readonly RewardEntry[];
  /** Throws ConfigError like `createReward`. */
  readonly create: (name: string, options?: unknown) => AnyReward;
}

/** What a TRL recipe calls a reward, and the keys of the recipe that are the reward's options. */
export interface TrlReward {
  /** Names in `reward_funcs`, beside NAME, NAME_reward and NAME_reward_func. */
  readonly aliases?: readonly string[];
  /** Whether `aliases` are all its names: another item of the list has the others. */
  readonly onlyAliases?: boolean;
  /** Keys of the file, each with the reward's own option, the script's default, and what a value has to be. */
  readonly keys?: readonly TrlRewardKey[];
  /** Options that no key stands for. */
  readonly fixed?: Readonly<Record<string, unknown>>;
  /** The options that tell it in which column of the data the right answers are; absent where it compares none. */
  gold?(column: string): Readonly<Record<string, unknown>>;
  /** What is wrong with these options, in TRL's words; undefined where nothing is. */
  fault?(options: Readonly<Record<string, unknown>>): string | undefined;
}

/** A key of a TRL recipe that is an option of a reward. */
export interface TrlRewardKey {
  readonly key: string;
  readonly option: string;
  readonly fallback: number;
  readonly kind: "number" | "whole";
}

/** A reward as the registry has it. */
export interface RewardEntry<
  Name extends string = string,
  Options extends z.ZodType = z.ZodType,
  Made extends Judge | AnyReward = Judge | AnyReward,
> {
  readonly name: Name;
  /** What people call it, a few words. */
  readonly title: string;
  /** One line: which score for what. */
  readonly summary: string;
  /** Where the definition is from, e.g. `DAPO, arXiv:2503.14476, eq. 13`. */
  readonly citation: string;
  /** A strict object, each key with a description; where a default makes sense there is one. Weights are not options:
   * they belong to the recipe. */
  readonly options: Options;
  /** The task's columns that it cannot do without, whatever its options. */
  readonly columns: readonly string[];
  /** The columns that it cannot do without with these options; `columns` where absent. */
  columnsFor?(options: z.output<Options>): readonly string[];
  /** Columns of which it needs at least one with these options; absent or empty: it needs none. */
  anyColumnFor?(options: z.output<Options>): readonly string[];
  /** Where its score says whether a completion is right (above 0.5): columns, each list enough by itself, of the problems
   * whose completions it can judge so. Rewards that depend on right and wrong ask the first entry that fits. */
  readonly saysRightFor?: readonly (readonly string[])[];
  /** The options that are paths on this disk, and what is expected there. */
  readonly paths?: Readonly<Record<string, PathKind>>;
  /** The options that its scores are a function of, for content hashes; all where absent. */
  identity?(options: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>>;
  /** Under which names and keys a TRL recipe may ask for it; TRL recipes cannot where absent. */
  readonly trl?: readonly TrlReward[];
  /** The judgement of one completion for checked options; or a whole reward, named like the entry, for one that judges in
   * batches or elsewhere. */
  create(options: z.output<Options>, context: RewardContext): Made;
}

/** Returns its argument. It lets TypeScript infer the types of the name, the options and the reward. */
export function defineRewardEntry<const Name extends string, Options extends z.ZodType, Made extends Judge | AnyReward>(
  entry: RewardEntry<Name, Options, Made>,
): RewardEntry<Name, Options, Made> {
  return entry;
}
