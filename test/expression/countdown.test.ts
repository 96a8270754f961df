import { describe, expect, test } from "vitest";
import { judgeCompletion, judgeExpression, readCountdown } from "../../src/expression/countdown.ts";

function problem(nums: readonly unknown[], target: unknown) {
  const read = readCountdown({ nums, target });
  if ("fault" in read) throw new Error(read.fault);
  return read;
}

describe("judgeExpression", () => {
  const game = problem([6, 3, 3], 54);
  test.each([
    ["3*(6*3)", true, "the answer is 54, with every number used once"],
    ["3*6*3", true, "the answer is 54, with every number used once"],
    ["(6*3)+3", false, "the answer is 21, not 54"],
    ["6/(3/3)", false, "the answer is 6, not 54"],
    ["6*9", false, "the answer uses 9, which is not given"],
    ["6*3*3*3", false, "the answer uses 3 more often than it is given"],
    ["6*6*3", false, "the answer uses 6 more often than it is given"],
    ["6*3", false, "the answer leaves out 3"],
    ["54", false, "the answer uses 54, which is not given"],
    ["6/(3-3)", false, "the answer divides by zero"],
    ["63-3", false, "the answer uses 63, which is not given"],
  ])("%s: %s, %s", (text, solved, reason) => {
    expect(judgeExpression(text, game)).toEqual({ solved, reason });
  });

  test("equality is exact: what floating point rounds to the target is not the target", () => {
    // (1/999999 + 65) − 65 differs from 0 by a millionth, within the seeds' tolerance of 1e-5.
    const near = problem([1, 999999, 65, 65], 0);
    expect(judgeExpression("1/999999+65-65", near)).toEqual({ solved: false, reason: "the answer is 1/999999, not 0" });
    // 49 · (1/49) is below 1 in floating point.
    expect(judgeExpression("49*(1/49)", problem([49, 1, 49], 1)).solved).toBe(true);
  });

  test("targets may be decimals and numerals", () => {
    expect(judgeExpression("1/2", problem([1, 2], 0.5)).solved).toBe(true);
    expect(judgeExpression("1/2", problem(["1", "2"], "0.50")).solved).toBe(true);
    expect(judgeExpression("2-5", problem([5, 2], -3)).solved).toBe(true);
  });
});

describe("judgeCompletion", () => {
  test("the first of several answers counts, and the reason says so", () => {
    const game = problem([6, 9], 54);
    expect(judgeCompletion("<answer>6*9</answer><answer>6+9</answer>", game)).toEqual({
      solved: true,
      reason: "the answer is 54, with every number used once (the first of 2 answers counts)",
    });
    expect(judgeCompletion("<answer>6+9</answer><answer>6*9</answer>", game)).toEqual({
      solved: false,
      reason: "the answer is 15, not 54 (the first of 2 answers counts)",
    });
  });
});

describe("readCountdown", () => {
  test.each([
    [{}, "nums is not a list of whole numbers"],
    [{ nums: [], target: 1 }, "nums is not a list of whole numbers"],
    [{ nums: "1,2", target: 1 }, "nums is not a list of whole numbers"],
    [{ nums: [1, 2.5], target: 1 }, "nums has 2.5 where a whole number ≥ 0 should be"],
    [{ nums: [1, -2], target: 1 }, "nums has -2 where a whole number ≥ 0 should be"],
    [{ nums: [1, null], target: 1 }, "nums has null where a whole number ≥ 0 should be"],
    [{ nums: [2 ** 53], target: 1 }, "nums has 9007199254740992 where a whole number ≥ 0 should be"],
    [{ nums: [1] }, "target is missing, not a number"],
    [{ nums: [1], target: "many" }, 'target is "many", not a number'],
    [{ nums: [1], target: [1] }, "target is [1], not a number"],
  ])("%j: %s", (columns, fault) => {
    expect(readCountdown(columns)).toEqual({ fault });
  });
});
