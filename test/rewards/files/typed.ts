/** Rewards in TypeScript, as a user writes them: types, an import of their own, and one of Aha's. */

import { defineReward } from "aha-rl";
import { LIMIT } from "./limit.ts";

export const brevity = defineReward({
  judge: ({ completion }, { limit = LIMIT }: { limit?: number }) => ({
    score: completion.length <= limit ? 1 : 0,
    reason: `${completion.length} of ${limit} characters`,
  }),
});

/** How often a completion came before: a reward with a memory. */
const seen = new Map<string, number>();
export const novelty = defineReward({
  judgeBatch: (inputs) =>
    inputs.map(({ completion }) => {
      const times = seen.get(completion) ?? 0;
      seen.set(completion, times + 1);
      return { score: 1 / (1 + times), reason: `seen ${times} times` };
    }),
  saveState: () => [...seen],
  loadState: (state) => {
    for (const [text, times] of state as [string, number][]) seen.set(text, times);
  },
});

export default async ({ columns }: { columns: Record<string, unknown> }): Promise<number | null> =>
  typeof columns.target === "number" ? columns.target : null;

/** Judges a whole batch and is asynchronous: how often a completion is in its group. */
export const shared = defineReward({
  judgeBatch: async (inputs) => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    return inputs.map(({ group, completion }) => {
      const equal = inputs.filter((other) => other.group === group && other.completion === completion);
      return { score: equal.length, reason: `${group}` };
    });
  },
});
