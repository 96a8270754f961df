import { describe, expect, test } from "vitest";
import { ExactNumber, exactNumber, numberText, parseExactJson, stringifyExactJson } from "../src/exact-json.ts";

/** Reads and writes. */
const throughJson = (text: string) => stringifyExactJson(parseExactJson(text));

describe("numbers", () => {
  test.each([
    ["9007199254740991", 9007199254740991],
    ["9007199254740992", 9007199254740992n],
    ["9007199254740993", 9007199254740993n],
    ["-9007199254740993", -9007199254740993n],
    ["18446744073709551615", 18446744073709551615n],
    ["1e21", 1e21],
    ["1.2345678901234567890123e22", 12345678901234567890123n],
    ["0.1", 0.1],
    ["0.30000000000000004", 0.30000000000000004],
    // Digits of a double, more of them than it takes to name it: printf's %.17g and %.20f.
    ["0.10000000000000001", 0.1],
    ["0.10000000000000000555", 0.1],
    ["1.0000000000000000000000000", 1],
    ["0.00000000000000000000", 0],
    ["5e-324", 5e-324],
    ["1.7976931348623157e308", Number.MAX_VALUE],
  ])("%s is held by the simplest kind that does", (text, value) => {
    expect(exactNumber(text)).toBe(value);
    expect(parseExactJson(`{"a": [${text}]}`)).toEqual({ a: [value] });
  });

  test.each(["3.14159265358979323846", "0.123456789012345678901", "1e400", "1e-400", "-2.5e-999"])(
    "%s is held by its digits",
    (text) => {
      const value = exactNumber(text);
      expect(value).toBeInstanceOf(ExactNumber);
      expect(String(value)).toBe(text);
      expect(Number(value)).toBe(Number(text));
    },
  );

  test("a megabyte of digits takes no time and no bigint", () => {
    const digits = "7".repeat(2 ** 20);
    expect(throughJson(`[${digits}]`)).toBe(`[${digits}]`);
    expect(exactNumber(digits)).toBeInstanceOf(ExactNumber);
  });

  test("are written back with their digits, wherever they stand", () => {
    const text = '{"id":9007199254740993,"list":[1,-18446744073709551615,{"x":3.14159265358979323846}],"s":"1e400"}';
    expect(throughJson(text)).toBe(text);
    expect(stringifyExactJson({ a: 2n ** 64n }, 1)).toBe('{\n "a": 18446744073709551616\n}');
    expect(() => JSON.stringify(parseExactJson(text))).toThrow(TypeError);
  });

  test("have a text without a power of ten where that is short", () => {
    const numbers = [0.5, 1e-7, -1.5e-7, 1e21, -1e22, 1e300, 2n ** 64n, new ExactNumber("1e400")];
    expect(numbers.map(numberText)).toEqual([
      ...["0.5", "0.0000001", "-0.00000015", "1000000000000000000000", "-10000000000000000000000", "1e+300"],
      ...["18446744073709551616", "1e400"],
    ]);
    expect([Number.NaN, Number.POSITIVE_INFINITY, "1", null, true].map(numberText)).toEqual(Array(5).fill(undefined));
  });
});

describe("texts", () => {
  test("that look like numbers stay texts, escapes and quotes aside", () => {
    for (const text of [
      '{"a":"9007199254740993"}',
      '{"9007199254740993":1}',
      '{"a":"x\\\\","b":9007199254740993}',
      '{"a":"\\"9007199254740993","b":"NaN"}',
      '{"a":"-Infinity is 12345678901234567890"}',
    ]) {
      expect(throughJson(text)).toBe(text);
    }
  });

  test("that are nested too deeply are refused, with or without such numbers", () => {
    const nested = (depth: number, inner: string) => "[".repeat(depth) + inner + "]".repeat(depth);
    for (const inner of ["1", "9007199254740993", '{"a":[]}']) {
      expect(throughJson(nested(900, inner))).toBe(nested(900, inner));
      expect(() => parseExactJson(nested(100_000, inner))).toThrow(RangeError);
    }
    // Many brackets side by side are no depth.
    const wide = `[${Array(5000).fill("[]").join(",")}]`;
    expect(throughJson(wide)).toBe(wide);
  });

  test("a key __proto__ is a key", () => {
    const text = '{"__proto__":{"n":9007199254740993}}';
    expect(throughJson(text)).toBe(text);
    expect(({} as { n?: unknown }).n).toBeUndefined();
  });

  test("NaN is null, an infinity its name", () => {
    expect(parseExactJson('[NaN, Infinity, -Infinity, "NaN"]')).toEqual([null, "Infinity", "-Infinity", "NaN"]);
  });

  test.each([
    "[012345678901234567890]",
    "[9007199254740993",
    "{9007199254740993:1}",
    "[1.e9007199254740993]",
    "[NaNs]",
  ])("%s is no JSON", (text) => {
    expect(() => parseExactJson(text)).toThrow(SyntaxError);
  });
});
