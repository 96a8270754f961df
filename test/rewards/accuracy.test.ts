import { describe, expect, test } from "vitest";
import { createReward } from "../../src/rewards/registry.ts";

const PROMPT = "What is 6 times 7?\n<think>";
const answered = (text: string) => `6 * 7</think>\n<answer>${text}</answer>`;

/** The result for one completion. */
function judge(completion: string, columns: Record<string, unknown>, options: Record<string, unknown> = {}) {
  const reward = createReward("accuracy", options);
  if (!("judge" in reward)) throw new Error("accuracy judges one by one");
  return reward.judge({ prompt: PROMPT, completion, columns });
}

describe("the accuracy reward", () => {
  test("is 1 for an answer that equals the gold one, with the reason", () => {
    expect(judge(answered("84/2"), { answer: "42" })).toEqual({ score: 1, reason: "84/2 equals 42" });
    expect(judge(answered("41"), { answer: "42" })).toEqual({ score: 0, reason: "41 is not 42" });
    expect(judge("6 * 7 = 42", { answer: "42" })).toEqual({ score: 0, reason: "there is no final answer" });
  });

  test("takes the gold answer from answer, else solution, else the column that is named; from a list, any", () => {
    expect(judge(answered("42"), { answer: 42, solution: "\\boxed{41}" }).score).toBe(1);
    expect(judge(answered("42"), { solution: "so $x=\\boxed{42}$." }).score).toBe(1);
    expect(judge(answered("42"), { answer: "six times seven\n#### 42" }).score).toBe(1);
    expect(judge(answered("42"), { answer: 41, gold: "42" }, { gold: "gold" }).score).toBe(1);
    expect(judge(answered("42"), { answer: ["41", "42"] }).score).toBe(1);
  });

  test("abstains where the gold answer is missing or unreadable, or gives the score that the recipe says", () => {
    for (const columns of [{}, { answer: null }, { answer: "" }, { answer: { a: 1 } }, { answer: "\\frac{1}{" }]) {
      expect(judge(answered("42"), columns).score).toBeNull();
      expect(judge(answered("42"), columns).reason).toMatch(/^cannot judge: /);
      expect(judge(answered("42"), columns, { unreadableGoldScore: 0.5 }).score).toBe(0.5);
    }
    expect(judge(answered("42"), { answer: 42 }, { gold: "gold" }).reason).toMatch(/no gold answer in the column gold/);
  });
});
