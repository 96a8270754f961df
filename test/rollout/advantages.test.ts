import { describe, expect, it } from "vitest";
import { Random } from "../../src/random.ts";
import { groupAdvantages, mean, SCALE_REWARDS, STD_EPSILON, sampleStd } from "../../src/rollout/advantages.ts";

describe("groupAdvantages", () => {
  // Group one: mean 1, deviation √(4/3); group two: mean 2, deviation √(8/3) (both over n − 1 = 3).
  const rewards = [0, 2, 0, 2, 1, 1, 1, 5];
  const batchStd = Math.sqrt(mean(rewards.map((reward) => (reward - 1.5) ** 2)) * (8 / 7));

  it("divides by the group's Bessel-corrected deviation plus 1e-4", () => {
    const { advantages, groupStds } = groupAdvantages(rewards, 4, "group");
    const one = 1 / (Math.sqrt(4 / 3) + STD_EPSILON);
    const two = 1 / (2 + STD_EPSILON);
    expect(groupStds[0]).toBeCloseTo(Math.sqrt(4 / 3), 12);
    expect(groupStds[1]).toBeCloseTo(2, 12);
    const expected = [-one, one, -one, one, -two, -two, -two, 3 * two];
    expect([...advantages].map((value, i) => Math.abs(value - expected[i]!) < 1e-12)).toEqual(Array(8).fill(true));
  });

  it("divides by the batch's deviation, or by nothing, when asked", () => {
    const byBatch = groupAdvantages(rewards, 4, "batch").advantages;
    expect(byBatch[7]).toBeCloseTo(3 / (batchStd + STD_EPSILON), 12);
    expect(byBatch[0]).toBeCloseTo(-1 / (batchStd + STD_EPSILON), 12);
    expect([...groupAdvantages(rewards, 4, "none").advantages]).toEqual([-1, 1, -1, 1, -1, -1, -1, 3]);
  });

  it.each(SCALE_REWARDS)("gives a group of equal rewards exactly 0, also where its mean is rounded (%s)", (scale) => {
    const { advantages, zeroVariance, groupStds } = groupAdvantages([0.1, 0.1, 0.1, 0, 1, 0], 3, scale);
    expect([...advantages.slice(0, 3)]).toEqual([0, 0, 0]);
    expect(zeroVariance).toEqual([true, false]);
    expect(groupStds[0]).toBe(0);
    expect(advantages[4]).toBeGreaterThan(0);
  });

  it("leaves abstentions out of mean and deviation and gives them 0", () => {
    const withNull = groupAdvantages([null, 1, 3], 3, "group");
    const without = groupAdvantages([1, 3], 2, "group");
    expect([...withNull.advantages]).toEqual([0, ...without.advantages]);
  });

  it("has nothing to compare in groups of one sample, of one judged reward, or of none", () => {
    expect([...groupAdvantages([5, 7], 1, "group").advantages]).toEqual([0, 0]);
    const { advantages, zeroVariance } = groupAdvantages([null, 4, null, null], 2, "group");
    expect([...advantages]).toEqual([0, 0, 0, 0]);
    expect(zeroVariance).toEqual([true, true]);
  });

  it("refuses rewards that are not whole groups", () => {
    expect(() => groupAdvantages([1, 2, 3], 2, "group")).toThrow(RangeError);
  });

  it.each(SCALE_REWARDS)(
    "sums to 0 in every group, follows permutations, and ignores a constant shift (%s)",
    (scale) => {
      const random = new Random(1, "advantages");
      for (let trial = 0; trial < 20; trial++) {
        const values = Array.from({ length: 12 }, () => random.integer(4) / 2);
        const { advantages } = groupAdvantages(values, 4, scale);
        for (let group = 0; group < 3; group++) {
          expect(mean(advantages.slice(4 * group, 4 * group + 4))).toBeCloseTo(0, 10);
        }
        const order = random.shuffle([0, 1, 2, 3]);
        const permuted = [...order.map((i) => values[i]!), ...values.slice(4)];
        const moved = groupAdvantages(permuted, 4, scale).advantages;
        for (const [to, from] of order.entries()) expect(moved[to]).toBeCloseTo(advantages[from]!, 10);
        const shifted = groupAdvantages(
          values.map((value) => value + 3),
          4,
          scale,
        ).advantages;
        for (const [i, advantage] of advantages.entries()) expect(shifted[i]).toBeCloseTo(advantage, 10);
      }
    },
  );
});

describe("sampleStd", () => {
  it("divides by n − 1, and is 0 below two values", () => {
    expect(sampleStd([1, 2, 3, 4])).toBeCloseTo(Math.sqrt(5 / 3), 12);
    expect(sampleStd([3])).toBe(0);
    expect(sampleStd([])).toBe(0);
  });
});
