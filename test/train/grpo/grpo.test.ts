import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Policy } from "../../../src/engine/contract/policy.ts";
import { CheckpointError, ConfigError, DivergenceError, RunInterrupted } from "../../../src/errors.ts";
import type { PolicyObjective } from "../../../src/losses/policy-objective.ts";
import { completionAdvantages } from "../../../src/rollout/advantages.ts";
import { judgeCompletions, sampleCompletions } from "../../../src/rollout/collect.ts";
import { objectiveOf } from "../../../src/train/grpo/config.ts";
import { trainGrpo } from "../../../src/train/grpo/grpo.ts";
import { grpoConfigSchema } from "../../../src/train/grpo/issues.ts";
import { policyUpdate, type UpdateRow } from "../../../src/train/grpo/policy-update.ts";
import { judgedCompletion, scoreRollouts, updateRows } from "../../../src/train/grpo/update-rows.ts";
import {
  checkpointInto,
  letterReward,
  lettersContext,
  lettersTask,
  lettersTokenizer,
  MemoryLog,
  newEngine,
} from "../letters.ts";

/** The gradient of the objective, without a step. */
const accumulateGradient = (engine: Policy, rows: readonly UpdateRow[], objective: PolicyObjective) =>
  policyUpdate(engine, rows, objective, (data, loss) => engine.forwardBackward(data, loss));

const small = {
  iterations: 12,
  rewards: [{ name: "format" }],
  promptsPerIteration: 6,
  groupSize: 8,
  maxCompletionTokens: 4,
  learningRate: 0.1,
};
const configOf = (overrides: object = {}) => grpoConfigSchema().parse({ ...small, ...overrides });

/** Fifteen iterations on the letters, and what they gained in reward. */
async function learn(overrides: object) {
  const log = new MemoryLog();
  const engine = newEngine();
  await trainGrpo(lettersContext(engine, log), configOf({ iterations: 15, ...overrides }), [letterReward]);
  return { log, engine, gain: log.metricsRows.at(-1)!.reward! - log.metricsRows[0]!.reward! };
}

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "aha-grpo-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe("trainGrpo", () => {
  it("teaches the tabular policy its letters from reward alone: solve rate above 0.9 from below 0.1", async () => {
    const log = new MemoryLog();
    const outcome = await trainGrpo(lettersContext(newEngine(), log), configOf({ iterations: 40 }), [letterReward]);
    expect(log.metricsRows[0]!.solve_rate).toBeLessThan(0.1);
    expect(log.metricsRows.at(-1)!.solve_rate).toBeGreaterThan(0.9);
    expect(log.metricsRows.at(-1)!.reward).toBeGreaterThan(0.9);
    expect(outcome.steps).toBe(40);
    expect(log.rolloutRows).toHaveLength(40 * 6 * 8);
  });

  it.each(["grpo", "dapo", "dr_grpo"] as const)(
    "learns with loss type %s and several clipped updates",
    async (lossType) => {
      const { log, gain } = await learn({ lossType, updatesPerIteration: 2, minibatchesPerIteration: 3 });
      expect(gain).toBeGreaterThan(0.4);
      expect(log.metricsRows.map(({ step }) => step)).toEqual(Array.from({ length: 15 }, (_, i) => 6 * (i + 1)));
      const highest = Math.max(...log.metricsRows.map((row) => row["clip_ratio/region_mean"] ?? 0));
      expect(highest).toBeGreaterThan(0);
    },
  );

  it("gives the same rows and weights for the same seed, and others for another", async () => {
    const run = async (seed: number) => {
      const log = new MemoryLog();
      const engine = newEngine();
      await trainGrpo(lettersContext(engine, log, { seed }), configOf(), [letterReward]);
      return JSON.stringify([log.metricsRows, log.rolloutRows, [...engine.weights()]]);
    };
    const first = await run(1);
    expect(await run(1)).toBe(first);
    expect(await run(2)).not.toBe(first);
  });

  it("reports sampler and trainer in agreement: their log-probabilities are equal on the first update", async () => {
    const log = new MemoryLog();
    const config = configOf({ temperature: 0.7, topP: 0.9, topK: 5, updatesPerIteration: 3 });
    await trainGrpo(lettersContext(newEngine(), log), config, [letterReward]);
    for (const row of log.metricsRows.filter((candidate) => "loss" in candidate)) {
      expect(row["sampling/sampling_logp_difference/max"]).toBeLessThan(1e-6);
    }
  });

  it("keeps the policy near the reference where klCoef is large, and reports kl only where there is a KL term", async () => {
    const movement = async (klCoef: number) => {
      const engine = newEngine();
      const before = engine.weights();
      const log = new MemoryLog();
      await trainGrpo(lettersContext(engine, log), configOf({ klCoef }), [letterReward]);
      const distance = Math.hypot(...engine.weights().map((weight, i) => weight - before[i]!));
      return { distance, kl: log.metricsRows.map((row) => row.kl) };
    };
    const free = await movement(0);
    const held = await movement(5);
    expect(held.distance).toBeLessThan(free.distance / 2);
    expect(free.kl.every((kl) => kl === undefined)).toBe(true);
    expect(held.kl[0]).toBeCloseTo(0, 10);
    expect(held.kl.at(-1)).toBeGreaterThan(0);
  });

  it("takes no step, and says so, where every group's rewards are equal", async () => {
    const engine = newEngine();
    const before = engine.weights();
    const log = new MemoryLog();
    const constant = { weight: 1, reward: { name: "constant", judge: () => ({ score: 0.3, reason: "always" }) } };
    await trainGrpo(lettersContext(engine, log), configOf({ iterations: 2 }), [constant]);
    expect(engine.weights()).toEqual(before);
    expect(log.metricsRows.map((row) => row.frac_reward_zero_std)).toEqual([1, 1]);
    expect(log.metricsRows.every((row) => !("loss" in row))).toBe(true);
    expect(log.events.map(({ name }) => name)).toEqual(["no-signal", "no-signal"]);
  });

  it("counts abstentions and gives a row that every reward abstained from advantage 0", async () => {
    const log = new MemoryLog();
    const picky = {
      weight: 1,
      reward: {
        name: "picky",
        judge: ({ completion }: { completion: string }) =>
          completion.startsWith("a")
            ? { score: null, reason: "cannot tell" }
            : { score: completion.length, reason: "length" },
      },
    };
    await trainGrpo(lettersContext(newEngine(), log), configOf({ iterations: 1 }), [picky]);
    const abstained = log.rolloutRows.filter(({ reward }) => reward === null);
    expect(abstained.length).toBeGreaterThan(0);
    expect(abstained.every(({ advantage }) => advantage === 0)).toBe(true);
    expect(log.metricsRows[0]!.frac_reward_abstained).toBeCloseTo(abstained.length / 48, 12);
  });
});

