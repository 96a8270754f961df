/** Rewards against the tasks of a mixture: which reward judges which task, by names alone. */

import type { Recipe, StageConfig } from "../recipe/schema.ts";
import { rewardLabel } from "../rewards/user/reference.ts";
import { taskLabels } from "../tasks/registry.ts";
import type { Finding } from "./finding.ts";

/** Rewards for tasks that there are not, and tasks that no reward judges. */
export function mixtureFindings(
  { rewards, name }: Extract<StageConfig, { trainer: "grpo" }>,
  recipe: Recipe,
): Finding[] {
  const names = taskLabels(recipe.task);
  const found: Finding[] = [];
  for (const { name: reward, as, tasks = [] } of rewards) {
    const strange = tasks.filter((task) => !names.includes(task));
    if (strange.length === 0) continue;
    found.push({
      ...{ severity: "error", id: "reward-tasks", stage: name },
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
      ...{ severity: "warning", id: "task-without-reward", stage: name },
      measured: `no reward with a weight judges ${task}`,
      why: "its completions teach nothing",
      advice: "give it a reward, or leave the task out of the mixture",
    });
  }
  return found;
}
