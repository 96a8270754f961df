import { describe, expect, it } from "vitest";
import { evaluateObjective, type ObjectiveRow } from "../../src/losses/evaluate-objective.ts";
import { type PolicyObjective, policyObjective } from "../../src/losses/policy-objective.ts";
import { groupAdvantages } from "../../src/rollout/advantages.ts";
import type { Rollout } from "../../src/rollout/collect.ts";
import {
  correctionMetrics,
  mergeUpdates,
  rolloutMetrics,
  samplerDifference,
  updateMetrics,
} from "../../src/rollout/metrics.ts";
import { evaluated, golden, stepOf, titledCases } from "../losses/trl-steps.ts";

function rollout(lengthTokens: number, finishReason: "stop" | "length", score: number | null): Rollout {
  return {
    promptId: 0,
    problem: { id: 0, prompt: "", columns: {} },
    sample: 0,
    promptTokens: Int32Array.of(1),
    tokens: new Int32Array(lengthTokens),
    samplerLogprobs: new Float32Array(lengthTokens),
    text: "",
    finishReason,
    rewards: { format: { score, reason: "" } },
    reward: score,
    verdict: { solved: score === 1, wellFormed: score !== null, tries: 2, statistics: { falseYes: 1 } },
  };
}

describe("rolloutMetrics", () => {
  const rollouts = [rollout(2, "stop", 1), rollout(8, "length", 0), rollout(4, "stop", 1), rollout(6, "length", null)];
  const groups = groupAdvantages(
    rollouts.map(({ reward }) => reward),
    2,
    "group",
  );

  it("reports lengths, rewards, abstentions and verdicts under TRL's names", () => {
    const metrics = rolloutMetrics(rollouts, groups.zeroVariance);
    expect(metrics).toMatchObject({
      "completions/mean_length": 5,
      "completions/min_length": 2,
      "completions/max_length": 8,
      "completions/clipped_ratio": 0.5,
      "completions/mean_terminated_length": 3,
      "completions/min_terminated_length": 2,
      "completions/max_terminated_length": 4,
      frac_reward_zero_std: 0.5,
      frac_reward_abstained: 0.25,
      solve_rate: 0.5,
      format_rate: 0.75,
      "tries/mean": 2,
      "task/falseYes": 1,
    });
    expect(metrics.reward).toBeCloseTo(2 / 3, 12);
    expect(metrics["rewards/format/mean"]).toBeCloseTo(2 / 3, 12);
    expect(metrics["rewards/format/std"]).toBeCloseTo(Math.sqrt(1 / 3), 12);
    expect(metrics.reward_std).toBeCloseTo(Math.sqrt(1 / 3), 12);
  });

  it("leaves out what there is nothing to take it over: no terminated length where nothing terminated", () => {
    const cut = [rollout(8, "length", null), rollout(8, "length", null)];
    const metrics = rolloutMetrics(cut, [true]);
    expect(Object.keys(metrics).filter((name) => name.includes("terminated"))).toEqual([]);
    expect(metrics).not.toHaveProperty("reward");
    expect(Object.values(metrics).every(Number.isFinite)).toBe(true);
  });
});