describe("interruption and resumption of trainGrpo", () => {
  const config = configOf({
    klCoef: 0.1,
    updatesPerIteration: 2,
    minibatchesPerIteration: 2,
    schedule: "cosine",
    warmupSteps: 5,
  });

  async function uninterrupted() {
    const engine = newEngine();
    const log = new MemoryLog();
    await trainGrpo(lettersContext(engine, log), config, [letterReward]);
    return { weights: engine.weights(), log };
  }

  it("continues an aborted run to byte-identical metrics, rollouts and weights", async () => {
    const whole = await uninterrupted();
    const engine = newEngine();
    const log = new MemoryLog();
    const controller = new AbortController();
    const { kept, hook } = checkpointInto(directory, engine, 0);
    const context = lettersContext(engine, log, {
      signal: controller.signal,
      checkpoint: hook,
      // Ctrl-C arrives while the sixth iteration is being sampled.
      onProgress: ({ phase, done }) => phase === "sampling" && done === 5 && controller.abort(),
    });
    await expect(trainGrpo(context, config, [letterReward])).rejects.toThrow(RunInterrupted);
    expect(log.metricsRows).toHaveLength(5);

    const fresh = newEngine();
    await fresh.loadState(kept.directory);
    await trainGrpo(lettersContext(fresh, log, { resumed: kept.state! }), config, [letterReward]);
    expect(JSON.stringify(log.metricsRows)).toBe(JSON.stringify(whole.log.metricsRows));
    expect(JSON.stringify(log.rolloutRows)).toBe(JSON.stringify(whole.log.rolloutRows));
    expect(fresh.weights()).toEqual(whole.weights);
  });

  it("continues from a periodic checkpoint as if what came after it had not been", async () => {
    const whole = await uninterrupted();
    const engine = newEngine();
    const { kept, hook } = checkpointInto(directory, engine, 7);
    await trainGrpo(lettersContext(engine, new MemoryLog(), { checkpoint: hook }), config, [letterReward]);
    expect(kept.state).toMatchObject({ iteration: 7, step: 28, nextPrompt: 42 });

    const fresh = newEngine();
    await fresh.loadState(kept.directory);
    const log = new MemoryLog();
    await trainGrpo(lettersContext(fresh, log, { resumed: kept.state! }), config, [letterReward]);
    expect(log.metricsRows).toEqual(whole.log.metricsRows.slice(7));
    expect(fresh.weights()).toEqual(whole.weights);
  });

  it("refuses the state of another trainer", async () => {
    const context = lettersContext(newEngine(), new MemoryLog(), { resumed: { step: 3, cursor: 9 } });
    await expect(trainGrpo(context, config, [letterReward])).rejects.toThrow(CheckpointError);
  });

  it("evaluates before it checkpoints, after every so many iterations but the last", async () => {
    const calls: string[] = [];
    const context = lettersContext(newEngine(), new MemoryLog(), {
      checkpoint: { every: 6, save: async (step) => void calls.push(`save ${step}`) },
      evaluation: { every: 6, run: async (step) => void calls.push(`evaluate ${step}`) },
    });
    await trainGrpo(context, config, [letterReward]);
    expect(calls).toEqual(["evaluate 24", "save 24"]);
  });
});

