import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { diskFolder } from "../../../src/disk-folder.ts";
import { NO_CAPABILITIES } from "../../../src/engine/contract/capabilities.ts";
import type { Policy } from "../../../src/engine/contract/policy.ts";
import type { Sampler } from "../../../src/engine/contract/sampler.ts";
import { CheckpointError, ConfigError, EngineError, RunInterrupted } from "../../../src/errors.ts";
import type { Reward, WeightedReward } from "../../../src/rewards/reward.ts";
import type { TrainContext } from "../../../src/train/context.ts";
import { trainGrpo } from "../../../src/train/grpo/grpo.ts";
import { grpoConfigSchema } from "../../../src/train/grpo/issues.ts";
import { grpoTrainer } from "../../../src/train/grpo/trainer.ts";
import { overriding } from "../../../src/web/overriding.ts";
import type { TabularEngine } from "../../engine/tabular-engine.ts";
import { checkpointInto, letterReward, lettersContext, MemoryLog, newEngine } from "../letters.ts";

const small = {
  iterations: 4,
  rewards: [{ name: "format" }],
  promptsPerIteration: 4,
  groupSize: 4,
  maxCompletionTokens: 4,
  learningRate: 0.1,
  maxStaleness: 1,
};
const configOf = (overrides: object = {}) => grpoConfigSchema().parse({ ...small, ...overrides });

/** What a run came to, as text. */
const resultOf = (log: MemoryLog, engine: TabularEngine) =>
  JSON.stringify([log.metricsRows, log.rolloutRows, [...engine.weights()]], (_, value) =>
    value instanceof Float32Array || value instanceof Int32Array ? [...value] : value,
  );

async function whole(config: ReturnType<typeof configOf>) {
  const [log, engine] = [new MemoryLog(), newEngine()];
  await trainGrpo(lettersContext(engine, log), config, [letterReward]);
  return { log, engine, result: resultOf(log, engine) };
}