describe("updateMetrics", () => {
  const view = (
    objective: PolicyObjective,
    rows: readonly ObjectiveRow[],
    logprobs: number[][],
    entropies: number[][],
  ) => {
    const scores = { logprobs, entropies };
    return { objective, rows, scores, value: evaluateObjective(objective, rows, scores) };
  };
  const row = (advantage: number, samplerLogprobs: readonly number[]): ObjectiveRow => ({
    weights: samplerLogprobs.map(() => 0.1),
    advantages: samplerLogprobs.map(() => advantage),
    samplerLogprobs,
  });
  const clipping = policyObjective({ lossType: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.3 });

  it("counts a ratio as clipped only on the side that its advantage pushes it to", () => {
    // Ratios: 0.5, 2 with A > 0 (only the high one clips); 0.5, 2, 1 with A < 0 (only the low one clips).
    const logprobs = [
      [Math.log(0.5), Math.log(2)],
      [Math.log(0.5), Math.log(2), 0],
    ];
    const entropies = [
      [1, 2],
      [3, 4, 5],
    ];
    const metrics = updateMetrics(view(clipping, [row(1, [0, 0]), row(-1, [0, 0, 0])], logprobs, entropies));
    expect(metrics).toEqual({
      entropy: 3,
      "clip_ratio/low_mean": 0.2,
      "clip_ratio/low_min": 0,
      "clip_ratio/high_mean": 0.2,
      "clip_ratio/high_max": 0.5,
      "clip_ratio/region_mean": 0.4,
    });
  });

  it("counts no token of weight 0", () => {
    const masked = { ...row(1, [0, 0]), weights: [0.5, 0] };
    const metrics = updateMetrics(view(clipping, [masked], [[0, Math.log(9)]], [[1, 7]]));
    expect(metrics).toMatchObject({ entropy: 1, "clip_ratio/high_mean": 0 });
  });

  it("is empty where nothing was trained on", () => {
    expect(updateMetrics(view(clipping, [], [], []))).toEqual({});
    expect(samplerDifference([], [])).toEqual({});
    expect(correctionMetrics([], true)).toEqual({});
  });

  it("merges updates: the mean of each metric over the updates that have it", () => {
    expect(
      mergeUpdates([
        { loss: 1, "clip_ratio/low_min": 0.25 },
        { loss: 3, "clip_ratio/low_min": 0.75, kl: 1 },
      ]),
    ).toEqual({
      loss: 2,
      "clip_ratio/low_min": 0.5,
      kl: 1,
    });
  });
});

describe(`metrics of a step are those of TRL ${golden.versions.trl}`, () => {
  /** Not of the update: rewards, where TRL's meaning is another (`frac_reward_zero_std`), and what is computed apart. */
  const isOfUpdate = (name: string) => !name.includes("reward") && !name.startsWith("sampling/");

  it.each(titledCases.filter(([, { trainer }]) => trainer === "grpo"))("%s", (_, c) => {
    const step = stepOf(c);
    const metrics = updateMetrics({ ...step, value: evaluated(c) });
    const expected = Object.entries(c.metrics).filter(([name]) => isOfUpdate(name));
    expect(Object.keys(metrics).sort()).toEqual(expected.map(([name]) => name).sort());
    for (const [name, value] of expected) {
      expect(Math.abs(metrics[name]! - value), name).toBeLessThan(1e-5 * Math.max(1, Math.abs(value)));
    }
  });

  it.each(titledCases.filter(([, { correction }]) => correction))("sampler, %s", (_, c) => {
    const data = golden.batches[c.batch]!;
    const only = (rows: readonly ArrayLike<number>[]) =>
      rows.map((values, i) => Array.from(values).filter((_value, t) => data.mask[i]![t] === 1));
    const perSequence = c.config.samplerCorrection!.startsWith("sequence");
    const metrics = {
      ...samplerDifference(only(data.oldLogprobs), only(data.samplerLogprobs)),
      ...correctionMetrics(only(stepOf(c).rows.map(({ correction }) => correction!)), perSequence),
    };
    const expected = Object.entries(c.metrics).filter(([name]) => name.startsWith("sampling/"));
    expect(Object.keys(metrics).sort()).toEqual(expected.map(([name]) => name).sort());
    for (const [name, value] of expected) {
      expect(Math.abs(metrics[name]! - value), name).toBeLessThan(1e-5 * Math.max(1, Math.abs(value)));
    }
  });
});

describe("samplerDifference", () => {
  it("is the mean and the maximum of absolute differences", () => {
    const policyLogprobs = [Float32Array.of(-1, -2), Float32Array.of(-3)];
    const samplerLogprobs = [Float32Array.of(-1.5, -2), Float32Array.of(-2)];
    expect(samplerDifference(policyLogprobs, samplerLogprobs)).toEqual({
      "sampling/sampling_logp_difference/mean": 0.5,
      "sampling/sampling_logp_difference/max": 1,
    });
  });
});
