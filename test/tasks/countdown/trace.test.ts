import { describe, expect, test } from "vitest";
import { readCountdown } from "../../../src/expression/countdown.ts";
import { formatRational } from "../../../src/expression/rational.ts";
import { judgeCountdown } from "../../../src/tasks/countdown/countdown.ts";
import { readTries, type Try } from "../../../src/tasks/countdown/trace.ts";

function triesOf(completion: string, nums: number[], target: number): Try[] {
  const problem = readCountdown({ nums, target });
  if ("fault" in problem) throw new Error(problem.fault);
  return readTries(completion, problem);
}

function judge(completion: string, nums: number[], target: number) {
  return judgeCountdown({ id: 0, prompt: "…<think>", columns: { nums, target } }, completion);
}

/** `expression=claimed, right arithmetic?, verdict`, shortly. */
function show(attempt: Try): string {
  const claimed = attempt.claimed === undefined ? "?" : formatRational(attempt.claimed);
  return `${attempt.expression}=${claimed} ${attempt.isArithmeticRight ?? "-"} ${attempt.verdict ?? "-"}`;
}

describe("compact traces", () => {
  test("are read try by try", () => {
    const completion = "(6*3)+3=18+3=21 too low\n3*(6*3)=3*18=54 yes</think>\n<answer>3*(6*3)</answer>";
    expect(triesOf(completion, [6, 3, 3], 54).map(show)).toEqual(["(6*3)+3=21 true tooLow", "3*(6*3)=54 true yes"]);
    expect(judge(completion, [6, 3, 3], 54)).toEqual({
      solved: true,
      wellFormed: true,
      tries: 2,
      answer: "54",
      statistics: { falseYes: 0, gaveUp: 0, distinctTries: 2, repeatedTries: 0, wrongNumbers: 0, arithmeticRight: 1 },
    });
  });

  test("wrong arithmetic is found in any step", () => {
    const right = (trace: string) => triesOf(trace, [6, 3, 3], 54)[0]?.isArithmeticRight;
    expect(right("(6*3)+3=18+3=21 too low")).toBe(true);
    expect(right("(6*3)+3=18+3=22 too low")).toBe(false);
    expect(right("(6*3)+3=19+3=21 too low")).toBe(false);
    expect(right("(6*3)+3=(18=21 too low")).toBe(false);
  });

  test("a false yes, a gave-up trace and repeated tries are counted", () => {
    const falseYes = judge("(6*3)+3=18+3=54 yes</think>\n<answer>(6*3)+3</answer>", [6, 3, 3], 54);
    expect(falseYes).toMatchObject({ solved: false, statistics: { falseYes: 1, gaveUp: 0, arithmeticRight: 0 } });
    const tries = "6+3+3=12 too low\n(6+3)+3=12 too low\n6+3+3=12 too low\n";
    const gaveUp = judge(`${tries}</think>\n<answer>6+3+3</answer>`, [6, 3, 3], 54);
    expect(gaveUp).toMatchObject({ solved: false, tries: 3, statistics: { falseYes: 0, gaveUp: 1 } });
    expect(gaveUp.statistics.repeatedTries).toBeCloseTo(1 / 3, 12);
  });

  test("a yes on a right answer whose thinking went wrong is not a false one", () => {
    const verdict = judge("(6*3)+3=54 yes</think>\n<answer>6*3*3</answer>", [6, 3, 3], 54);
    expect(verdict).toMatchObject({ solved: true, statistics: { falseYes: 0 } });
  });

  test("tries with other numbers count as tries and as wrong numbers", () => {
    const verdict = judge("6*9*1=54 yes</think>\n<answer>6*9*1</answer>", [6, 3, 3], 54);
    expect(verdict).toMatchObject({ solved: false, tries: 1, statistics: { wrongNumbers: 1, falseYes: 1 } });
  });

  test("a trace that was cut off has tries, no answer, and did not give up", () => {
    const verdict = judge("(6*3)+3=18+3=21 too low\n3*(6*", [6, 3, 3], 54);
    expect(verdict).toMatchObject({ solved: false, wellFormed: false, tries: 1, statistics: { gaveUp: 0 } });
  });

  test("the answer itself is not a try, and without tries there are no shares", () => {
    expect(judge("</think>\n<answer>6*3*3</answer>", [6, 3, 3], 54)).toEqual({
      solved: true,
      wellFormed: true,
      tries: 0,
      answer: "54",
      statistics: { distinctTries: 0, falseYes: 0, gaveUp: 0 },
    });
  });
});

describe("free prose", () => {
  test("a successful sample of Mini-R1: equations over all the numbers are tries, partial ones are not", () => {
    const completion = ` First, I need to consider the numbers we have: 59, 80, and 66. I need to use these numbers to get 45.
If I subtract 66 from 80, I get 14. That gives me 14 + 59 = 73, which is too high. What if I start with 59 and then add 80
and subtract 66? That would be (59 + 80) - 66, let me calculate it. That equals 139 - 66, which is 73.
1. 80 - 66 + 59 = 14 + 59 = 73
- 66 - (80 - 59) = 66 - 21 = 45.
So the answer is (66 - (80 - 59)), yes</think>
<answer> 66 - (80 - 59) </answer>`;
    expect(triesOf(completion, [59, 80, 66], 45).map(show)).toEqual([
      "(59+80)-66=? - -",
      "80-66+59=73 true -",
      "66-(80-59)=45 true -",
      "(66-(80-59))=? - yes",
    ]);
    expect(judge(completion, [59, 80, 66], 45)).toMatchObject({ solved: true, wellFormed: true, tries: 4 });
  });

  test("typographic and LaTeX operators are read", () => {
    const completion = "(6 × 3) × 3 = 54, \\(6 \\times 3 \\div 3\\) and 6 − 3 − 3 = 0";
    expect(triesOf(completion, [6, 3, 3], 54).map(show)).toEqual([
      "(6*3)*3=54 true -",
      "6*3/3=? - -",
      "6-3-3=0 true -",
    ]);
  });

  test("claims may be negative or decimal", () => {
    expect(triesOf("6 - 9 = -3. 3/6 = 0.5", [6, 9], 3).map(show)).toEqual(["6-9=-3 true -", "3/6=1/2 true -"]);
  });

  test("what is no equation over as many numbers is no try", () => {
    for (const text of ["", "6, 3, 3", "[6, 3, 3]", "6*3=18", "54", "= 54", "6**3*3", "6+3+", "((((", "2024-01-0"]) {
      expect(triesOf(text, [6, 3, 3], 54), text).toEqual([]);
    }
  });

  test("a megabyte of parentheses, digits or equals signs is read once and gives nothing", () => {
    for (const part of ["(", ")", "9", "=", "9=", "9+", " ", "(9"]) {
      expect(triesOf(part.repeat(2 ** 20 / part.length), [6, 3, 3], 54)).toEqual([]);
    }
  });
});
