/** Every knob of GRPO on the letters: it trains, it does what it says, and a resume does not notice it. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Policy } from "../../../src/engine/contract/policy.ts";
import { ConfigError } from "../../../src/errors.ts";
import type { PolicyObjective } from "../../../src/losses/policy-objective.ts";
import { losses } from "../../../src/losses/registry.ts";
import { SAMPLER_CORRECTIONS } from "../../../src/losses/sampler-correction.ts";
import { ADVANTAGES } from "../../../src/rollout/advantages.ts";
import { objectiveOf } from "../../../src/train/grpo/config.ts";
import { trainGrpo } from "../../../src/train/grpo/grpo.ts";
import { grpoConfigSchema } from "../../../src/train/grpo/issues.ts";
import { policyUpdate, type UpdateRow } from "../../../src/train/grpo/policy-update.ts";
import { checkpointInto, letterReward, lettersContext, MemoryLog, NoisyEngine, newEngine } from "../letters.ts";

/** The gradient of the objective, without a step. */
const accumulateGradient = (engine: Policy, rows: readonly UpdateRow[], objective: PolicyObjective) =>
  policyUpdate(engine, rows, objective, (data, loss) => engine.forwardBackward(data, loss));

const small = {
  iterations: 8,
  rewards: [{ name: "format" }],
  promptsPerIteration: 6,
  groupSize: 6,
  maxCompletionTokens: 4,
  learningRate: 0.25,
};
const configOf = (overrides: object = {}) => grpoConfigSchema().parse({ ...small, ...overrides });

async function train(overrides: object = {}, engine = newEngine()) {
  const log = new MemoryLog();
  await trainGrpo(lettersContext(engine, log), configOf(overrides), [letterReward]);
  const rewards = log.metricsRows.map((row) => row.reward!);
  return { log, engine, gain: rewards.at(-1)! - rewards[0]! };
}

/** The engine as it would be with these losses alone. */
function withLosses(engine: Policy, losses: Policy["capabilities"]["losses"]): Policy {
  return Object.assign(Object.create(engine), { capabilities: { ...engine.capabilities, losses } });
}

describe("trainGrpo learns", () => {
  const severalSteps = { updatesPerIteration: 2, minibatchesPerIteration: 3 };
  const knobs: object[] = [
    ...losses.names.map((lossType) => ({ lossType, ...severalSteps })),
    { lossType: "grpo", importanceSamplingLevel: "sequence", ...severalSteps },
    { delta: 1.5, clipEpsilonHigh: 0.3, ...severalSteps },
    { offPolicyMaskThreshold: 0.5, ...severalSteps },
    { topEntropyQuantile: 0.8 },
    { entropyCoef: 0.01 },
    ...ADVANTAGES.map((advantage) => ({ advantage })),
    { advantage: "reinforce++", groupSize: 1, promptsPerIteration: 36 },
    { advantage: "reinforce++", klCoef: 0.01, klPlacement: "reward", klEstimator: "k1" },
    { advantage: "rloo", lossType: "rloo", klCoef: 0.01, klPlacement: "reward", klEstimator: "k1" },
    { normalizeAdvantages: true, scaleRewards: "none" },
    { rewardAggregation: "normalize_then_sum" },
    { klCoef: 0.01, klEstimator: "k2" },
    { klCoef: 0.01, klEstimator: "k1", klBiasCorrection: true },
    { klCoef: 0.01, klBiasCorrection: true, refSyncSteps: 4 },
    ...SAMPLER_CORRECTIONS.map((samplerCorrection) => ({ samplerCorrection })),
    { maxSamplingRounds: 4 },
  ];
  it.each(knobs.map((knob) => [JSON.stringify(knob).replaceAll('"', ""), knob] as const))(
    "with %s",
    async (_, knob) => {
      const { gain, log } = await train(knob);
      expect(gain, `${gain}`).toBeGreaterThan(0.25);
      expect(log.metricsRows.flatMap((row) => Object.values(row)).every(Number.isFinite)).toBe(true);
    },
  );
});

