import { describe, expect, it } from "vitest";
import { Random } from "../../src/random.ts";
import {
  type AdvantageOptions,
  completionAdvantages,
  groupAdvantages,
  type JudgedCompletion,
  SCALE_REWARDS,
  STD_EPSILON,
} from "../../src/rollout/advantages.ts";
import { mean, sampleStd } from "../../src/statistics.ts";

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

// GDPO, leave-one-out and batch scaling are compared with TRL in test/losses/evaluate-objective.test.ts.
describe("completionAdvantages", () => {
  const GROUP: AdvantageOptions = {
    groupSize: 2,
    advantage: "group",
    scaleRewards: "none",
    rewardAggregation: "sum_then_normalize",
    normalizeAdvantages: false,
  };
  const judged = (reward: number | null, tokens = 2, penalties?: readonly number[]): JudgedCompletion => ({
    reward,
    tokens,
    ...(penalties && { penalties }),
  });

  it("group takes a completion's penalties from its reward, but not from what says whether the group varies", () => {
    const completions = [judged(1, 2, [0.5, 0.25]), judged(1, 2, [0, 0])];
    const { advantages, zeroVariance, groupStds } = completionAdvantages(completions, GROUP);
    expect([...advantages]).toEqual([-0.375, 0.375]);
    expect(zeroVariance).toEqual([true]);
    expect([...groupStds]).toEqual([0]);
  });

  it("rloo compares with the mean of the others, and leaves out who was not judged or is alone", () => {
    const rewards = [1, 2, 6, 4, null, 5, null, null, 7];
    const options = { ...GROUP, groupSize: 3, advantage: "rloo" } as const;
    const { advantages } = completionAdvantages(
      rewards.map((reward) => judged(reward)),
      options,
    );
    expect([...advantages]).toEqual([-3, -1.5, 4.5, -1, 0, 1, 0, 0, 0]);
  });

  it("rloo gives equal rewards exactly 0", () => {
    const options = { ...GROUP, groupSize: 3, advantage: "rloo" } as const;
    expect([
      ...completionAdvantages(
        [0.1, 0.1, 0.1].map((reward) => judged(reward)),
        options,
      ).advantages,
    ]).toEqual([0, 0, 0]);
  });

  it("normalizeAdvantages whitens those that were judged", () => {
    const rewards = [1, 3, null, 2, 8, 0];
    const options = { ...GROUP, normalizeAdvantages: true };
    const { advantages } = completionAdvantages(
      rewards.map((reward) => judged(reward)),
      options,
    );
    const centred = [-1, 1, 0, 4, -4];
    const std = sampleStd(centred) + STD_EPSILON;
    const expected = [-1 / std, 1 / std, 0, 0, 4 / std, -4 / std];
    for (const [i, value] of expected.entries()) expect(advantages[i]).toBeCloseTo(value, 12);
  });

  it("reinforce++ whitens rewards over the tokens of the batch, with no group", () => {
    const options = { ...GROUP, groupSize: 1, advantage: "reinforce++" } as const;
    const completions = [judged(1, 3), judged(0, 1), judged(null, 5)];
    const { advantages, tokenAdvantages } = completionAdvantages(completions, options);
    // Tokens: 1, 1, 1, 0; mean 3/4, Bessel-corrected variance 1/4.
    expect(advantages[0]).toBeCloseTo(0.25 / 0.5, 6);
    expect(advantages[1]).toBeCloseTo(-0.75 / 0.5, 6);
    expect(advantages[2]).toBe(0);
    expect(tokenAdvantages).toBeUndefined();
  });

  it("reinforce++ makes each token answer for the penalties from itself on", () => {
    const options = { ...GROUP, groupSize: 1, advantage: "reinforce++" } as const;
    const completions = [judged(1, 3, [0.5, 0, 0.25]), judged(0, 1, [0])];
    const { tokenAdvantages } = completionAdvantages(completions, options);
    const returns = [0.25, 0.75, 0.75, 0];
    const scale = 1 / Math.sqrt(sampleStd(returns) ** 2 + 1e-8);
    const expected = returns.map((value) => (value - mean(returns)) * scale);
    const found = tokenAdvantages!.flatMap((row) => [...row]);
    for (const [i, value] of expected.entries()) expect(found[i]).toBeCloseTo(value, 12);
  });

  it("reinforce++-baseline takes the group's mean first", () => {
    const options = { ...GROUP, advantage: "reinforce++-baseline" } as const;
    const { advantages } = completionAdvantages([judged(5, 1), judged(7, 1), judged(0, 1), judged(4, 1)], options);
    const scale = 1 / Math.sqrt(sampleStd([-1, 1, -2, 2]) ** 2 + 1e-8);
    for (const [i, value] of [-1, 1, -2, 2].entries()) expect(advantages[i]).toBeCloseTo(value * scale, 12);
  });

  it.each(["reinforce++", "reinforce++-baseline"] as const)(
    "%s gives a batch of equal rewards exactly 0",
    (advantage) => {
      const completions = [judged(0.1, 3), judged(0.1, 1), judged(0.1, 2), judged(0.1, 4)];
      expect([...completionAdvantages(completions, { ...GROUP, advantage }).advantages]).toEqual([0, 0, 0, 0]);
    },
  );

  it("a masked completion has no tokens and no part in the whitening", () => {
    const options = { ...GROUP, groupSize: 1, advantage: "reinforce++" } as const;
    const { advantages } = completionAdvantages([judged(1, 1), judged(0, 1), judged(99, 0)], options);
    expect(advantages[0]).toBeCloseTo(-advantages[1]!, 12);
    expect(advantages[2]).toBe(0);
  });

  it("normalize_then_sum finds variance in any reward", () => {
    const scores = (a: number | null, b: number | null) => ({
      ...judged((a ?? 0) + (b ?? 0)),
      scores: [
        { weight: 1, score: a },
        { weight: 1, score: b },
      ],
    });
    const options = { ...GROUP, rewardAggregation: "normalize_then_sum" } as const;
    const completions = [scores(1, 0), scores(0, 1), scores(0.5, 0.5), scores(0.5, 0.5)];
    const { zeroVariance, advantages } = completionAdvantages(completions, options);
    expect(zeroVariance).toEqual([false, true]);
    expect([...advantages.slice(2)]).toEqual([0, 0]);
  });

  it("refuses what is not whole groups", () => {
    expect(() => completionAdvantages([judged(1)], GROUP)).toThrow(RangeError);
  });
});
