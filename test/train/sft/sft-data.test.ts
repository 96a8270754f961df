import { describe, expect, it } from "vitest";
import type { Datum } from "../../../src/engine/contract/policy.ts";
import { ConfigError, DataError } from "../../../src/errors.ts";
import type { Problem, Task } from "../../../src/tasks/task.ts";
import { sftConfigSchema } from "../../../src/train/sft/config.ts";
import { checkSft, normaliseWeights, trainSft } from "../../../src/train/sft/sft.ts";
import { MODELS, modelValues, openEngine } from "../../engine/models.ts";
import { lettersContext, lettersTask, MemoryLog, NoisyEngine, newEngine } from "../letters.ts";

const configOf = (overrides: object = {}) =>
  sftConfigSchema.parse({ epochs: 2, batchTokens: 8, learningRate: 0.1, ...overrides });

/** Five problems with answers of 1, 2, 3, 4 and 9 letters: 3, 4, 5, 6 and 11 tokens with prompt and end. */
const LENGTHS = [1, 2, 3, 4, 9];
function finiteTask(seen: number[] = []): Task {
  return {
    ...lettersTask,
    trainCount: LENGTHS.length,
    trainProblem: (index) => ({
      ...lettersTask.trainProblem(0),
      id: index % LENGTHS.length,
      place: `rows.jsonl:${(index % 5) + 1}`,
    }),
    demonstrate: ({ id }: Problem) => {
      seen.push(id);
      return { completion: "a".repeat(LENGTHS[id]!), weightedSpans: [] };
    },
  };
}

async function train(config: object, task: Task = finiteTask(), overrides: object = {}) {
  const log = new MemoryLog();
  const outcome = await trainSft(lettersContext(newEngine(), log, { task, ...overrides }), configOf(config));
  return { rows: log.metricsRows, outcome };
}

describe("epochs of SFT", () => {
  it("take every demonstration that fits once a pass, the last step what is left", async () => {
    const { rows, outcome } = await train({ epochs: 2 });
    // Of 8 tokens a step: 3 + 4, 5, 6, | 3 + 4, 5, 6; that of 11 tokens is left out each time.
    expect(rows.map((row) => row.num_demonstrations)).toEqual([2, 1, 1, 2, 1, 1]);
    expect(rows.map((row) => row.num_too_long)).toEqual([0, 0, 1, 0, 0, 1]);
    expect(rows.at(-1)!.epoch).toBe(2);
    expect(outcome).toEqual({ steps: 6, numTokens: 36 });
  });

  it("let the learning rate fall to its end over the steps that they come to", async () => {
    const { rows } = await train({ epochs: 1, schedule: "linear", warmupSteps: 1 });
    expect(rows.map((row) => row.learning_rate)).toHaveLength(3);
    expect(rows.at(-1)!.learning_rate).toBeLessThan(rows[1]!.learning_rate!);
    await expect(train({ epochs: 1, warmupSteps: 4 })).rejects.toThrow(
      /warmupSteps \(4\) is more than the 3 optimizer/,
    );
  });

  it("may be a part of one", async () => {
    const { rows, outcome } = await train({ epochs: 0.5 });
    // Three of five.
    expect(rows.reduce((sum, row) => sum + row.num_demonstrations!, 0)).toBe(3);
    expect([outcome.steps, rows.at(-1)!.epoch]).toEqual([2, 0.6]);
    expect(() => configOf({ epochs: 0 })).toThrow();
  });

  it("are refused where the data have no end, and beside steps", async () => {
    await expect(train({ epochs: 1 }, lettersTask)).rejects.toThrow(/task letters makes its problems without end/);
    expect(() => configOf({ steps: 3 })).toThrow(/exactly one of steps .* and epochs/);
    expect(() => configOf({ epochs: undefined })).toThrow(/exactly one of steps .* and epochs/);
  });
});

