/** All rollouts of a run that are kept, in the order in which they were sampled, from all of its files. */

import type { RolloutRecord } from "../../src/run/records.ts";
import { eachRollout } from "../../src/run/rollout-log.ts";

export async function readRollouts(path: string): Promise<RolloutRecord[]> {
  const rollouts: RolloutRecord[] = [];
  for await (const rollout of eachRollout(path)) rollouts.push(rollout);
  return rollouts;
}
