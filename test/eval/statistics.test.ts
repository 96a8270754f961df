import { describe, expect, it } from "vitest";
import { mcNemarP } from "../../src/eval/compare.ts";
import { meanInterval, shareInterval, studentQuantile95, wilsonInterval } from "../../src/eval/interval.ts";
import { majorityAnswer } from "../../src/eval/majority-vote.ts";
import { passAtK, reportedKs } from "../../src/eval/pass-at-k.ts";
import { reflectionWords } from "../../src/eval/reflection.ts";
import { statisticsOf } from "../../src/eval/statistics.ts";
import { evalMetrics } from "../../src/eval/trl-names.ts";
import { createTask } from "../../src/tasks/on-disk.ts";

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

describe("intervals over problems", () => {
  const share = (solved: readonly number[], samples: number) =>
    shareInterval(solved.map((sum) => ({ sum, count: samples })));

  it("of one completion for each problem are Wilson's", () => {
    expect(share([1, 0, 0, 1, 1], 1)).toEqual(wilsonInterval(3 / 5, 5));
  });

  it("count completions that stand and fall together as one trial, and independent ones as several", () => {
    const together = share([8, 0, 8, 0, 8, 0, 8, 0], 8)!;
    expect(together).toEqual(wilsonInterval(0.5, 8));
    const apart = share([4, 4, 4, 4, 5, 3, 3, 5], 8)!;
    expect(apart[0]).toBeCloseTo(wilsonInterval(0.5, 64)[0], 12);
    const between = share([8, 0, 6, 2, 8, 0, 7, 1], 8)!;
    expect(between[1] - between[0]).toBeLessThan(together[1] - together[0]);
    expect(between[1] - between[0]).toBeGreaterThan(apart[1] - apart[0]);
  });

  it("where all agree are those of as many trials as problems, never a point", () => {
    expect(share([0, 0, 0], 16)).toEqual(wilsonInterval(0, 3));
    expect(shareInterval([])).toBeUndefined();
  });

  it("of a mean are Student's, by a ratio of sums where problems count differently", () => {
    // One value for each problem: mean 2, s = 1, t(2) = 4.3027.
    const [low, high] = meanInterval([1, 2, 3].map((sum) => ({ sum, count: 1 })))!;
    expect(high - 2).toBeCloseTo(4.302653 / Math.sqrt(3), 5);
    expect(2 - low).toBeCloseTo(high - 2, 12);
    // R = 6/4; Σ(y − Rx)² = (1 − 1.5)² + (5 − 4.5)² = 0.5; v = 2/1 · 0.5/16; problems without a count do not vary.
    const uneven = meanInterval([
      { sum: 1, count: 1 },
      { sum: 5, count: 3 },
      { sum: 0, count: 0 },
    ])!;
    expect(uneven[1] - 1.5).toBeCloseTo(12.7062 * Math.sqrt(1 / 16), 4);
    expect(meanInterval([{ sum: 1, count: 5 }])).toBeUndefined();
  });

  it("use Student's quantiles as tables have them", () => {
    const table = { 1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 10: 2.228, 30: 2.042, 1000: 1.962 };
    for (const [degrees, quantile] of Object.entries(table)) {
      expect(Math.abs(studentQuantile95(Number(degrees)) / quantile - 1)).toBeLessThan(1.5e-3);
    }
  });
});

describe("mcNemarP", () => {
  it("is twice the tail of a fair coin, at most 1", () => {
    expect(mcNemarP(0, 0)).toBe(1);
    expect(mcNemarP(1, 1)).toBe(1);
    expect(mcNemarP(0, 5)).toBeCloseTo(2 / 32, 12);
    expect(mcNemarP(2, 8)).toBeCloseTo((2 * (1 + 10 + 45)) / 1024, 12);
    expect(mcNemarP(8, 2)).toBe(mcNemarP(2, 8));
    expect(mcNemarP(3000, 3200)).toBeCloseTo(0.0114, 3);
  });
});