describe("what trainGrpo refuses", () => {
  it("stops after maxSkippedSteps non-finite gradients in a row, with the weights untouched", async () => {
    const engine = newEngine();
    const broken: Policy = Object.assign(Object.create(engine), {
      step: async (...[data, loss]: Parameters<Policy["step"]>) => ({
        ...(await engine.forwardBackward(data, loss)),
        ...{ gradNorm: Number.NaN, applied: false },
      }),
    });
    const log = new MemoryLog();
    const before = engine.weights();
    const training = trainGrpo(lettersContext(broken, log), configOf({ maxSkippedSteps: 2 }), [letterReward]);
    await expect(training).rejects.toThrow(DivergenceError);
    await expect(training).rejects.toThrow(/not finite in 3 optimizer steps in a row \(maxSkippedSteps is 2\)/);
    expect(log.events.map(({ name }) => name)).toEqual(["step-skipped", "step-skipped", "step-skipped"]);
    expect(engine.weights()).toEqual(before);
  });

  it("refuses a prompt that does not fit, by name and number, before anything is sampled", async () => {
    const long = { ...lettersTask.trainProblem(0), id: 77, prompt: "1".repeat(14) };
    const task = { ...lettersTask, trainProblem: (i: number) => (i === 9 ? long : lettersTask.trainProblem(i)) };
    const log = new MemoryLog();
    const training = trainGrpo(lettersContext(newEngine(), log, { task }), configOf(), [letterReward]);
    await expect(training).rejects.toThrow(ConfigError);
    await expect(training).rejects.toThrow(
      "The prompt of problem 77 (number 9 of the data) has 14 tokens; with maxCompletionTokens 4 that is 18, more than " +
        "the model's context of 16. Set maxCompletionTokens to 2 or less, or leave this problem out.",
    );
    expect(log.rolloutRows).toHaveLength(0);
  });

  it.each([
    [{ minibatchesPerIteration: 4 }, "minibatchesPerIteration (4) does not divide promptsPerIteration (6)"],
    [{ warmupSteps: 13 }, "warmupSteps (13) is more than the 12 optimizer steps"],
    [{ groupSize: 1 }, "groupSize must be at least 2 with advantage group"],
    [{ refSyncSteps: 4 }, "refSyncSteps needs a klCoef above 0"],
    [{ advantage: "reinforce++", maxSamplingRounds: 3 }, "maxSamplingRounds must be 1"],
    [{ advantage: "rloo", rewardAggregation: "normalize_then_sum" }, "needs advantage group, not rloo"],
    [{ klCoef: 0.1, klPlacement: "reward", klBiasCorrection: true }, "with klPlacement reward there is none"],
    [{ lossType: "vespo", samplerCorrection: "sequence_mask" }, "vespo takes corrections per token"],
    [{ samplerCorrection: "token_truncate", samplerCorrectionMax: null }, "needs samplerCorrectionMax"],
    [
      { samplerCorrection: "token_mask", samplerCorrectionMin: 4 },
      "samplerCorrectionMin (4) must be below samplerCorrectionMax (3)",
    ],
    [{ lossType: "ppo" }, "lossType"],
    [{ temperature: 0 }, "temperature"],
    [{ rewards: [{ name: "format" }, { name: "format", weight: 2 }] }, "rewards lists format twice"],
    [{ clipEpsilonHi: 0.3 }, "clipEpsilonHi"],
    [{ rewards: [{ name: "formatt" }] }, "Did you mean format?"],
    [{ rewards: [{ name: "format", options: { strict: true } }] }, "strict: unknown key; known here: form."],
  ])("its schema refuses %o", (overrides, message) => {
    const result = grpoConfigSchema().safeParse({ ...small, ...overrides });
    expect(result.success).toBe(false);
    expect(JSON.stringify(result.error!.issues)).toContain(message);
  });
});

