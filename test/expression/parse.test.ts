import { describe, expect, test } from "vitest";
import { EXPRESSION_LIMITS, parseExpression } from "../../src/expression/parse.ts";
import { formatRational } from "../../src/expression/rational.ts";
import { Random } from "../../src/random.ts";

function show(text: string): string {
  const parsed = parseExpression(text);
  return parsed.ok ? formatRational(parsed.value) : parsed.reason;
}

describe("values", () => {
  test.each([
    ["7", "7"],
    ["0", "0"],
    ["1+2*3", "7"],
    ["(1+2)*3", "9"],
    ["8-3-2", "3"],
    ["48/4/3*2", "8"],
    ["2*3+4*5-6/2", "23"],
    ["1/3*3", "1"],
    ["(80 - (70 / 14)) * 2", "150"],
    ["((((7))))", "7"],
    ["1-2", "-1"],
    ["5/(2-4)", "-5/2"],
    [" \t55 +\n36\r- 7 - 19 ", "65"],
  ])("%j is %s", (text, value) => {
    expect(show(text)).toBe(value);
  });

  test("numbers come left to right, and the postfix form keeps precedence and association", () => {
    const parsed = parseExpression("8-(2+3)*4-1");
    expect(parsed).toMatchObject({
      ok: true,
      numbers: [8n, 2n, 3n, 4n, 1n],
      postfix: [8n, 2n, 3n, "+", 4n, "*", "-", 1n, "-"],
    });
  });

  test("random expressions of the four operations have the value that JavaScript gives them", () => {
    const random = new Random(3, "expressions");
    const grow = (depth: number): { text: string; value: number } => {
      if (depth === 0) {
        const value = random.integer(20);
        return { text: String(value), value };
      }
      const [left, right] = [grow(random.integer(depth)), grow(random.integer(depth))];
      const operator = random.choice(["+", "-", "*", "/"] as const);
      const compute = { "+": left.value + right.value, "-": left.value - right.value, "*": left.value * right.value };
      const value = operator === "/" ? left.value / right.value : compute[operator];
      return { text: `(${left.text} ${operator} ${right.text})`, value };
    };
    let compared = 0;
    for (let i = 0; i < 500; i++) {
      const { text, value } = grow(4);
      const parsed = parseExpression(text);
      if (!parsed.ok) {
        // Infinity or NaN has passed through: only a division by zero can have failed.
        expect(parsed.reason).toBe("divides by zero");
        continue;
      }
      const exact = Number(parsed.value.numerator) / Number(parsed.value.denominator);
      expect(Math.abs(exact - value)).toBeLessThanOrEqual(1e-9 * Math.max(1, Math.abs(exact)));
      compared++;
    }
    expect(compared).toBeGreaterThan(300);
  });
});

describe("what is refused, and why", () => {
  test.each([
    ["", "is empty"],
    ["  ", "is empty"],
    ["9**9**9", "uses **, which is not one of + - * /"],
    ["9//2", "uses //, which is not one of + - * /"],
    ["9* *2", "has * where a number should be"],
    ["(*2)", "has * where a number should be"],
    ["1.5*2", "has a decimal point: only whole numbers are given"],
    [".5", "has a decimal point: only whole numbers are given"],
    ["-3+6", "has a sign (-) without a number before it"],
    ["+3", "has a sign (+) without a number before it"],
    ["5--3", "has a sign (-) without a number before it"],
    ["5*-3", "has a sign (-) without a number before it"],
    ["(-3)", "has a sign (-) without a number before it"],
    ["55 - 2 = 53", "contains =: only the expression belongs there, not its result"],
    ["2(3)", "has two values without an operator between them"],
    ["(2)(3)", "has two values without an operator between them"],
    ["(2)3", "has two values without an operator between them"],
    ["2 3", "has two values without an operator between them"],
    ["007", "has a number that starts with 0"],
    ["()", "has ) where a number should be"],
    ["(1+)", "has ) where a number should be"],
    ["1)", "closes a parenthesis that was not opened"],
    ["(1", "leaves a parenthesis open"],
    ["((", "ends where a number should be"],
    ["1+", "ends where a number should be"],
    ["1/0", "divides by zero"],
    ["1/(2-2)+3", "divides by zero"],
    ["(1/(2-2))", "divides by zero"],
    ["0/0", "divides by zero"],
    ["2×3", "contains U+00D7, which is not a digit, an operator or a parenthesis"],
    ["6÷2", "contains U+00F7, which is not a digit, an operator or a parenthesis"],
    ["6−2", "contains U+2212, which is not a digit, an operator or a parenthesis"],
    ["٣+٤", "contains U+0663, which is not a digit, an operator or a parenthesis"],
    ["１+2", "contains U+FF11, which is not a digit, an operator or a parenthesis"],
    ["𝟏+2", "contains U+1D7CF, which is not a digit, an operator or a parenthesis"],
    ["1\u00a0+2", "contains U+00A0, which is not a digit, an operator or a parenthesis"],
    ["1+\u00002", "contains U+0000, which is not a digit, an operator or a parenthesis"],
    ["2^3", "contains ^, which is not a digit, an operator or a parenthesis"],
    ["7%4", "contains %, which is not a digit, an operator or a parenthesis"],
    ["1_0", "contains _, which is not a digit, an operator or a parenthesis"],
    ["1e3", "contains e, which is not a digit, an operator or a parenthesis"],
    ["__import__('os')", "contains _, which is not a digit, an operator or a parenthesis"],
  ])("%j: %s", (text, reason) => {
    expect(parseExpression(text)).toEqual({ ok: false, reason });
  });
});

describe("limits", () => {
  test("a text beyond maxLength is refused unread", () => {
    expect(parseExpression("9".repeat(2 ** 20))).toEqual({ ok: false, reason: "is longer than 4096 characters" });
    expect(parseExpression("(".repeat(100_000))).toEqual({ ok: false, reason: "is longer than 4096 characters" });
    expect(parseExpression("\0".repeat(4097))).toEqual({ ok: false, reason: "is longer than 4096 characters" });
  });

  test("a number beyond maxDigits is refused before it is made", () => {
    const limits = { ...EXPRESSION_LIMITS, maxLength: 2 ** 21 };
    expect(parseExpression("9".repeat(2 ** 20), limits)).toEqual({
      ok: false,
      reason: "has a number of more than 16 digits",
    });
    expect(parseExpression("9".repeat(16)).ok).toBe(true);
  });

  test("an expression of more than maxNumbers numbers is refused", () => {
    expect(parseExpression(Array(33).fill("1").join("+"))).toEqual({ ok: false, reason: "has more than 32 numbers" });
    expect(show(Array(32).fill("1").join("+"))).toBe("32");
  });

  test("the largest values that fit into the limits have at most maxNumbers · maxDigits digits", () => {
    const parsed = parseExpression(Array(32).fill("9".repeat(16)).join("*"));
    expect(parsed.ok && String(parsed.value.numerator).length).toBe(32 * 16);
  });

  test("a hundred thousand nested parentheses need no call stack", () => {
    const limits = { ...EXPRESSION_LIMITS, maxLength: 300_000 };
    const nested = `${"(".repeat(100_000)}7+1${")".repeat(100_000)}`;
    expect(parseExpression(nested, limits)).toMatchObject({ ok: true, numbers: [7n, 1n] });
    expect(parseExpression("(".repeat(100_000), limits)).toEqual({
      ok: false,
      reason: "ends where a number should be",
    });
  });

  test("thousands of parentheses within the limit are read like any", () => {
    expect(show(`${"(".repeat(2000)}6*9${")".repeat(2000)}`)).toBe("54");
  });
});