describe("demonstrationsPerProblem", () => {
  it("takes a problem so many times in a row, with a demonstration of its own each time", async () => {
    const seen: [id: number, seed: number][] = [];
    const task: Task = {
      ...finiteTask(),
      demonstrate: ({ id }, seed) => {
        seen.push([id, seed]);
        return { completion: "a".repeat(LENGTHS[id]!), weightedSpans: [] };
      },
    };
    await train(
      { epochs: undefined, steps: 2, batchTokens: 100, batchDemonstrations: 6, demonstrationsPerProblem: 3 },
      task,
    );
    const trained = seen.slice(-12);
    expect(trained.map(([id]) => id)).toEqual([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
    expect(new Set(trained.map(([, seed]) => seed)).size).toBe(12);
  });

  it("counts a pass over the data when each problem had its demonstrations; a step ends there", async () => {
    const config = {
      epochs: undefined,
      steps: 3,
      batchTokens: 100,
      batchDemonstrations: 8,
      demonstrationsPerProblem: 2,
    };
    const { rows } = await train(config);
    expect(rows.map((row) => row.num_demonstrations)).toEqual([8, 2, 8]);
    expect(rows.map((row) => row.epoch)).toEqual([0.8, 1, 1.8]);
  });

  it("is refused beside epochs", () => {
    expect(() => configOf({ demonstrationsPerProblem: 2 })).toThrow(/demonstrationsPerProblem[\s\S]*Give steps/);
  });
});

describe("batchDemonstrations", () => {
  it("counts demonstrations in place of tokens; a step ends with its pass over the data", async () => {
    const { rows } = await train({ epochs: 2, batchTokens: 100, batchDemonstrations: 2 });
    expect(rows.map((row) => row.num_demonstrations)).toEqual([2, 2, 1, 2, 2, 1]);
    expect(rows.map((row) => row.epoch)).toEqual([0.4, 0.8, 1, 1.4, 1.8, 2]);
  });

  it("is a most, beside that of tokens", async () => {
    const { rows } = await train({ epochs: 1, batchTokens: 11, batchDemonstrations: 2 });
    // 3 + 4, 5 + 6, 11.
    expect(rows.map((row) => row.num_demonstrations)).toEqual([2, 2, 1]);
    expect(rows.every((row) => row.num_too_long === 0)).toBe(true);
  });
});

describe("warmupRatio", () => {
  it("is a share of the steps that the data come to, rounded up", async () => {
    const ratesOf = async (config: object) =>
      (await train({ epochs: 2, ...config })).rows.map((row) => row.learning_rate);
    expect(await ratesOf({ warmupRatio: 0.3, schedule: "linear" })).toEqual(
      await ratesOf({ warmupSteps: 2, schedule: "linear" }),
    );
    expect(() => configOf({ warmupRatio: 0.3, warmupSteps: 2 })).toThrow(/warmupRatio \(0.3\) says what warmupSteps/);
  });
});

describe("demonstrations longer than maxTokens", () => {
  it("are cut at the end under truncate, and counted", async () => {
    const { rows } = await train({ epochs: 1, maxTokens: 5, overlong: "truncate" });
    // 3 + 4, 5, 5 (of 6), 5 (of 11).
    expect(rows.map((row) => row.num_demonstrations)).toEqual([2, 1, 1, 1]);
    expect(rows.map((row) => row.num_truncated)).toEqual([0, 0, 1, 1]);
    expect(rows.map((row) => row.num_tokens)).toEqual([7, 12, 17, 22]);
  });

  it("are warned of at the start, with numbers, where many are cut or left out", async () => {
    const warningsOf = async (config: object) => {
      const log = new MemoryLog();
      await trainSft(lettersContext(newEngine(), log, { task: finiteTask() }), configOf({ epochs: 1, ...config }));
      return log.events.filter(({ name }) => name === "warning").map(({ details }) => details.message);
    };
    expect(await warningsOf({ maxTokens: 8, batchTokens: 16, overlong: "truncate" })).toEqual([
      expect.stringMatching(
        /^1 of the first 5 demonstrations \(20 %\) are cut at 8 tokens, prompt and completion; 0 of them lose half .*13 % of what is to be learned is lost/,
      ),
    ]);
    // One token is left of each answer but the first.
    expect(await warningsOf({ maxTokens: 2, overlong: "truncate" })).toEqual([
      expect.stringMatching(/^5 of the first 5 demonstrations \(100 %\) are cut at 2 tokens.*5 of them lose half/),
    ]);
    expect(await warningsOf({ overlong: "drop" })).toEqual([
      expect.stringMatching(/^1 of the first 5 demonstrations \(20 %\) do not fit into 8 tokens.*are left out/),
    ]);
    expect(await warningsOf({ maxTokens: 11, batchTokens: 16 })).toEqual([]);
  });

  it("are refused before training under error, naming the row", () => {
    const context = lettersContext(newEngine(), new MemoryLog(), { task: finiteTask() });
    expect(() => checkSft(context, configOf({ overlong: "error" }))).toThrow(ConfigError);
    expect(() => checkSft(context, configOf({ overlong: "error" }))).toThrow(
      /problem 4 \(rows\.jsonl:5\) has 11 tokens, more than 8/,
    );
    expect(() => checkSft(context, configOf({ overlong: "error", batchTokens: 11 }))).not.toThrow();
    expect(() => configOf({ maxTokens: 9 })).toThrow(/maxTokens \(9\) is more than a step takes \(batchTokens, 8\)/);
  });
});

it("noise on embeddings is refused before training where the engine adds none", () => {
  const context = lettersContext(newEngine(), new MemoryLog(), { task: finiteTask(), stage: "tuning" });
  expect(() => checkSft(context, configOf({ neftuneNoiseAlpha: 5 }))).toThrow(
    new ConfigError(
      "Stage tuning: neftuneNoiseAlpha needs noise on embeddings (embeddingNoise), which the engine tabular (reference) " +
        "does not have. Change this key, or take another engine (engine.kind).",
    ),
  );
});

it("noise on embeddings is asked for with the loss, by the stage's seed; with an alpha of 0 the loss says nothing of it", async () => {
  const lossesWith = async (neftuneNoiseAlpha: number) => {
    const engine = new NoisyEngine();
    const context = lettersContext(engine, new MemoryLog(), { task: finiteTask(), seed: 77 });
    await trainSft(context, configOf({ neftuneNoiseAlpha }));
    expect(engine.losses).toHaveLength(6);
    return engine.losses;
  };
  for (const loss of await lossesWith(0)) expect(loss).toStrictEqual({ name: "cross_entropy" });
  const embeddingNoise = { alpha: 5, seed: 77 };
  for (const loss of await lossesWith(5)) expect(loss).toStrictEqual({ name: "cross_entropy", embeddingNoise });
});

describe("the loss on held-out demonstrations", () => {
  const heldOut = lettersTask.heldOut(3);

  it("is the mean −ln π of their completion tokens every so many steps and at the end; it falls as it learns", async () => {
    const { rows } = await train({ epochs: undefined, steps: 25, evalLossEvery: 10 }, lettersTask, { heldOut });
    const measured = rows.filter((row) => "eval_loss" in row);
    expect(measured.map(({ step }) => step)).toEqual([10, 20, 25]);
    expect(measured[2]!.eval_loss).toBeLessThan(measured[0]!.eval_loss!);
    for (const { eval_loss, eval_perplexity } of measured)
      expect(eval_perplexity).toBeCloseTo(Math.exp(eval_loss!), 12);
  });

  it("weighs each token alike, whatever the lengths", async () => {
    const engine = newEngine();
    const log = new MemoryLog();
    const context = lettersContext(engine, log, {
      task: finiteTask(),
      heldOut: [0, 3].map((i) => finiteTask().trainProblem(i)),
    });
    await trainSft(context, configOf({ epochs: undefined, steps: 1, evalLossEvery: 1, learningRate: 1e-12 }));
    const tokens = ["a", "aaaa"].map((text) => Int32Array.from([...Array.from(text, () => 4), 0]));
    const data = tokens.map((completionTokens) => ({ promptTokens: Int32Array.of(1), completionTokens }));
    const { logprobs } = await newEngine().score(data, { temperature: 1 });
    const all = logprobs.flatMap((values) => [...values]);
    expect(log.metricsRows[0]!.eval_loss).toBeCloseTo(-all.reduce((sum, x) => sum + x, 0) / 7, 5);
  });

  it("needs held-out problems that can be demonstrated", async () => {
    const config = { epochs: undefined, steps: 1, evalLossEvery: 1 };
    await expect(train(config, lettersTask)).rejects.toThrow(/of 0 held-out problems none/);
    const mute: Task = {
      ...lettersTask,
      demonstrate: (problem, seed) => {
        if (problem.columns.letter === "c") throw new DataError("no answer");
        return lettersTask.demonstrate!(problem, seed);
      },
    };
    await expect(
      train(config, { ...mute, trainProblem: () => heldOut[0]! }, { heldOut: [heldOut[2]!] }),
    ).rejects.toThrow(/of 1 held-out problems none/);
  });
});

describe("demonstrations of one step", () => {
  const config = MODELS["tied, query and key norms"];
  const datum = (prompt: number[], completion: number[]): Datum => ({
    promptTokens: Int32Array.from(prompt),
    completionTokens: Int32Array.from(completion),
    weights: new Float32Array(completion.length).fill(1),
  });
  const data = normaliseWeights([
    datum([3, 4, 5, 6], [7, 8, 1]),
    datum([9], [10, 11, 12, 13, 14, 15, 1]),
    datum([3, 4, 5, 6], [16, 1]),
    datum([17, 18], [19, 20, 21, 1]),
  ]);

  it("do not see each other: a packed step equals one sequence at a time, in log-probabilities, loss and weights", async () => {
    const run = async (calls: readonly (readonly Datum[])[]) => {
      const engine = await openEngine(config, modelValues(config));
      const results = [];
      for (const call of calls) results.push(await engine.forwardBackward(call, { name: "cross_entropy" }));
      const adam = { learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-4, weightDecay: 0, maxGradNorm: 0 };
      const { gradNorm } = await engine.optimStep(adam);
      const { logprobs: after } = await engine.score(data, { temperature: 1 });
      await engine.dispose();
      return {
        loss: results.reduce((sum, { loss }) => sum + loss, 0),
        logprobs: results.flatMap(({ logprobs }) => logprobs.map((values) => [...values])),
        gradNorm,
        after: after.map((values) => [...values]),
      };
    };
    const packed = await run([data]);
    const alone = await run(data.map((one) => [one]));
    expect(packed.loss).toBeCloseTo(alone.loss, 5);
    expect(packed.gradNorm! / alone.gradNorm!).toBeCloseTo(1, 5);
    for (const name of ["logprobs", "after"] as const) {
      packed[name].forEach((values, i) => {
        values.forEach((value, t) => {
          expect(value).toBeCloseTo(alone[name][i]![t]!, 4);
        });
      });
    }
  });
});