/** An engine whose snapshots are seen: how many there were, and how many are there now. `sampling` stands in for their samples. */
function watched(engine: TabularEngine, sampling: (snapshot: Sampler) => Partial<Sampler> = () => ({})) {
  const seen = { made: 0, alive: 0 };
  const policy = overriding<Policy>(engine, {
    snapshot: async () => {
      const snapshot = await engine.snapshot();
      seen.made++;
      seen.alive++;
      const dispose = async () => {
        seen.alive--;
        await snapshot.dispose();
      };
      return overriding<Sampler>(snapshot, { dispose, ...sampling(snapshot) });
    },
  });
  return { policy, seen };
}

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "aha-ahead-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe("maxStaleness 1", () => {
  it("learns, and the same seed gives the same bytes", async () => {
    const long = await whole(
      configOf({ iterations: 15, promptsPerIteration: 6, groupSize: 8, minibatchesPerIteration: 2 }),
    );
    const rewards = long.log.metricsRows.map(({ reward }) => reward!);
    expect(rewards.at(-1)! - rewards[0]!).toBeGreaterThan(0.4);
    const { result } = await whole(configOf());
    expect((await whole(configOf())).result === result).toBe(true);
    expect((await whole(configOf({ maxStaleness: 0 }))).result === result).toBe(false);
  });

  it("samples an iteration from the weights before the first step of the one before it", async () => {
    const [engine, log] = [newEngine(), new MemoryLog()];
    const before: Float32Array[] = [];
    const policy = overriding<Policy>(engine, {
      step: async (...given) => {
        // Each iteration logs its row after its steps.
        before[log.metricsRows.length] ??= engine.weights();
        return engine.step(...given);
      },
    });
    const config = configOf({ updatesPerIteration: 2, minibatchesPerIteration: 2 });
    await trainGrpo(lettersContext(policy, log), config, [letterReward]);
    const distance = async (iteration: number, weights: Float32Array) => {
      const rows = log.rolloutRows.filter((row) => row.iteration === iteration);
      const scorer = newEngine();
      scorer.setWeights(weights);
      const data = rows.map(({ prompt, tokens }) => ({
        promptTokens: Int32Array.of(Number(prompt)),
        completionTokens: tokens,
      }));
      const { logprobs } = await scorer.score(data, { temperature: 1 });
      return Math.max(
        ...logprobs.flatMap((row, i) => Array.from(row, (value, t) => Math.abs(value - rows[i]!.samplerLogprobs[t]!))),
      );
    };
    expect(before).toHaveLength(4);
    expect(await distance(0, before[0]!)).toBeLessThan(1e-6);
    for (let iteration = 1; iteration < 4; iteration++) {
      expect(await distance(iteration, before[iteration - 1]!), `iteration ${iteration}`).toBeLessThan(1e-6);
      expect(await distance(iteration, before[iteration]!), `iteration ${iteration}`).toBeGreaterThan(1e-3);
    }
  });

  it("samples while rewards judge and while the policy is trained", async () => {
    const engine = newEngine();
    const happened: string[] = [];
    let trained = () => {};
    let iterations = 0;
    const { policy, seen } = watched(engine, (snapshot) => {
      const step = new Promise<void>((resolve) => {
        trained = resolve;
      });
      return {
        // It has no result before a step was taken: whoever waited for it first would wait for ever.
        sample: async (...given) => {
          happened.push(`sampling ${++iterations} begins`);
          await step;
          happened.push(`sampling ${iterations} ends`);
          return snapshot.sample(...given);
        },
      };
    });
    const stepping = overriding<Policy>(policy, {
      step: async (...given) => {
        const result = await engine.step(...given);
        happened.push("step");
        trained();
        return result;
      },
    });
    const judge = (letterReward.reward as Reward).judge;
    const judging: WeightedReward = {
      weight: 1,
      reward: {
        name: "letter",
        judgeBatch: async (inputs) => {
          happened.push("judging");
          return Promise.all(inputs.map(judge));
        },
      },
    };
    const log = new MemoryLog();
    await trainGrpo(lettersContext(stepping, log), configOf({ iterations: 3 }), [judging]);
    expect(happened).toEqual([
      ...["sampling 1 begins", "judging", "step", "sampling 1 ends"],
      ...["sampling 2 begins", "judging", "step", "sampling 2 ends"],
      // After the last iteration there is none to sample for.
      ...["judging", "step"],
    ]);
    expect(seen).toEqual({ made: 2, alive: 0 });
    expect(JSON.stringify(log.metricsRows)).toBe(
      JSON.stringify((await whole(configOf({ iterations: 3 }))).log.metricsRows),
    );
  });

  it("reports how old completions are, and what the policy has moved since", async () => {
    const { log } = await whole(configOf());
    const column = (name: string) => log.metricsRows.map((row) => row[name]!);
    expect(column("staleness/mean")).toEqual([0, 1, 1, 1]);
    expect(column("staleness/max")).toEqual([0, 1, 1, 1]);
    const [first, ...later] = column("sampling/sampling_logp_difference/mean");
    expect(first).toBeLessThan(1e-6);
    for (const value of later) expect(value).toBeGreaterThan(1e-4);
    expect((await whole(configOf({ maxStaleness: 0 }))).log.metricsRows[1]).not.toHaveProperty("staleness/mean");
    // Ratios are those of the policy to the sampler, at the first step too.
    const ratios = log.rolloutRows
      .filter(({ iteration }) => iteration === 2)
      .flatMap((row) => Array.from(row.ratios ?? []));
    expect(Math.max(...ratios.map((ratio) => Math.abs(Math.log(ratio))))).toBeGreaterThan(1e-3);
  });

  it("corrects the sampler from the weights before the first step, where that is asked for", async () => {
    const { log } = await whole(configOf({ samplerCorrection: "token_truncate", samplerCorrectionMax: 2 }));
    for (const row of log.metricsRows.slice(1)) {
      expect(row["sampling/importance_sampling_ratio/max"]).toBeGreaterThan(1.001);
      expect(row["sampling/importance_sampling_ratio/max"]).toBeLessThanOrEqual(2);
    }
    const ratios = log.rolloutRows.flatMap((row) => Array.from(row.ratios ?? []));
    for (const ratio of ratios) expect(ratio).toBeCloseTo(1, 5);
  });

  it("samples further rounds from the policy as it is", async () => {
    const config = configOf({ maxSamplingRounds: 3, iterations: 6 });
    const { log, result } = await whole(config);
    expect((await whole(config)).result === result).toBe(true);
    const means = log.metricsRows.slice(1).map((row) => row["staleness/mean"]!);
    expect(Math.min(...means)).toBeGreaterThan(0);
    expect(means.some((mean) => mean < 1)).toBe(true);
    // No problem is asked twice, and none is left out.
    const asked = [...new Set(log.rolloutRows.map(({ promptId }) => promptId))];
    expect(asked).toEqual(Array.from({ length: asked.length }, (_, i) => i));
  });

  it("evaluates with nothing under way", async () => {
    const { policy, seen } = watched(newEngine());
    const alive: number[] = [];
    const evaluation = { every: 2, run: async () => void alive.push(seen.alive) };
    await trainGrpo(lettersContext(policy, new MemoryLog(), { evaluation }), configOf(), [letterReward]);
    expect(alive).toEqual([0]);
  });

  it("is refused by name on an engine without snapshots, and where there is one iteration", async () => {
    const engine = newEngine();
    const without = overriding<Policy>(engine, {
      capabilities: { ...engine.capabilities, snapshots: NO_CAPABILITIES.snapshots },
    });
    const training = trainGrpo(lettersContext(without, new MemoryLog()), configOf(), [letterReward]);
    await expect(training).rejects.toThrow(ConfigError);
    await expect(training).rejects.toThrow(
      "maxStaleness needs frozen copies of its weights that sample (snapshots), which the engine tabular (reference) does not have.",
    );
    expect(() => configOf({ iterations: 1 })).toThrow(/there is one iteration/);
    expect(() => configOf({ maxStaleness: 2 })).toThrow(/maxStaleness/);
  });

  it("is no reason to expect a loss of 0", () => {
    expect(grpoTrainer.lossIsZero!(configOf())).toBe(false);
    expect(grpoTrainer.lossIsZero!(configOf({ maxStaleness: 0 }))).toBe(true);
  });
});