describe("noise on embeddings", () => {
  it("is part of the engine's loss, and refused where the engine or its loss would leave it out", async () => {
    const noisy = new NoisyEngine();
    const run = (own: Policy, seed = 5) =>
      trainGrpo(
        lettersContext(own, new MemoryLog(), { seed }),
        configOf({ neftuneNoiseAlpha: 5, iterations: 1, minibatchesPerIteration: 2 }),
        [letterReward],
      );
    await run(noisy);
    expect(noisy.losses.map(({ embeddingNoise }) => embeddingNoise)).toEqual(
      Array.from({ length: 2 }, () => ({ alpha: 5, seed: 5 })),
    );
    await expect(run(newEngine())).rejects.toThrow(
      /neftuneNoiseAlpha needs noise on embeddings .* tabular .* does not have/,
    );
    await expect(run(withLosses(noisy, ["cross_entropy"]))).rejects.toThrow(
      /lossType needs the loss grpo \(it has cross_entropy\)/,
    );
    for (const knob of [{ lossType: "rloo" }, { importanceSamplingLevel: "sequence" }, { topEntropyQuantile: 0.5 }]) {
      expect(() => configOf({ neftuneNoiseAlpha: 5, ...knob })).toThrow(/neftuneNoiseAlpha needs an objective/);
      expect(() => configOf(knob)).not.toThrow();
    }
  });
});

describe("policyUpdate", () => {
  /** Rows of three completions, off policy, with everything that a loss may read. */
  const rows: UpdateRow[] = [0, 1, 2].map((i) => {
    const length = [3, 1, 2][i]!;
    const column = (value: (t: number) => number) => Float32Array.from({ length }, (_, t) => value(t));
    return {
      promptTokens: Int32Array.of(1 + i),
      completionTokens: Int32Array.from({ length }, (_, t) => (i + 2 * t) % 7),
      weights: column(() => 0.1 + 0.05 * i),
      advantages: column(() => [1, -0.7, 0.4][i]!),
      samplerLogprobs: column((t) => -1.8 - 0.2 * t),
      refLogprobs: column((t) => -2.1 + 0.3 * t),
      correction: column((t) => 1 + 0.1 * t),
    };
  });

  const objectives = [
    { lossType: "grpo", delta: 1.2, klCoef: 0.1 },
    { lossType: "cispo", klCoef: 0.1, klEstimator: "k2" },
    { lossType: "sapo", klCoef: 0.1, klEstimator: "k1", klBiasCorrection: true },
    { lossType: "dapo", entropyCoef: 0.3, temperature: 0.8 },
  ];
  it.each(objectives)("has the same gradient in one pass and in two: %o", async (knobs) => {
    const objective = objectiveOf(configOf(knobs));
    const [one, two] = [newEngine(), newEngine()];
    const single = await accumulateGradient(one, rows, objective);
    const double = await accumulateGradient(withLosses(two, ["cross_entropy"]), rows, objective);
    const [expected, found] = [one.gradient(), two.gradient()];
    expect(Math.hypot(...expected)).toBeGreaterThan(0.01);
    expect(Math.hypot(...found.map((value, i) => value - expected[i]!)) / Math.hypot(...expected)).toBeLessThan(1e-6);
    expect(double.value.loss).toBeCloseTo(single.value.loss, 10);
  });

  it.each([
    { lossType: "grpo", importanceSamplingLevel: "sequence", klCoef: 0.2, klBiasCorrection: true },
    { lossType: "vespo" },
    { lossType: "rloo" },
    { lossType: "dapo", offPolicyMaskThreshold: 0.1, topEntropyQuantile: 0.6, entropyCoef: 0.2 },
  ])("follows the loss where terms read a sequence or the batch: %o", async (knobs) => {
    // By finite differences of the loss; what the objective holds constant is small here or absent.
    const objective = objectiveOf({ ...configOf(knobs), clipEpsilon: 0.9, clipEpsilonHigh: 9 });
    const engine = newEngine();
    await accumulateGradient(engine, rows, objective);
    const gradient = engine.gradient();
    const start = engine.weights();
    const norm = Math.hypot(...gradient);
    const lossAt = async (step: number) => {
      const moved = newEngine();
      moved.setWeights(start.map((weight, i) => weight + (step * gradient[i]!) / norm));
      return (await accumulateGradient(moved, rows, objective)).value.loss;
    };
    const slope = ((await lossAt(0.01)) - (await lossAt(-0.01))) / 0.02;
    if (knobs.lossType !== "vespo") expect(slope / norm).toBeCloseTo(1, 2);
    else expect(slope).toBeGreaterThan(0);
  });

  it("adds nothing where every sequence is masked", async () => {
    const engine = newEngine();
    const objective = objectiveOf(configOf({ offPolicyMaskThreshold: -99 }));
    const { hasGradient } = await accumulateGradient(engine, [rows[1]!], objective);
    expect(hasGradient).toBe(false);
    expect(engine.gradient().every((value) => value === 0)).toBe(true);
  });

  it("needs no more of an engine than cross-entropy", async () => {
    const engine = withLosses(newEngine(), ["cross_entropy"]);
    const log = new MemoryLog();
    await trainGrpo(lettersContext(engine, log), configOf(), [letterReward]);
    expect(log.metricsRows.at(-1)!.reward! - log.metricsRows[0]!.reward!).toBeGreaterThan(0.3);
    const none = lettersContext(withLosses(newEngine(), []), new MemoryLog());
    await expect(trainGrpo(none, configOf(), [letterReward])).rejects.toThrow(ConfigError);
  });
});

