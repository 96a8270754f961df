/** Rewards that look at one completion's text or length. */

import { describe, expect, test } from "vitest";
import { createReward, type SingleRewardName } from "../../src/rewards/registry.ts";
import type { RewardInput } from "../../src/rewards/reward.ts";

function score(name: SingleRewardName, completion: string, options = {}, input: Partial<RewardInput> = {}) {
  return createReward(name, options).judge({ prompt: "", completion, columns: {}, ...input }).score;
}

describe("format", () => {
  test("spaced lets any white space stand between thinking and answer; line wants a line feed", () => {
    for (const gap of ["", " ", "\n", "\n\n"]) {
      const completion = `<think>a\nb</think>${gap}<answer>1</answer>`;
      expect(score("format", completion, { form: "spaced" })).toBe(1);
      expect(score("format", completion)).toBe(gap === "\n" ? 1 : 0);
    }
    expect(score("format", "a</think> <answer>1</answer>", { form: "spaced" }, { prompt: "…<think>" })).toBe(1);
    for (const wrong of [
      "a</think><answer>1</answer>",
      "<think>a</think>b<answer>1</answer>",
      "<think>a<answer>1</answer>",
    ]) {
      expect(score("format", wrong, { form: "spaced" })).toBe(0);
    }
  });

  test("lines is open-r1's regular expression, on every text of up to seven tags and line feeds", () => {
    const expression = /^<think>\n[\s\S]*?\n<\/think>\n<answer>\n[\s\S]*?\n<\/answer>\s*$/;
    const pieces = ["<think>\n", "\n</think>\n", "<answer>\n", "\n</answer>", "x", "\n"];
    let matches = 0;
    for (let number = 0; number < pieces.length ** 7; number++) {
      const text = [0, 1, 2, 3, 4, 5, 6].map((i) => pieces[Math.floor(number / pieces.length ** i) % pieces.length]);
      const completion = text.join("");
      const expected = Number(expression.test(completion));
      matches += expected;
      if (score("format", completion, { form: "lines" }) !== expected) expect.fail(JSON.stringify(completion));
    }
    expect(matches).toBeGreaterThan(100);
    const prompted = score(
      "format",
      "a\n</think>\n<answer>\n1\n</answer>",
      { form: "lines" },
      { prompt: "p <think>\n" },
    );
    expect(prompted).toBe(1);
  });
});

describe("tag_count", () => {
  test("counts a quarter for each tag that is there exactly once", () => {
    expect(score("tag_count", "<think>\na\n</think>\n<answer>\n1\n</answer>")).toBe(1);
    expect(score("tag_count", "<think>\na\n</think>\n\n<answer>\n1\n</answer>")).toBe(1);
    expect(score("tag_count", "a\n</think>\n\n<answer>\n1\n</answer>", {}, { prompt: "p <think>\n" })).toBe(1);
    expect(score("tag_count", "<think>\n<think>\na\n</think>\n")).toBe(0.25);
    expect(score("tag_count", "")).toBe(0);
  });
});

describe("reasoning_steps", () => {
  test("is the number of signs over three, at most 1", () => {
    expect(score("reasoning_steps", "nothing of the kind 1.")).toBe(0);
    expect(score("reasoning_steps", "Step 1: a")).toBeCloseTo(1 / 3, 12);
    expect(score("reasoning_steps", "1. a\n2. b")).toBeCloseTo(2 / 3, 12);
    expect(score("reasoning_steps", "First, a\n- b\n* c\nFinally, d")).toBe(1);
    expect(score("reasoning_steps", "First, a\n- b", { steps: 2 })).toBe(1);
  });
});

describe("repetition_penalty", () => {
  test("is 0 without repetition and for short texts, and never −0", () => {
    for (const text of ["", "a b", "a b c d e f", "数学问题"]) expect(score("repetition_penalty", text)).toBe(0);
  });

  test("counts words whatever their case, and characters where there are no spaces", () => {
    // 5 trigrams, 3 different.
    expect(score("repetition_penalty", "a b c A b c a")).toBeCloseTo(-2 / 5, 12);
    expect(score("repetition_penalty", "好的好的好的")).toBeCloseTo(-0.5, 12);
    expect(score("repetition_penalty", "好的好的好的", { unit: "words" })).toBe(0);
    expect(score("repetition_penalty", "abababab", { unit: "characters", maxPenalty: -0.1 })).toBeCloseTo(-0.4 / 6, 12);
  });

  test("refuses a positive penalty", () => {
    expect(() => createReward("repetition_penalty", { maxPenalty: 1 })).toThrow(
      "maxPenalty: expected a number of at most 0",
    );
  });
});

describe("soft_overlong", () => {
  test("takes the sampler's limit and a fifth of it, where no other is named", () => {
    const at = (completionTokens: number) =>
      score("soft_overlong", "", {}, { completionTokens, maxCompletionTokens: 100 });
    expect([80, 90, 100].map(at)).toEqual([0, -0.5, -1]);
    expect(score("soft_overlong", "", {}, { completionTokens: 5 })).toBeNull();
    expect(score("soft_overlong", "", { maxTokens: 5 })).toBeNull();
  });
});

describe("exact_match", () => {
  const gold = (answer: unknown) => ({ columns: { answer } });
  test("compares the last answer after the thinking with the column", () => {
    const completion = "<answer>Rome</answer></think> <answer>Oslo</answer> <answer> Paris,\n France </answer>";
    expect(score("exact_match", completion, {}, gold("Paris, France"))).toBe(1);
    expect(score("exact_match", completion, {}, gold(["x", "Paris, France"]))).toBe(1);
    expect(score("exact_match", completion, {}, gold("Rome"))).toBe(0);
    expect(score("exact_match", "</think>\n\n42\n", {}, gold(42))).toBe(1);
    expect(score("exact_match", "42", {}, gold("42"))).toBe(1);
    expect(score("exact_match", "PARIS", {}, gold("Paris"))).toBe(0);
    expect(score("exact_match", "PARIS", { caseSensitive: false }, gold("Paris"))).toBe(1);
    expect(score("exact_match", "caf\u0065\u0301", {}, gold("caf\u00e9"))).toBe(1);
  });

  test("abstains where the column holds no answer", () => {
    for (const answer of [undefined, null, {}, [], [{}]])
      expect(score("exact_match", "x", {}, gold(answer))).toBeNull();
  });
});

describe("regex_match", () => {
  test("looks for the recipe's pattern or the row's, in the part that is named", () => {
    expect(score("regex_match", "it is 42.", { pattern: "\\b\\d+\\b" })).toBe(1);
    expect(score("regex_match", "it is 42.", { pattern: "\\b\\d+\\b", negate: true })).toBe(0);
    expect(score("regex_match", "1</think>two", { pattern: "\\d", part: "summary" })).toBe(0);
    expect(score("regex_match", "x <answer> B </answer>", { pattern: "^[a-d]$", part: "answer", flags: "i" })).toBe(1);
    expect(score("regex_match", "abc", {}, { columns: { pattern: "^a.c$" } })).toBe(1);
  });

  test("abstains without a pattern, or where the row's is none", () => {
    expect(score("regex_match", "abc")).toBeNull();
    for (const pattern of ["(", "(a)\\1", "(?=a)", "x{5000}"]) {
      expect(score("regex_match", "abc", {}, { columns: { pattern } })).toBeNull();
      expect(() => createReward("regex_match", { pattern })).toThrow(/regex_match: pattern: /);
    }
    expect(() => createReward("regex_match", { pattern: "a", flags: "y" })).toThrow(/flags: expected some of i, m, s/);
  });
});
