/** Keys that the others leave without effect are refused by name, in every trainer; defaults that are written out pass. */

import { describe, expect, it } from "vitest";
import { distillConfigSchema } from "../../src/train/distill/config.ts";
import { grpoShape } from "../../src/train/grpo/config.ts";
import { grpoConfigSchema } from "../../src/train/grpo/issues.ts";
import { rewardModelConfigSchema } from "../../src/train/reward-model/config.ts";
import { sftConfigSchema } from "../../src/train/sft/config.ts";

const grpo = {
  iterations: 8,
  rewards: [{ name: "format" }],
  promptsPerIteration: 6,
  maxCompletionTokens: 4,
  learningRate: 0.25,
};

/** Paths and messages of what the schema has against `grpo` with these keys. */
function issuesOf(keys: object): string[] {
  const { error } = grpoConfigSchema().safeParse({ ...grpo, ...keys });
  return (error?.issues ?? []).map(({ path, message }) => `${path.join(".")}: ${message}`);
}

describe("a key of GRPO that would change nothing", () => {
  const cases: [object, RegExp][] = [
    [{ lossType: "cispo", delta: 4 }, /^delta: delta 4 would change nothing: cispo caps the ratio/],
    [{ lossType: "cispo", clipEpsilon: 0.3 }, /^clipEpsilon: .* leave it out, or at 0.2$/],
    [{ lossType: "sapo", clipEpsilon: 0.1 }, /^clipEpsilon: .*sapo has a sigmoid/],
    [{ lossType: "sapo", clipEpsilonHigh: 0.3 }, /^clipEpsilonHigh: .*sapo has a sigmoid/],
    [{ lossType: "vespo", clipEpsilonHigh: 0.3 }, /^clipEpsilonHigh: .*vespo has a smooth weight/],
    [{ lossType: "vespo", importanceSamplingLevel: "sequence" }, /^importanceSamplingLevel: .*by itself/],
    [{ lossType: "rloo", importanceSamplingLevel: "sequence" }, /^importanceSamplingLevel: .*by itself/],
    [{ sapoTemperatureNeg: 2 }, /^sapoTemperatureNeg: .*of lossType sapo, not dapo/],
    [{ vespoKPos: 1 }, /^vespoKPos: .*of lossType vespo, not dapo/],
    [{ advantage: "rloo", scaleRewards: "none" }, /^scaleRewards: .*of advantage group, not rloo/],
    [{ advantage: "reinforce++", normalizeAdvantages: true }, /^normalizeAdvantages: .*whitens advantages always/],
    [{ rewardAggregation: "normalize_then_sum", scaleRewards: "batch" }, /^scaleRewards: .*by its own deviation/],
    [{ klEstimator: "k2" }, /^klEstimator: .*klCoef is 0/],
    [{ klPlacement: "reward" }, /^klPlacement: .*klCoef is 0/],
    [{ klBiasCorrection: true }, /^klBiasCorrection: .*klCoef is 0/],
    [{ klCoef: 0.1, refSyncMixup: 0.9 }, /^refSyncMixup: .*never moved/],
    [{ samplerCorrectionMax: 2 }, /^samplerCorrectionMax: .*samplerCorrection is none/],
    [{ samplerCorrectionMin: 0.5 }, /^samplerCorrectionMin: .*; leave it out$/],
    [{ minLearningRateRatio: 0.1 }, /^minLearningRateRatio: .*schedule constant/],
  ];
  it.each(cases)("%j is refused alone", (keys, message) => {
    expect(issuesOf(keys)).toEqual([expect.stringMatching(message)]);
  });

  it.each([
    { lossType: "cispo", clipEpsilonHigh: 2 },
    { lossType: "sapo", sapoTemperatureNeg: 2, importanceSamplingLevel: "sequence" },
    { lossType: "vespo", vespoKPos: 1 },
    { lossType: "rloo", clipEpsilon: 0.1, delta: 3 },
    { klCoef: 0.1, klEstimator: "k2", refSyncSteps: 2, refSyncMixup: 0.9 },
    { samplerCorrection: "token_truncate", samplerCorrectionMin: 0.5 },
    { schedule: "cosine", minLearningRateRatio: 0.1 },
  ])("%j is read, and passes", (keys) => {
    expect(issuesOf(keys)).toEqual([]);
  });

  it("passes where it stands at its default", () => {
    const defaults = Object.fromEntries(
      Object.entries(grpoShape())
        .filter(([key]) => !(key in grpo))
        .map(([key, schema]) => [key, schema.parse(undefined)]),
    );
    for (const lossType of ["cispo", "sapo", "vespo", "rloo"]) {
      expect(issuesOf({ ...defaults, lossType })).toEqual([]);
    }
  });
});

describe("delta", () => {
  it("bounds ratios beyond the clip, not within it", () => {
    expect(issuesOf({ delta: 1.1 })).toEqual([
      expect.stringMatching(/^delta: delta \(1.1\) must be at least 1 \+ clipEpsilon \(1.2\)/),
    ]);
    expect(issuesOf({ delta: 1.25, clipEpsilonHigh: 0.28 })).toEqual([
      expect.stringMatching(/at least 1 \+ clipEpsilonHigh \(1.28\)/),
    ]);
    expect(issuesOf({ delta: 1.2 })).toEqual([]);
  });
});

it("a floor of a constant learning rate is refused in every trainer", () => {
  const keys = { learningRate: 1e-3, minLearningRateRatio: 0.1 };
  const found = [
    sftConfigSchema.safeParse({ ...keys, steps: 4 }),
    sftConfigSchema.safeParse({ ...keys, epochs: 1 }),
    rewardModelConfigSchema.safeParse({ ...keys, epochs: 1 }),
    distillConfigSchema().safeParse({
      ...{ ...keys, iterations: 1, promptsPerIteration: 1, maxCompletionTokens: 4, teacher: { path: "t" } },
    }),
  ];
  for (const { error } of found) expect(error?.issues.map(({ path }) => path)).toEqual([["minLearningRateRatio"]]);
});
