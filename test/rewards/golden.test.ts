/** TRL's numbers (test/golden/make_reward_golden.py) for the rewards that it has too. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { judgeAll } from "../../src/rewards/judge.ts";
import { createReward } from "../../src/rewards/registry.ts";

interface Golden {
  readonly tolerance: number;
  readonly think_format: readonly { completion: string; score: number }[];
  readonly soft_overlong: readonly {
    maxTokens: number;
    cacheTokens: number;
    completionTokens: number;
    score: number;
  }[];
  readonly repetition_penalty: readonly { ngramSize: number; maxPenalty: number; ids: number[]; score: number }[];
  readonly cosine: readonly { correct: boolean; completionTokens: number; score: number }[];
}

const golden: Golden = JSON.parse(readFileSync(join(import.meta.dirname, "../golden/rewards.json"), "utf8"));
const bare = { prompt: "", completion: "", columns: {} };

function expectScore(score: number | null, expected: number): void {
  expect(Math.abs(score! - expected)).toBeLessThanOrEqual(golden.tolerance);
}

describe("TRL's scores", () => {
  test("think_format_reward is format with form: think", () => {
    const reward = createReward("format", { form: "think" });
    for (const { completion, score } of golden.think_format) {
      expect([completion, reward.judge({ ...bare, completion }).score]).toEqual([completion, score]);
    }
  });

  test("get_soft_overlong_punishment is soft_overlong", () => {
    for (const { maxTokens, cacheTokens, completionTokens, score } of golden.soft_overlong) {
      const reward = createReward("soft_overlong", { maxTokens, cacheTokens });
      expectScore(reward.judge({ ...bare, completionTokens }).score, score);
    }
  });

  test("get_repetition_penalty_reward is repetition_penalty, of words instead of tokens", () => {
    for (const { ngramSize, maxPenalty, ids, score } of golden.repetition_penalty) {
      const reward = createReward("repetition_penalty", { ngramSize, maxPenalty });
      expectScore(reward.judge({ ...bare, completion: ids.join(" ") }).score, score);
    }
  });

  test("get_cosine_scaled_reward is cosine in tokens, beyond its length too", async () => {
    const reward = createReward("cosine", { correct: "exact_match", unit: "tokens" });
    const inputs = golden.cosine.map(({ correct, completionTokens }) => {
      return { ...bare, completion: correct ? "yes" : "no", columns: { answer: "yes" }, completionTokens };
    });
    const results = await judgeAll(reward, inputs);
    for (const [i, { score }] of golden.cosine.entries()) expectScore(results[i]!.score, score);
  });
});
