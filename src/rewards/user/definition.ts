/**
 * How users write a reward of their own, in a file that the recipe names (`rewards: [{ name: ./my-reward.ts#brevity }]`):
 *
 *     import { defineReward } from "aha-rl";
 *
 *     export const brevity = defineReward({
 *       judge: ({ completion }) => ({ score: 1 / (1 + completion.length), reason: `${completion.length} characters` }),
 *     });
 *
 * A plain exported function is a judge too. It runs in a worker thread with a time limit, apart from training: what it
 * throws, a score that is no finite number and a judgement that takes too long are abstentions with their reason. What it
 * is not: a sandbox. The file is the user's own program, with all that the user may do.
 */

import type { RewardInput, RewardResult } from "../reward.ts";

/** The time limit of a judgement where a recipe names none, in milliseconds. */
export const DEFAULT_TIMEOUT_MS = 10_000;

/**
 * What a judge returns: a score, true (1) or false (0), null where it abstains, or one of these with a reason for the
 * rollout log.
 */
export type Judgement = number | boolean | null | (Pick<RewardResult, "score"> & Partial<Pick<RewardResult, "reason">>);

/** What a reward remembers over a run, for one whose scores depend on what it has seen; checkpoints hold it. */
export interface RewardMemory {
  /** A value that JSON can hold, of at most 1 MiB: called after every batch. */
  readonly saveState?: () => unknown;
  /** Called with what `saveState` returned, before anything is judged: on resumption, and after a restart of the thread. */
  readonly loadState?: (state: unknown) => void;
}

/** Judges one completion at a time; an asynchronous one has up to 16 under way. The time limit is for each. */
export interface SingleDefinition<Options> extends RewardMemory {
  readonly judge: (input: RewardInput, options: Options) => Judgement | Promise<Judgement>;
}

/** Judges all completions of an iteration together, one judgement for each, in order. The time limit is for all. */
export interface BatchDefinition<Options> extends RewardMemory {
  readonly judgeBatch: (
    inputs: readonly RewardInput[],
    options: Options,
  ) => readonly Judgement[] | Promise<readonly Judgement[]>;
}

/** `Options`: the recipe's `options` of this reward. */
export type UserRewardDefinition<Options = Readonly<Record<string, unknown>>> =
  | SingleDefinition<Options>
  | BatchDefinition<Options>;

/** Returns its argument; it gives the parts of a definition their types. */
export function defineReward<Options = Readonly<Record<string, unknown>>>(
  definition: UserRewardDefinition<Options>,
): UserRewardDefinition<Options> {
  return definition;
}