describe("dynamic sampling", () => {
  it("replaces groups of equal rewards by groups of the next problems, and counts all it sampled", async () => {
    const { log } = await train({ maxSamplingRounds: 20, iterations: 3, groupSize: 3 });
    for (const iteration of [0, 1, 2]) {
      const rows = log.rolloutRows.filter((row) => row.iteration === iteration);
      const ids = [...new Set(rows.map(({ promptId }) => promptId))];
      const groups = ids.map((id) => rows.filter(({ promptId }) => promptId === id));
      const varied = groups.filter((group) => new Set(group.map(({ reward }) => reward)).size > 1);
      expect(varied).toHaveLength(6);
      // Dropped groups taught nothing, the others have advantages.
      for (const group of groups) expect(group.some(({ advantage }) => advantage !== 0)).toBe(varied.includes(group));
      const row = log.metricsRows[iteration]!;
      expect(row.frac_reward_zero_std).toBeCloseTo(1 - 6 / groups.length, 12);
      expect(row.sampling_rounds).toBeGreaterThan(1);
    }
    // No problem is asked twice: the stream goes on where the last round ended.
    const promptIds = log.rolloutRows.map(({ promptId }) => promptId);
    expect(new Set(promptIds).size).toBe(promptIds.length / 3);
    expect(Math.max(...promptIds)).toBe(promptIds.length / 3 - 1);
  });

  it("stops at maxSamplingRounds, says so, and fills up with what it has", async () => {
    const constant = { weight: 1, reward: { name: "constant", judge: () => ({ score: 0.3, reason: "always" }) } };
    const log = new MemoryLog();
    const config = configOf({ maxSamplingRounds: 3, iterations: 1 });
    await trainGrpo(lettersContext(newEngine(), log), config, [constant]);
    expect(log.rolloutRows).toHaveLength(3 * 6 * 6);
    expect(log.events.map(({ name }) => name)).toEqual(["groups-without-variance", "no-signal"]);
    expect(log.events[0]!.details).toMatchObject({ rounds: 3, groups: 6 });
  });
});

