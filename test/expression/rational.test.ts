import { describe, expect, test } from "vitest";
import {
  applyOperator,
  equal,
  formatRational,
  lessThan,
  ratio,
  readDecimal,
  whole,
} from "../../src/expression/rational.ts";

describe("combine", () => {
  test("computes the four operations in lowest terms", () => {
    const half = ratio(1n, 2n);
    const third = ratio(1n, 3n);
    expect(applyOperator("+", half, third)).toEqual(ratio(5n, 6n));
    expect(applyOperator("-", third, half)).toEqual({ numerator: -1n, denominator: 6n });
    expect(applyOperator("*", half, ratio(2n, 3n))).toEqual(third);
    expect(applyOperator("/", half, ratio(-1n, 4n))).toEqual(whole(-2));
  });

  test("a third times three is one, where floating point needs a tolerance", () => {
    expect(equal(applyOperator("*", applyOperator("/", whole(1), whole(3))!, whole(3))!, whole(1))).toBe(true);
  });

  test("division by zero has no value", () => {
    expect(applyOperator("/", whole(1), whole(0))).toBeUndefined();
    expect(applyOperator("/", whole(0), whole(5))).toEqual(whole(0));
  });
});

test("lessThan compares across denominators and signs", () => {
  expect(lessThan(ratio(1n, 3n), ratio(1n, 2n))).toBe(true);
  expect(lessThan(ratio(-1n, 2n), ratio(-1n, 3n))).toBe(true);
  expect(lessThan(whole(2), whole(2))).toBe(false);
});

describe("readDecimal", () => {
  test.each([
    ["12", whole(12)],
    ["-12", whole(-12)],
    ["0.25", ratio(1n, 4n)],
    ["-1.50", ratio(-3n, 2n)],
    ["1e3", whole(1000)],
    ["15e-1", ratio(3n, 2n)],
    [0.1, ratio(1n, 10n)],
    [1e21, whole(10n ** 21n)],
  ])("%s is read exactly", (text, value) => {
    expect(readDecimal(text)).toEqual(value);
  });

  test.each(["", " 1", "1.", ".5", "1/2", "0x10", "١", "1e999", `1${"0".repeat(64)}`, Number.NaN, Infinity])(
    "%s is not a decimal of reasonable size",
    (text) => {
      expect(readDecimal(text)).toBeUndefined();
    },
  );
});

test("formatRational shortens what nobody reads", () => {
  expect(formatRational(ratio(-6n, 4n))).toBe("-3/2");
  expect(formatRational(whole(10n ** 30n))).toBe("100000000000… (31 digits)");
});
