import { describe, expect, test } from "vitest";
import { canonicalAnswer, findFinalAnswer } from "../../../src/tasks/conversations/final-answer.ts";
import { cpuTimeMs, HANG_LIMIT_MS } from "../../cpu-time.ts";

describe("findFinalAnswer", () => {
  test.each([
    ["so \\(\\boxed{18}\\)", "18/1"],
    ["first \\boxed{1}, then \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"],
    ["<answer> 7 </answer>", "7/1"],
    ["<answer>\\boxed{7}</answer>", "7/1"],
    ["<think>maybe <answer>1</answer></think>\n<answer>2</answer>", "2/1"],
    ["<think>\\boxed{1}</think> none", undefined],
    ["48/2 = 24\n#### 24", "24/1"],
    ["#### 1\n#### 1,024\n", "1024/1"],
    ["\\boxed{open", undefined],
    ["\\boxed{3} and \\boxed{open", "3/1"],
    ["nothing", undefined],
    ["", undefined],
  ])("%j gives %j", (text, expected) => {
    expect(findFinalAnswer(text)).toBe(expected);
  });

  test("numbers are equal as numbers, texts with white space, dollars and a full stop aside", () => {
    expect(canonicalAnswer("0.50")).toBe(canonicalAnswer("0.5"));
    expect(canonicalAnswer("$1,000$")).toBe(canonicalAnswer("1000"));
    expect(canonicalAnswer("1,00")).not.toBe(canonicalAnswer("100"));
    expect(canonicalAnswer("x + 1.")).toBe(canonicalAnswer("$x+1$"));
    expect(canonicalAnswer("123456789012345678901234567890")).not.toBe(
      canonicalAnswer("123456789012345678901234567891"),
    );
  });

  test("text made to be slow is not", () => {
    const startedAt = cpuTimeMs();
    findFinalAnswer("\\boxed{".repeat(100_000));
    findFinalAnswer("#### 1\n".repeat(100_000));
    expect(cpuTimeMs() - startedAt).toBeLessThan(HANG_LIMIT_MS);
  });
});