describe("the reference", () => {
  it("taken from the reward holds the policy as a term of the loss does, and is reported as kl", async () => {
    const distance = async (overrides: object) => {
      const engine = newEngine();
      const before = engine.weights();
      const { log } = await train(overrides, engine);
      return { log, moved: Math.hypot(...engine.weights().map((weight, i) => weight - before[i]!)) };
    };
    for (const advantage of ["group", "rloo", "reinforce++"]) {
      const knobs = { advantage, ...(advantage === "group" && { scaleRewards: "none" }) };
      const free = await distance(knobs);
      const held = await distance({ ...knobs, klPlacement: "reward", klCoef: 3, klEstimator: "k1" });
      expect(held.moved, advantage).toBeLessThan(free.moved * 0.7);
      expect(held.log.metricsRows[0]!.kl).toBeCloseTo(0, 6);
      expect(held.log.metricsRows.at(-1)!.kl).toBeGreaterThan(0);
      expect(free.log.metricsRows.at(-1)).not.toHaveProperty("kl");
    }
  });

  it("is moved by refSyncMixup after every refSyncSteps optimizer steps", async () => {
    const engine = newEngine();
    const shares: (number | undefined)[] = [];
    const watched: Policy = Object.assign(Object.create(engine), {
      freezeReference: async (mixup?: number) => {
        shares.push(mixup);
        await engine.freezeReference(mixup);
      },
    });
    const config = configOf({ klCoef: 0.1, iterations: 5, updatesPerIteration: 2, refSyncSteps: 4, refSyncMixup: 0.3 });
    await trainGrpo(lettersContext(watched, new MemoryLog()), config, [letterReward]);
    expect(shares).toEqual([undefined, 0.3, 0.3]);
  });

  it("is moved also where the step had nothing to learn from", async () => {
    const engine = newEngine();
    const shares: (number | undefined)[] = [];
    const watched: Policy = Object.assign(Object.create(engine), {
      freezeReference: async (mixup?: number) => {
        shares.push(mixup);
        await engine.freezeReference(mixup);
      },
    });
    const constant = { weight: 1, reward: { name: "constant", judge: () => ({ score: null, reason: "never" }) } };
    const config = configOf({ klCoef: 0.1, klPlacement: "reward", iterations: 4, refSyncSteps: 2, refSyncMixup: 0.3 });
    const log = new MemoryLog();
    await trainGrpo(lettersContext(watched, log), config, [constant]);
    expect(log.events.filter(({ name }) => name === "no-signal")).toHaveLength(4);
    expect(shares).toEqual([undefined, 0.3, 0.3]);
  });
});

describe("a sampler that disagrees with the trainer", () => {
  it("is corrected: its log-probabilities enter the ratio ρ, not the clipped one", async () => {
    const engine = newEngine();
    const biased: Policy = Object.assign(Object.create(engine), {
      sample: async (...args: Parameters<Policy["sample"]>) => {
        const sequences = await engine.sample(...args);
        return sequences.map((sequence) => ({
          ...sequence,
          logprobs: sequence.logprobs.map((logprob) => logprob - 1),
        }));
      },
    });
    const metricsWith = async (samplerCorrection: string, bounds: object = {}) => {
      const log = new MemoryLog();
      const config = configOf({ iterations: 1, samplerCorrection, ...bounds });
      await trainGrpo(lettersContext(biased, log), config, [letterReward]);
      return log.metricsRows[0]!;
    };
    const plain = await metricsWith("none");
    expect(plain["clip_ratio/region_mean"]).toBeGreaterThan(0.1);
    expect(plain).not.toHaveProperty("sampling/importance_sampling_ratio/mean");
    const truncated = await metricsWith("token_truncate", { samplerCorrectionMax: 2 });
    expect(truncated["clip_ratio/region_mean"]).toBe(0);
    expect(truncated["sampling/importance_sampling_ratio/min"]).toBe(2);
    expect(truncated["sampling/sampling_logp_difference/mean"]).toBeCloseTo(1, 5);
    // e > 2 at every token: all is masked, so there is no gradient and no step.
    const masked = await metricsWith("token_mask", { samplerCorrectionMax: 2 });
    expect(masked["sampling/importance_sampling_ratio/max"]).toBe(0);
  });
});

describe("a resume", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "aha-knobs-"));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it("goes on to the same bits with refilled groups and a reference that moves", async () => {
    const knobs = { maxSamplingRounds: 5, groupSize: 3, klCoef: 0.05, refSyncSteps: 2, iterations: 8 };
    const whole = await train(knobs);
    const engine = newEngine();
    const { kept, hook } = checkpointInto(directory, engine, 5);
    const context = lettersContext(engine, new MemoryLog(), { checkpoint: hook });
    await trainGrpo(context, configOf(knobs), [letterReward]);
    const fresh = newEngine();
    await fresh.loadState(kept.directory);
    const log = new MemoryLog();
    await trainGrpo(lettersContext(fresh, log, { resumed: kept.state! }), configOf(knobs), [letterReward]);
    expect(log.metricsRows).toEqual(whole.log.metricsRows.slice(5));
    expect(fresh.weights()).toEqual(whole.engine.weights());
  });
});
