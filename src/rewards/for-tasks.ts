/** A reward for some of the tasks of a mixture: it abstains from completions of the other tasks. */

import { abstention } from "./judge.ts";
import { type AnyReward, decorated, type RewardInput, type RewardResult } from "./reward.ts";

/** The same reward, for problems whose column `task` is one of `tasks`; problems without that column are of no task. */
export function forTasks(reward: AnyReward, tasks: readonly string[]): AnyReward {
  const isOurs = ({ columns }: RewardInput): boolean => tasks.includes(String(columns.task));
  const notOurs = (): RewardResult => ({ ...abstention(`is for ${tasks.join(", ")}`), isForOthers: true });
  if ("judge" in reward) return { ...reward, judge: (input) => (isOurs(input) ? reward.judge(input) : notOurs()) };
  return decorated(reward, {
    judgeBatch: async (inputs) => {
      const ours = inputs.filter(isOurs);
      const results = ours.length === 0 ? [] : await reward.judgeBatch(ours);
      let next = 0;
      return inputs.map((input) => (isOurs(input) ? results[next++]! : notOurs()));
    },
  });
}