describe("interruption and resumption with maxStaleness 1", () => {
  const configs = {
    plain: { updatesPerIteration: 2, minibatchesPerIteration: 2, klCoef: 0.1 },
    "restricted draws": { topP: 0.9, topK: 4, temperature: 0.8 },
    "further rounds": { maxSamplingRounds: 3 },
  };

  /** Runs to a stop that `overrides` bring about, and then on from what was saved. */
  async function inTwoParts(
    config: ReturnType<typeof configOf>,
    overrides: (stop: () => void) => Partial<TrainContext>,
  ) {
    const [engine, log] = [newEngine(), new MemoryLog()];
    const { policy, seen } = watched(engine);
    const controller = new AbortController();
    const { kept, hook } = checkpointInto(directory, engine, 0);
    const context = lettersContext(policy, log, {
      signal: controller.signal,
      checkpoint: hook,
      ...overrides(() => controller.abort()),
    });
    await expect(trainGrpo(context, config, [letterReward])).rejects.toThrow(RunInterrupted);
    expect(seen.alive).toBe(0);
    const fresh = newEngine();
    await fresh.loadState(kept.directory);
    const resumed = { resumed: kept.state!, resumedFiles: diskFolder(kept.directory) };
    await trainGrpo(lettersContext(fresh, log, resumed), config, [letterReward]);
    return resultOf(log, fresh);
  }

  it.each(Object.entries(configs))("goes on to the same bytes after Ctrl-C at any moment, %s", async (_, keys) => {
    const config = configOf(keys);
    const { result } = await whole(config);
    for (const phase of ["judging", "updating", "done"] as const) {
      const stopped = await inTwoParts(config, (stop) => ({
        onProgress: (progress) => progress.phase === phase && progress.done === 2 && stop(),
      }));
      expect(stopped === result, `stopped at ${phase}`).toBe(true);
    }
    const atFirst = await inTwoParts(config, (stop) => ({ onProgress: ({ phase }) => phase === "sampling" && stop() }));
    expect(atFirst === result, "stopped in the first sampling").toBe(true);
  });

  it("goes on from a periodic checkpoint as if what came after it had not been", async () => {
    const config = configOf(configs["restricted draws"]);
    const { log, engine: trained } = await whole(config);
    const engine = newEngine();
    const { kept, hook } = checkpointInto(directory, engine, 3);
    await trainGrpo(lettersContext(engine, new MemoryLog(), { checkpoint: hook }), config, [letterReward]);
    const fresh = newEngine();
    await fresh.loadState(kept.directory);
    const again = new MemoryLog();
    const resumed = { resumed: kept.state!, resumedFiles: diskFolder(kept.directory) };
    await trainGrpo(lettersContext(fresh, again, resumed), config, [letterReward]);
    expect(again.metricsRows).toEqual(log.metricsRows.slice(3));
    expect(fresh.weights()).toEqual(trained.weights());
  });

  it("refuses completions that are missing, damaged or of something else", async () => {
    const config = configOf();
    const engine = newEngine();
    const { kept, hook } = checkpointInto(directory, engine, 3);
    await trainGrpo(lettersContext(engine, new MemoryLog(), { checkpoint: hook }), config, [letterReward]);
    const [list, numbers] = ["json", "bin"].map((ext) => join(kept.directory, `trainer-completions.${ext}`)) as [
      string,
      string,
    ];
    const [listText, bytes] = [await readFile(list, "utf8"), await readFile(numbers)];
    const resume = async (resumedFiles = diskFolder(kept.directory), other = config) =>
      trainGrpo(lettersContext(newEngine(), new MemoryLog(), { resumed: kept.state!, resumedFiles }), other, [
        letterReward,
      ]);
    const refused = async (what: RegExp, change: () => Promise<void>) => {
      await change();
      const resuming = resume();
      await expect(resuming).rejects.toThrow(CheckpointError);
      await expect(resuming).rejects.toThrow(what);
      await writeFile(list, listText);
      await writeFile(numbers, bytes);
    };
    const changed = (change: (list: { completions: Record<string, unknown>[] } & Record<string, unknown>) => void) => {
      const value = JSON.parse(listText);
      change(value);
      return writeFile(list, JSON.stringify(value));
    };
    await refused(/it does not exist, and this iteration was sampled ahead/, () => rm(list));
    await refused(/Cannot read .*trainer-completions\.bin/, () => rm(numbers));
    await refused(/it has \d+ bytes, and its list needs/, () => truncate(numbers, bytes.length - 4));
    await refused(/JSON/, () => writeFile(list, listText.slice(0, 50)));
    await refused(/it has 15 completions in groups of 4 from problem 12 on/, () =>
      changed(({ completions }) => completions.pop()),
    );
    await refused(/from problem 13 on, and the iteration needs 16 in groups of 4 from 12 on/, () =>
      changed((value) => {
        value.firstPrompt = 13;
      }),
    );
    await refused(/longer than maxCompletionTokens/, () =>
      changed(({ completions }) => {
        completions[0]!.tokens = 5;
      }),
    );
    await refused(/a completion has tokens that were kept/, () =>
      changed(({ completions }) => {
        completions[0]!.kept = 3;
      }),
    );
    await refused(/finishReason/, () =>
      changed(({ completions }) => {
        completions[0]!.finishReason = "tired";
      }),
    );
    const withNumber = (index: number, value: number, write: "writeInt32LE" | "writeFloatLE") => {
      const other = Buffer.from(bytes);
      other[write](value, 4 * index);
      return writeFile(numbers, other);
    };
    await refused(/tokens that the model does not/, () => withNumber(0, 7, "writeInt32LE"));
    await refused(/not finite/, () => withNumber(bytes.length / 4 - 1, Number.NaN, "writeFloatLE"));
    const { resumedFiles: _, ...nothing } = { resumedFiles: undefined, resumed: kept.state! };
    const alone = trainGrpo(lettersContext(newEngine(), new MemoryLog(), nothing), config, [letterReward]);
    await expect(alone).rejects.toThrow(/resumedFiles/);
    await resume();
  });
});

