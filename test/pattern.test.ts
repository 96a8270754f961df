/** The linear-time matcher against the engine's own, which backtracks, and where that would hang. */

import { describe, expect, it } from "vitest";
import { compilePattern } from "../src/pattern/matcher.ts";
import { parseFlags } from "../src/pattern/syntax.ts";
import { Random } from "../src/random.ts";

function matches(pattern: string, text: string, flags = ""): boolean {
  return compilePattern(pattern, parseFlags(flags))(text);
}

describe("the matcher", () => {
  it("says what JavaScript says of random patterns and texts", () => {
    const random = new Random(5, "patterns");
    const pick = <T>(list: readonly T[]): T => list[random.integer(list.length)]!;
    const atoms = [
      "a",
      "b",
      ".",
      "[ab]",
      "[^a]",
      "\\d",
      "\\w",
      "\\b",
      "\\B",
      "^",
      "$",
      "\\u0061",
      "\\p{L}",
      "😀",
      "\\.",
    ];
    const quantifiers = ["", "", "", "*", "+", "?", "{2}", "{1,2}", "{2,}", "*?", "+?"];
    const pattern = (depth: number): string =>
      Array.from({ length: 1 + random.integer(3) }, () => {
        const inner = depth > 0 && random.integer(3) === 0;
        const atom = inner ? `${pick(["(", "(?:", "(?<n>"])}${pattern(0)}|${pattern(0)})` : pick(atoms);
        return /^(?:\\b|\\B|\^|\$)$/i.test(atom) ? atom : atom + pick(quantifiers);
      }).join("");
    let found = 0;
    for (let i = 0; i < 700; i++) {
      const source = pattern(1);
      const text = Array.from({ length: random.integer(7) }, () =>
        pick(["a", "b", "1", " ", "\n", "😀", "\ud800"]),
      ).join("");
      const flags = pick(["", "i", "m", "s", "im"]);
      let expected: boolean;
      try {
        expected = new RegExp(source, `u${flags}`).test(text);
      } catch {
        continue;
      }
      found += Number(expected);
      expect([source, flags, text, matches(source, text, flags)]).toEqual([source, flags, text, expected]);
    }
    expect(found).toBeGreaterThan(100);
  });

  it("takes linear time where backtracking takes an age", () => {
    const text = "a".repeat(20_000);
    for (const pattern of ["^(a+)+$b", "(a*)*b", "(a|a)*b", "^(a?){30}a{30}b", "(.*)(.*)(.*)x"]) {
      expect(matches(pattern, text)).toBe(false);
    }
    expect(matches("^(a+)+$", text)).toBe(true);
    // Nothing, a thousand times a thousand times.
    expect(matches("(?:(?:(?:(?:){1000}){1000}){1000}){1000}x", "x")).toBe(true);
  });

  it("refuses what is too deep or too large, instead of running out of memory", () => {
    expect(() => matches(`${"(".repeat(5000)}${")".repeat(5000)}`, "")).toThrow(/deep|too large|Invalid/);
    expect(() => matches("((a{1000}){1000}){1000}", "")).toThrow(/too large/);
  });
});