describe("updateRows", () => {
  const options = { temperature: 1, topP: 1, topK: 0, maxCompletionTokens: 4, seed: 5, iteration: 0 };
  const base = configOf({ lossType: "grpo", groupSize: 3 });
  const noContext = { start: 0, tokensPerStep: 0 };

  async function someRollouts(config = base) {
    const engine = newEngine();
    const problems = [0, 1, 2, 3, 4, 5, 6, 7].map((promptId) => ({
      promptId,
      problem: lettersTask.trainProblem(promptId),
    }));
    const completions = await sampleCompletions(engine, lettersTokenizer, problems, 3, options);
    const rollouts = await judgeCompletions(completions, lettersTask, [letterReward]);
    await engine.freezeReference();
    const scored = await scoreRollouts(engine, rollouts, config);
    const groups = completionAdvantages(
      scored.map((one) => judgedCompletion(one, [letterReward], config)),
      config,
    );
    return { engine, rollouts, scored, groups };
  }

  async function gradientOf(engine: ReturnType<typeof newEngine>, ...parts: (readonly UpdateRow[])[]) {
    for (const rows of parts) await accumulateGradient(engine, rows, objectiveOf(base));
    const gradient = engine.gradient();
    await engine.optimStep({ learningRate: 0, beta1: 0, beta2: 0, epsilon: 1, weightDecay: 0, maxGradNorm: 0 });
    return gradient;
  }

  it("leaves out completions without advantage, which changes no gradient", async () => {
    const { engine, scored, groups } = await someRollouts();
    const kept = updateRows(scored, groups, base, noContext);
    const all = updateRows(scored, groups, { ...base, klCoef: 1 }, noContext);
    expect(kept.length).toBeLessThan(all.length);
    expect(all).toHaveLength(24);
    expect(await gradientOf(engine, kept)).toEqual(await gradientOf(engine, all));
  });

  it.each([{ entropyCoef: 0.1 }, { topEntropyQuantile: 0.5 }])(
    "keeps them where %o reads their entropies",
    async (knob) => {
      const { scored, groups } = await someRollouts();
      expect(updateRows(scored, groups, { ...base, ...knob }, noContext)).toHaveLength(24);
    },
  );

  it("gives the same gradient in one call and in micro-batches of one", async () => {
    const { engine, scored, groups } = await someRollouts();
    const rows = updateRows(scored, groups, base, noContext);
    const whole = await gradientOf(engine, rows);
    expect(await gradientOf(engine, ...rows.map((row) => [row]))).toEqual(whole);
  });

  it("masks truncated completions out of the loss; they still count in the number of completions", async () => {
    const config = { ...base, klCoef: 1, maskTruncatedCompletions: true };
    const { rollouts, scored, groups } = await someRollouts(config);
    const truncated = rollouts.filter(({ finishReason }) => finishReason === "length").length;
    expect(truncated).toBeGreaterThan(0);
    const masked = updateRows(scored, groups, config, noContext);
    expect(masked).toHaveLength(24 - truncated);
    for (const { weights } of masked) {
      expect(Array.from(weights).reduce((total, weight) => total + weight, 0)).toBeCloseTo(1 / 24, 6);
    }
  });
});
