/** Rewards that ask another one first, and compare completions: cosine and length. */

import { describe, expect, test } from "vitest";
import { judgeAll } from "../../src/rewards/judge.ts";
import { createReward, rewardColumns } from "../../src/rewards/registry.ts";
import type { RewardInput } from "../../src/rewards/reward.ts";

const right = "<answer>6*9</answer>";
const wrong = "<answer>6+9</answer>";
const countdown = { nums: [6, 9], target: 54 };

function input(completion: string, more: Partial<RewardInput> = {}): RewardInput {
  return { prompt: "p", completion, columns: countdown, ...more };
}

async function scores(name: string, inputs: readonly RewardInput[], options = {}) {
  return (await judgeAll(createReward(name, options), inputs)).map(({ score }) => score);
}

describe("cosine", () => {
  const padded = (answer: string, length: number) => input(answer + " ".repeat(length - answer.length));

  test("falls with the length of right answers, rises with that of wrong ones, and stays beyond maxLength", async () => {
    const lengths = [20, 100, 500, 900, 1000, 1001, 1500, 2000, 3000];
    const of = (answer: string) =>
      scores(
        "cosine",
        lengths.map((length) => padded(answer, length)),
      );
    for (const [answer, sign, end] of [
      [right, -1, 0.8],
      [wrong, 1, -0.1],
    ] as const) {
      const found = (await of(answer)).map(Number);
      for (const [i, score] of found.entries()) {
        if (i > 0) expect(sign * (score - found[i - 1]!)).toBeGreaterThanOrEqual(0);
        if (lengths[i]! >= 1000) expect(score).toBe(end);
      }
    }
    expect((await scores("cosine", [padded(right, 500), padded(wrong, 500)])).map((s) => s!.toFixed(12))).toEqual([
      "0.900000000000",
      "-0.300000000000",
    ]);
  });

  test("takes the verdict of the reward that is named, or of the one that the columns are for", async () => {
    const inputs = [input("yes", { columns: { gold: "yes" } }), input("no", { columns: { gold: "yes" } })];
    const correct = { name: "exact_match", options: { column: "gold" } };
    expect((await scores("cosine", inputs, { correct })).map((score) => score! > 0)).toEqual([true, false]);
    const mixed = [
      input(right),
      input("<answer>yes</answer>", { columns: { answer: "yes" } }),
      input("x", { columns: {} }),
    ];
    const found = await judgeAll(createReward("cosine"), mixed);
    expect(found.map(({ score }) => score !== null && score > 0.9)).toEqual([true, true, false]);
    expect(found[2]).toEqual({
      score: null,
      reason: "right or wrong is not known: no reward fits the columns (none); set correct",
    });
  });

  test("refuses bounds the wrong way round (open-r1's defaults) and a verdict that there is not", () => {
    expect(() => createReward("cosine", { minWrong: 0, maxWrong: -0.5 })).toThrow(
      /minWrong is above maxWrong: exchange/,
    );
    expect(() => createReward("cosine", { correct: "equatoin" })).toThrow(/Did you mean equation/);
  });

  test("abstains where tokens are asked for and not known", async () => {
    expect(await scores("cosine", [input(right)], { unit: "tokens" })).toEqual([null]);
  });
});

describe("length", () => {
  test("is λ within the group for right answers, at most 0 for wrong ones", async () => {
    const of = (answer: string, completionTokens: number, group: number) => input(answer, { completionTokens, group });
    const inputs = [
      of(right, 10, 1),
      of(right, 100, 2),
      of(right, 20, 1),
      of(wrong, 10, 1),
      of(wrong, 30, 1),
      of(wrong, 100, 2),
      of(right, 15, 1),
    ];
    expect(await scores("length", inputs)).toEqual([0.5, 0, 0, 0, -0.5, 0, 0.25]);
  });

  test("counts characters where the tokens of a group are not all known, and groups by prompt without a group", async () => {
    const inputs = [
      input(right, { completionTokens: 99 }),
      input(`${right}!!`),
      input(`${right}!!!!`, { prompt: "q" }),
    ];
    expect(await scores("length", inputs)).toEqual([0.5, -0.5, 0]);
    expect(await scores("length", inputs, { unit: "tokens" })).toEqual([0, null, null]);
  });
});

test("columns that a reward needs follow its options", () => {
  expect(rewardColumns("exact_match")).toEqual(["answer"]);
  expect(rewardColumns("exact_match", { column: "gold" })).toEqual(["gold"]);
  expect(rewardColumns("regex_match", { pattern: "a" })).toEqual([]);
  expect(rewardColumns("equation")).toEqual(["nums", "target"]);
});
