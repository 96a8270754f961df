import { describe, expect, it } from "vitest";
import { judgeAll } from "../../../src/rewards/judge.ts";
import { createRewards } from "../../../src/rewards/spec.ts";
import { grpoConfigSchema } from "../../../src/train/grpo/issues.ts";

const least = { iterations: 1, promptsPerIteration: 1, maxCompletionTokens: 4, learningRate: 0.1 };
const scorer = (reward: number) => async () => ({
  score: async (texts: readonly unknown[]) => texts.map(() => ({ reward })),
  close: async () => {},
});

describe("one reward listed twice", () => {
  it("is told apart by names of one's own, each with its options", async () => {
    const { rewards } = grpoConfigSchema().parse({
      ...least,
      rewards: [
        { name: "reward_model", as: "helpfulness", options: { path: "a", part: "summary" } },
        { name: "reward_model", as: "harmlessness", options: { path: "b" } },
        { name: "format", as: "form" },
      ],
    });
    const opened: string[] = [];
    const openScorer = async (path: string) => {
      opened.push(path);
      return scorer(path === "a" ? 3 : 5)();
    };
    const created = createRewards(rewards, { openScorer }).map(({ reward }) => reward);
    expect(created.map(({ name }) => name)).toEqual(["helpfulness", "harmlessness", "form"]);
    for (const reward of created) if ("open" in reward) await reward.open?.();
    expect(opened).toEqual(["a", "b"]);
    const input = { prompt: "<think>", completion: "no end", columns: {} };
    const scores = await Promise.all(created.map(async (reward) => (await judgeAll(reward, [input]))[0]!.score));
    expect(scores).toEqual([null, 5, 0]);
  });

  it("is refused without, with a hint", () => {
    const rewards = [{ name: "format" }, { name: "equation", as: "format" }];
    expect(() => grpoConfigSchema().parse({ ...least, rewards })).toThrow(/lists format twice.*apart with as/);
  });
});