describe("evalMetrics", () => {
  it("names statistics as TRL does, with its prefix, and the task's own as in training", () => {
    const statistics = { solveRate: 0.5, passAt4: 0.75, meanLength: 7, truncatedRate: 0.1, falseYes: 0.2 };
    expect(evalMetrics(statistics)).toEqual({
      eval_solve_rate: 0.5,
      "eval_pass_at/4": 0.75,
      "eval_completions/mean_length": 7,
      "eval_completions/clipped_ratio": 0.1,
      "eval_task/falseYes": 0.2,
    });
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
    expect(Object.fromEntries(counts)).toEqual({ wait: 2, "let me check": 1, 不对: 1, 重新: 1, 检查: 1 });
  });

  it("finds nothing in arithmetic", () => {
    expect(reflectionWords("(6*3)+3=18+3=21 too low\n").size).toBe(0);
  });
});

describe("statisticsOf", () => {
  it("gives no interval beyond what a statistic can be: shares of a task in [0, 1], amounts not below 0", () => {
    const groups = [0, 0, 0, 1].map((rare, i) => [
      {
        text: "",
        lengthTokens: 1 + 30 * rare,
        finishReason: "stop" as const,
        verdict: {
          solved: false,
          wellFormed: false,
          tries: rare,
          statistics: { gaveUp: rare, falseYes: 0, distinctTries: 3 * rare, penalty: i === 0 ? -1 : 0 },
        },
      },
    ]);
    const { intervals } = statisticsOf(groups);
    expect(intervals.gaveUp).toEqual(wilsonInterval(0.25, 4));
    expect(intervals.falseYes).toEqual(wilsonInterval(0, 4));
    for (const name of ["meanLength", "tries", "distinctTries"]) expect(intervals[name]![0]).toBe(0);
    expect(intervals.distinctTries![1]).toBeGreaterThan(1);
    expect(intervals.penalty![1]).toBeGreaterThan(0);
    expect(intervals.penalty![0]).toBeLessThan(-1);
  });

  it("leaves out what the task does not have: tries, thinking, anything to compare with", () => {
    const group = (verdict: object) =>
      Array.from({ length: 2 }, () => ({
        ...{ text: "Wait, check it.", lengthTokens: 1, finishReason: "stop" as const },
        verdict: { solved: false, wellFormed: true, answer: null, statistics: { judged: 0 }, ...verdict },
      }));
    const of = (...groups: object[]) => Object.keys(statisticsOf(groups.map(group)).values);
    const lengths = ["meanLength", "meanTerminatedLength", "minLength", "maxLength"];
    const always = ["formatRate", "truncatedRate", ...lengths, "minTerminatedLength", "maxTerminatedLength"];
    expect(of({ isUnjudged: true, answersOutright: true }).toSorted()).toEqual(always.toSorted());
    // A gold answer that cannot be read is another matter: that nothing could be judged is what has to be seen.
    const unread = ["solveRate", "passAt2", "majorityRate", "judged", "reflectionWords", "reflectionRate"];
    expect(of({}).toSorted()).toEqual([...always, ...unread].toSorted());
    expect(of({ isUnjudged: true }, { solved: true, statistics: { judged: 1 } })).toContain("judged");
    // Of a mixture, those that have them count.
    const { values } = statisticsOf([group({ tries: 3, solved: true }), group({ answersOutright: true })]);
    expect(values).toMatchObject({ tries: 3, solvedPerTry: 1 / 3, reflectionWords: 2, solveRate: 0.5 });
  });

  it("takes a count for one where the task says so, though all its values are 0 or 1", () => {
    const groups = [0, 1, 1, 1].map((distinctTries) => [
      {
        ...{ text: "", lengthTokens: 1, finishReason: "stop" as const },
        verdict: { solved: false, wellFormed: false, tries: distinctTries, statistics: { distinctTries } },
      },
    ]);
    const { distinctTries, tries } = statisticsOf(groups, undefined, { distinctTries: "amount" }).intervals;
    expect(distinctTries).toEqual(tries);
    expect(distinctTries![1]).toBeGreaterThan(1);
    expect(statisticsOf(groups).intervals.distinctTries).toEqual(wilsonInterval(0.75, 4));
  });

  it("has the kinds of a task's statistics from the task, in a mixture of all its parts", async () => {
    const countdown = { name: "countdown", prompt: "compact", counts: [3] };
    const mixture = { name: "mixture", tasks: [countdown, { name: "assistant" }].map((task) => ({ weight: 1, task })) };
    for (const spec of [countdown, mixture]) {
      expect((await createTask(spec, { seed: 1 })).statisticKinds).toMatchObject({
        distinctTries: "amount",
        gaveUp: "share",
      });
    }
  });
});