describe("a failure with maxStaleness 1", () => {
  it("of the sampling ahead is the run's error, after the iteration's completions were logged", async () => {
    const { policy, seen } = watched(newEngine(), () => ({
      sample: async () => {
        throw new EngineError("The sampler is gone.");
      },
    }));
    const log = new MemoryLog();
    const training = trainGrpo(lettersContext(policy, log), configOf(), [letterReward]);
    await expect(training).rejects.toThrow("The sampler is gone.");
    expect(log.rolloutRows).toHaveLength(16);
    expect(seen).toEqual({ made: 1, alive: 0 });
  });

  it("of a step ends the sampling ahead, whose progress then throws, and is the run's error", async () => {
    const engine = newEngine();
    const ended: string[] = [];
    let fail = () => {};
    const failed = new Promise<void>((resolve) => {
      fail = resolve;
    });
    const { policy, seen } = watched(engine, (snapshot) => ({
      sample: async (prompts, params, onProgress) => {
        await failed;
        // The step's failure has gone its way by now.
        await new Promise((resolve) => setTimeout(resolve, 5));
        try {
          return await snapshot.sample(prompts, params, onProgress);
        } catch (error) {
          ended.push((error as Error).name);
          throw error;
        }
      },
    }));
    const failing = overriding<Policy>(policy, {
      step: async () => {
        fail();
        throw new EngineError("The device is gone.");
      },
    });
    const training = trainGrpo(lettersContext(failing, new MemoryLog()), configOf(), [letterReward]);
    await expect(training).rejects.toThrow("The device is gone.");
    expect(ended).toEqual(["Unwanted"]);
    expect(seen).toEqual({ made: 1, alive: 0 });
  });
});
