import { describe, expect, it } from "vitest";
import { groupAdvantages } from "../../src/rollout/advantages.ts";
import type { Rollout } from "../../src/rollout/collect.ts";
import { mergeUpdates, rolloutMetrics, samplerDifference, updateMetrics } from "../../src/rollout/metrics.ts";

const loss = { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.3, klCoef: 0, temperature: 1 } as const;

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
    const metrics = rolloutMetrics(rollouts, groups);
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
    expect(metrics.reward_std).toBeCloseTo(Math.SQRT1_2 / 2, 12);
  });

  it("leaves out what there is nothing to take it over: no terminated length where nothing terminated", () => {
    const cut = [rollout(8, "length", null), rollout(8, "length", null)];
    const metrics = rolloutMetrics(cut, groupAdvantages([null, null], 2, "group"));
    expect(Object.keys(metrics).filter((name) => name.includes("terminated"))).toEqual([]);
    expect(metrics).not.toHaveProperty("reward");
    expect(Object.values(metrics).every(Number.isFinite)).toBe(true);
  });
});

describe("updateMetrics", () => {
  const rows = (...values: number[][]) => values.map((row) => Float32Array.from(row));

  it("counts a ratio as clipped only on the side that its advantage pushes it to", () => {
    // Ratios: 0.5, 2 with A > 0 (only the high one clips); 0.5, 2, 1 with A < 0 (only the low one clips).
    const view = {
      advantages: rows([1, 1], [-1, -1, -1]),
      samplerLogprobs: rows([0, 0], [0, 0, 0]),
      policyLogprobs: rows([Math.log(0.5), Math.log(2)], [Math.log(0.5), Math.log(2), 0]),
      entropies: rows([1, 2], [3, 4, 5]),
    };
    const metrics = updateMetrics(view, loss);
    expect(metrics).toEqual({ entropy: 3, "clip_ratio/low": 0.2, "clip_ratio/high": 0.2, "clip_ratio/region": 0.4 });
  });

  it("uses the wider upper clip", () => {
    const view = {
      advantages: rows([1, 1]),
      samplerLogprobs: rows([0, 0]),
      policyLogprobs: rows([Math.log(1.25), Math.log(1.35)]),
      entropies: rows([0, 0]),
    };
    expect(updateMetrics(view, loss)["clip_ratio/high"]).toBe(0.5);
  });

  it("takes the k3 estimate of the KL over all tokens", () => {
    const view = {
      advantages: rows([1, 1]),
      samplerLogprobs: rows([0, 0]),
      policyLogprobs: rows([-1, -1]),
      entropies: rows([0, 0]),
      refLogprobs: rows([-1, -1.5]),
    };
    expect(updateMetrics(view, loss).kl).toBeCloseTo((Math.exp(-0.5) + 0.5 - 1) / 2, 6);
  });

  it("is empty where nothing was trained on", () => {
    expect(updateMetrics({ advantages: [], samplerLogprobs: [], policyLogprobs: [], entropies: [] }, loss)).toEqual({});
    expect(samplerDifference({ policyLogprobs: [], samplerLogprobs: [] })).toEqual({});
  });

  it("merges updates: means, the least low and the greatest high clip ratio", () => {
    const update = (low: number, high: number, value: number) => ({
      loss: value,
      "clip_ratio/low": low,
      "clip_ratio/high": high,
      "clip_ratio/region": low + high,
    });
    expect(mergeUpdates([update(0.25, 0.5, 1), update(0.75, 0, 3)])).toEqual({
      loss: 2,
      "clip_ratio/low_mean": 0.5,
      "clip_ratio/low_min": 0.25,
      "clip_ratio/high_mean": 0.25,
      "clip_ratio/high_max": 0.5,
      "clip_ratio/region_mean": 0.75,
    });
  });
});

describe("samplerDifference", () => {
  it("is the mean and the maximum of absolute differences", () => {
    const policyLogprobs = [Float32Array.of(-1, -2), Float32Array.of(-3)];
    const samplerLogprobs = [Float32Array.of(-1.5, -2), Float32Array.of(-2)];
    expect(samplerDifference({ policyLogprobs, samplerLogprobs })).toEqual({
      "sampling/sampling_logp_difference/mean": 0.5,
      "sampling/sampling_logp_difference/max": 1,
    });
  });
});
