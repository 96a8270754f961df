/**
 * The groups of one iteration, and DAPO's dynamic sampling (arXiv:2503.14476 §3.2): a group whose rewards are all equal
 * teaches nothing, so it is dropped, and a group of the next problem takes its place, for a limited number of rounds.
 *
 * Departures: a round asks for as many problems as groups are missing, where DAPO's code samples whole batches and throws
 * the surplus away. After the last round the places that are still empty go to groups that were dropped, so that the size
 * of an iteration does not change; DAPO's code stops the run.
 */

import type { Rollout } from "./collect.ts";

/** What an iteration has to train on, and what it took to get it. */
export interface CollectedGroups {
  /** `numGroups` whole groups, one after another. */
  readonly rollouts: readonly Rollout[];
  /** All that was sampled, in order; whole groups. */
  readonly sampled: readonly Rollout[];
  /** Rounds of sampling. */
  readonly rounds: number;
  /**
   * Groups without variance among `rollouts`, which are there because the rounds were used up; not counted where there
   * is one round only.
   */
  readonly unfilled: number;
}

export interface CollectOptions {
  readonly numGroups: number;
  readonly groupSize: number;
  /** 1 takes the groups as they come. */
  readonly maxRounds: number;
}

/**
 * Samples until there are `numGroups` groups that teach. `sampleGroups` samples and judges a group for each of the next
 * `count` problems; `teaches` says whether a group's rewards differ.
 */
export async function collectGroups(
  { numGroups, groupSize, maxRounds }: CollectOptions,
  sampleGroups: (count: number) => Promise<readonly Rollout[]>,
  teaches: (group: readonly Rollout[]) => boolean,
): Promise<CollectedGroups> {
  const sampled: Rollout[] = [];
  const kept: (readonly Rollout[])[] = [];
  const dropped: (readonly Rollout[])[] = [];
  let rounds = 0;
  while (kept.length < numGroups && rounds < maxRounds) {
    const round = await sampleGroups(numGroups - kept.length);
    sampled.push(...round);
    rounds++;
    for (let start = 0; start < round.length; start += groupSize) {
      const group = round.slice(start, start + groupSize);
      (maxRounds === 1 || teaches(group) ? kept : dropped).push(group);
    }
  }
  const unfilled = numGroups - kept.length;
  return { rollouts: [...kept, ...dropped.slice(0, unfilled)].flat(), sampled, rounds, unfilled };
}
