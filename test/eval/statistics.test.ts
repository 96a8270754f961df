import { describe, expect, it } from "vitest";
import { wilsonInterval } from "../../src/eval/interval.ts";
import { majorityAnswer } from "../../src/eval/majority-vote.ts";
import { passAtK, reportedKs } from "../../src/eval/pass-at-k.ts";
import { reflectionWords } from "../../src/eval/reflection.ts";

/** The share of all subsets of k of n samples, the first c of which solve the problem, that contain a solved one. */
function passByEnumeration(n: number, c: number, k: number): number {
  let subsets = 0;
  let hits = 0;
  for (let bits = 0; bits < 2 ** n; bits++) {
    const members = Array.from({ length: n }, (_, i) => i).filter((i) => (bits >> i) & 1);
    if (members.length !== k) continue;
    subsets++;
    if (members.some((i) => i < c)) hits++;
  }
  return hits / subsets;
}

describe("passAtK", () => {
  it("equals the share of all k-subsets that contain a solved sample", () => {
    for (let n = 1; n <= 8; n++) {
      for (let c = 0; c <= n; c++) {
        for (let k = 1; k <= n; k++) expect(passAtK(n, c, k)).toBeCloseTo(passByEnumeration(n, c, k), 12);
      }
    }
  });

  it("does not overflow where binomials would", () => {
    expect(passAtK(4000, 1, 2000)).toBeCloseTo(0.5, 9);
  });

  it("refuses k beyond the samples and counts beyond n", () => {
    expect(() => passAtK(4, 1, 5)).toThrow(RangeError);
    expect(() => passAtK(4, 1, 0)).toThrow(RangeError);
    expect(() => passAtK(4, 5, 1)).toThrow(RangeError);
  });

  it("is reported at the powers of two up to the number of samples", () => {
    expect(reportedKs(1)).toEqual([]);
    expect(reportedKs(12)).toEqual([2, 4, 8]);
  });
});

describe("wilsonInterval", () => {
  it("agrees with published values", () => {
    // Newcombe, Statistics in Medicine 17 (1998), table I: 81/263, 15/148, 0/20, 1/29 by the score method.
    const published: [number, number, number, number][] = [
      [81, 263, 0.2553, 0.3662],
      [15, 148, 0.0624, 0.1605],
      [0, 20, 0, 0.1611],
      [1, 29, 0.0061, 0.1718],
    ];
    for (const [solved, trials, low, high] of published) {
      const [lower, upper] = wilsonInterval(solved / trials, trials);
      expect(lower).toBeCloseTo(low, 4);
      expect(upper).toBeCloseTo(high, 4);
    }
  });

  it("stays in [0, 1], contains the share, and narrows with trials", () => {
    for (const share of [0, 0.01, 0.5, 1]) {
      const [low, high] = wilsonInterval(share, 100);
      expect(low).toBeGreaterThanOrEqual(0);
      expect(high).toBeLessThanOrEqual(1);
      expect(low <= share && share <= high).toBe(true);
      const [lowMore, highMore] = wilsonInterval(share, 1000);
      expect(highMore - lowMore).toBeLessThan(high - low);
    }
    expect(wilsonInterval(0, 0)).toEqual([0, 1]);
  });
});

describe("majorityAnswer", () => {
  it("is the most frequent answer; the first of equals; abstentions do not vote", () => {
    expect(majorityAnswer(["a", "b", "b", null, null, null])).toBe("b");
    expect(majorityAnswer(["b", "a", "a", "b"])).toBe("b");
    expect(majorityAnswer([null, null])).toBe(null);
    expect(majorityAnswer([])).toBe(null);
  });
});

describe("reflectionWords", () => {
  it("counts whole words in any case, and Chinese ones anywhere", () => {
    const counts = reflectionWords("Wait, wait! A waiter's checklist. Let me CHECK: 不对，重新检查。");
    expect(Object.fromEntries(counts)).toEqual({ wait: 2, check: 1, 不对: 1, 重新: 1, 检查: 1 });
  });

  it("finds nothing in arithmetic", () => {
    expect(reflectionWords("(6*3)+3=18+3=21 too low\n").size).toBe(0);
  });
});
