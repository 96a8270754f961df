/** Rewards against the tasks of a mixture: which reward judges which task, by names alone. */

import type { StageFinding } from "../../findings.ts";
import { rewardLabel } from "../../rewards/user/reference.ts";
import type { GrpoConfig } from "./config.ts";

/** Rewards for tasks that there are not, and tasks that no reward judges. `names` are those of the tasks. */
export function mixtureFindings({ rewards }: Pick<GrpoConfig, "rewards">, names: readonly string[]): StageFinding[] {
  const found: StageFinding[] = [];
  for (const { name: reward, as, tasks = [] } of rewards) {
    const strange = tasks.filter((task) => !names.includes(task));
    if (strange.length === 0) continue;
    found.push({
      ...{ severity: "error", id: "reward-tasks" },
      measured: `${as ?? rewardLabel(reward)} is for ${strange.join(", ")}; the problems are of ${names.join(", ")}`,
      why: "it would abstain from everything",
      advice: "name one of these under rewards[].tasks, or leave it out",
    });
  }
  // Rewards that all have weight 0 are a finding of their own.
  const counting = rewards.filter(({ weight }) => weight !== 0);
  for (const task of counting.length === 0 ? [] : names) {
    if (counting.some(({ tasks }) => tasks === undefined || tasks.includes(task))) continue;
    found.push({
      ...{ severity: "warning", id: "task-without-reward" },
      measured: `no reward with a weight judges ${task}`,
      why: "its completions teach nothing",
      advice: "give it a reward, or leave the task out of the mixture",
    });
  }
  return found;
}
