import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { Compute } from "../../src/compute/compute.ts";
import type { AdamParams, Datum, Policy } from "../../src/engine/contract/policy.ts";
import type { SamplePrompt, SamplingParams } from "../../src/engine/contract/sampling.ts";
import type { GivenLimits } from "../../src/engine/local/limits.ts";
import { openEngine as openModel } from "../../src/engine/open.ts";
import { CheckpointError, EngineError } from "../../src/errors.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";
import { inspectModel } from "../../src/model/on-disk.ts";
import type { ParameterValues } from "../../src/model/parameters.ts";
import { Random } from "../../src/random.ts";
import { emptyDirectory, MODELS, modelValues, openEngine, writeModel } from "./models.ts";

const TIED = MODELS["tied, query and key norms"];
const LOSSES: readonly LossSpec[] = [
  { name: "cross_entropy" },
  { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.3, klCoef: 0.2, temperature: 0.8 },
];
const ADAM: AdamParams = {
  learningRate: 1e-2,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.01,
  maxGradNorm: 1,
};
/** AdamW as gradient descent at rate 1: see `gradientDescent` of the conformance suite. */
const DESCENT: AdamParams = { learningRate: 1e12, beta1: 0, beta2: 0, epsilon: 1e12, weightDecay: 0, maxGradNorm: 0 };
const SAMPLING: SamplingParams = {
  temperature: 1,
  topP: 0.95,
  topK: 0,
  maxCompletionTokens: 10,
  stopTokenIds: [1, 2],
  seed: 5,
  iteration: 0,
};

const opened: Policy[] = [];
afterAll(() => Promise.all(opened.map((engine) => engine.dispose())));

async function open(values?: ParameterValues, limits?: GivenLimits, config = TIED) {
  const engine = await openEngine(config, values ?? modelValues(config), limits);
  opened.push(engine);
  return engine;
}

describe("margins of cross-entropy", () => {
  it.each([{}, { logitChunkTokens: 3 }])(
    "are 0 for the tokens that greedy decoding takes, and for no others: %o",
    async (limits) => {
      const engine = await open(undefined, limits);
      const prompts = [1, 2, 3].map((promptId) => ({
        tokens: Int32Array.of(3 + promptId, 5),
        numSamples: 1,
        promptId,
      }));
      const greedy = await engine.sample(prompts, { ...SAMPLING, temperature: 0, topP: 1, stopTokenIds: [] });
      const data = greedy.map(({ tokens, promptIndex }): Datum => {
        const changed = tokens.slice();
        changed[4] = (changed[4]! + 1) % TIED.vocabSize;
        const promptTokens = prompts[promptIndex]!.tokens;
        return { promptTokens, completionTokens: changed, weights: new Float32Array(tokens.length).fill(0.1) };
      });
      const { margins } = await engine.forwardBackward(data, { name: "cross_entropy" });
      for (const row of margins!) {
        expect(Array.from(row.subarray(0, 4))).toEqual([0, 0, 0, 0]);
        expect(row[4]).toBeLessThan(0);
      }
      const other = await engine.forwardBackward(ragged(2), LOSSES[1]!);
      expect(other).not.toHaveProperty("margins");
    },
  );
});

/** Groups of three completions on ragged prompts, near the policy of no model in particular. */
function ragged(seed: number, prompts = 4, vocabSize: number = TIED.vocabSize): Datum[] {
  const random = new Random(seed, "ragged");
  const tokens = (length: number) => Int32Array.from({ length }, () => random.integer(vocabSize));
  return Array.from({ length: prompts }, () => tokens(1 + random.integer(8))).flatMap((promptTokens) =>
    Array.from({ length: 3 }, () => {
      const length = 1 + random.integer(11);
      const column = (draw: () => number) => Float32Array.from({ length }, draw);
      return {
        promptTokens,
        completionTokens: tokens(length),
        weights: column(() => 0.02 + 0.02 * random.uniform()),
        advantages: column(() => random.normal()),
        samplerLogprobs: column(() => -3.4 + 0.2 * random.normal()),
        refLogprobs: column(() => -3.4 + 0.2 * random.normal()),
      };
    }),
  );
}

const norm = (values: Iterable<number>) => Math.hypot(...values);

/** The gradient by parameter: one step of gradient descent at rate 1 moves the weights by it. Leaves them moved. */
async function gradientOf(engine: Policy, values: ParameterValues, data: readonly Datum[], loss: LossSpec) {
  const before = new Map([...values].map(([name, weights]) => [name, weights.slice()]));
  await engine.forwardBackward(data, loss);
  await engine.optimStep(DESCENT);
  return new Map([...values].map(([name, w]) => [name, before.get(name)!.map((value, i) => value - w[i]!)]));
}

describe.each(Object.entries(MODELS))("gradients, %s", (_, config) => {
  it.each(LOSSES)("of $name agree with finite differences, for every parameter", async (loss) => {
    const values = modelValues(config);
    const engine = await open(values, {}, config);
    const data = ragged(1, 3, config.vocabSize);
    // Ratios inside the clip: at its edges the loss has no derivative.
    const temperature = loss.name === "grpo" ? loss.temperature : 1;
    const { logprobs } = await engine.score(data, { temperature });
    data.forEach((datum, i) => {
      datum.samplerLogprobs!.set(logprobs[i]!.map((logprob, t) => logprob + (t % 2 ? 0.1 : -0.1)));
      datum.refLogprobs!.set(logprobs[i]!.map((logprob, t) => logprob + (t % 2 ? 0.5 : -0.4)));
    });
    const start = new Map([...values].map(([name, weights]) => [name, weights.slice()]));
    const gradient = await gradientOf(engine, values, data, loss);
    for (const [name, weights] of values) weights.set(start.get(name)!);

    const random = new Random(7, "directions");
    const step = 2e-3;
    for (const [name, weights] of values) {
      const own = gradient.get(name)!;
      // Along ±1 in every element: an error anywhere in the gradient shows.
      const signs = Float32Array.from(weights, () => (random.uniform() < 0.5 ? -1 : 1));
      const lossAt = async (distance: number) => {
        weights.set(start.get(name)!.map((value, i) => value + distance * signs[i]!));
        return (await engine.forwardBackward(data, loss)).loss;
      };
      const slope = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
      weights.set(start.get(name)!);
      const expected = own.reduce((sum, g, i) => sum + g * signs[i]!, 0);
      expect(norm(own), name).toBeGreaterThan(0);
      expect(Math.abs(slope - expected) / norm(own), name).toBeLessThan(0.03);
    }
  });
});

describe("batching changes nothing", () => {
  const settings: GivenLimits[] = [{ microBatchTokens: 4096 }, { microBatchTokens: 16 }, { microBatchTokens: 48 }];

  it.each(LOSSES)("in training by $name: any budget gives one loss, and one step's weights", async (loss) => {
    const results = await Promise.all(
      settings.map(async (limits) => {
        const values = modelValues(TIED);
        const engine = await open(values, limits);
        const result = await engine.forwardBackward(ragged(2), loss);
        // A first Adam step divides a gradient by its own size: with a small ε, an element that is nothing but rounding
        // would move as far as any other. With this one it moves by what it is.
        const { gradNorm } = await engine.optimStep({ ...ADAM, epsilon: 1e-2 });
        return { ...result, gradNorm, values };
      }),
    );
    const [expected, ...others] = results as [(typeof results)[number], ...typeof results];
    for (const other of others) {
      expect(Math.abs(other.loss / expected.loss - 1)).toBeLessThan(1e-5);
      expect(Math.abs(other.gradNorm! / expected.gradNorm! - 1)).toBeLessThan(1e-5);
      other.logprobs.forEach((row, i) => {
        row.forEach((logprob, t) => {
          expect(Math.abs(logprob - expected.logprobs[i]![t]!)).toBeLessThan(1e-5);
        });
      });
      for (const [name, weights] of other.values) {
        const gap = norm(weights.map((value, i) => value - expected.values.get(name)![i]!));
        expect(gap / norm(weights), name).toBeLessThan(1e-5);
      }
    }
  });

  it("in training: the same call gives the same bits", async () => {
    const runs = await Promise.all(
      [0, 1, 2].map(async () => {
        const values = modelValues(TIED);
        const engine = await open(values, { microBatchTokens: 16 });
        for (let step = 0; step < 3; step++) {
          await engine.forwardBackward(ragged(step), LOSSES[1]!);
          await engine.optimStep(ADAM);
        }
        return [...values.values()].map((weights) => Buffer.from(weights.buffer).toString("base64")).join();
      }),
    );
    expect(new Set(runs).size).toBe(1);
  });

  it("in sampling: any number of slots, and a cache used before, give the same samples", async () => {
    const random = new Random(3, "prompts");
    const prompts: SamplePrompt[] = Array.from({ length: 7 }, (_, promptId) => ({
      tokens: Int32Array.from({ length: 1 + random.integer(9) }, () => random.integer(TIED.vocabSize)),
      numSamples: 1 + random.integer(5),
      promptId,
    }));
    const text = async (engine: Policy) =>
      (await engine.sample(prompts, SAMPLING)).map(({ tokens }) => tokens.join(" ")).join("; ");
    const expected = await text(await open(undefined, { maxSlots: 64 }));
    for (const limits of [{ maxSlots: 3 }, { maxSlots: 1 }, { maxSlots: 7 }, { maxSlots: 64 }, { cacheBytes: 1 }]) {
      expect(await text(await open(undefined, limits)), JSON.stringify(limits)).toBe(expected);
    }
    const used = await open(undefined, { maxSlots: 4 });
    await used.sample(prompts.slice(0, 3), { ...SAMPLING, maxCompletionTokens: 25, seed: 9 });
    await used.sample(prompts.slice(0, 1), { ...SAMPLING, maxCompletionTokens: 2, seed: 9 });
    expect(await text(used)).toBe(expected);
    // A resumed run begins with a new cache, which may be shorter: not a bit of a log-probability depends on that.
    expect(await used.sample(prompts, SAMPLING)).toEqual(
      await (await open(undefined, { maxSlots: 4 })).sample(prompts, SAMPLING),
    );
  });
});

describe("files", () => {
  const filesOf = async (directory: string) =>
    Object.fromEntries(
      await Promise.all(
        (await readdir(directory))
          .sort()
          .map(async (name) => [name, (await readFile(join(directory, name))).toString("hex")]),
      ),
    );
  const saved = async (engine: Policy) => {
    const directory = await emptyDirectory();
    await engine.saveState(directory);
    return directory;
  };
  const train = async (engine: Policy, seed: number) => {
    await engine.forwardBackward(ragged(seed), LOSSES[1]!);
    await engine.optimStep(ADAM);
  };

  it("of a state that was gone on from are the same, byte for byte, as if there had been no break", async () => {
    const engine = await open();
    await engine.freezeReference();
    await train(engine, 1);
    const middle = await saved(engine);
    await train(engine, 2);
    const resumed = await open(modelValues(TIED, 99));
    await resumed.loadState(middle);
    expect(await filesOf(await saved(resumed))).toEqual(await filesOf(middle));
    await train(resumed, 2);
    expect(await filesOf(await saved(resumed))).toEqual(await filesOf(await saved(engine)));
  });

  it("of a model can be opened, saved and opened again with the same bits", async () => {
    const first = await openModel({ kind: "local" }, { path: await writeModel(TIED) }, Compute.open({ threads: 2 }));
    opened.push(first);
    await train(first, 1);
    const directory = await emptyDirectory();
    await first.saveWeights(directory);
    const second = await openModel({ kind: "local" }, { path: directory }, Compute.open({ threads: 2 }));
    opened.push(second);
    const options = { temperature: 1 } as const;
    expect(await second.score(ragged(3), options)).toEqual(await first.score(ragged(3), options));
    expect(second.info).toEqual({ ...first.info });
  });

  it("are written as bfloat16 where asked, close to what was trained", async () => {
    const engine = await openModel({ kind: "local" }, { path: await writeModel(TIED) }, Compute.open({ threads: 2 }));
    opened.push(engine);
    const directory = await emptyDirectory();
    await engine.saveWeights(directory, { dtype: "bfloat16" });
    expect((await inspectModel(directory)).dtypes).toEqual(["BF16"]);
    const rounded = await openModel({ kind: "local" }, { path: directory }, Compute.open({ threads: 2 }));
    opened.push(rounded);
    const options = { temperature: 1 } as const;
    const [exact, close] = [await engine.score(ragged(3), options), await rounded.score(ragged(3), options)];
    const difference = Math.max(
      ...exact.logprobs.flatMap((row, i) => [...row].map((value, j) => Math.abs(value - close.logprobs[i]![j]!))),
    );
    expect(difference).toBeGreaterThan(0);
    expect(difference).toBeLessThan(0.1);
  });

  it("of another model's state are refused, and nothing is taken from them: CheckpointError", async () => {
    const other = { ...TIED, hiddenSize: 24 };
    const stranger = await open(modelValues(other), {}, other);
    await train(stranger, 1);
    const engine = await open();
    await train(engine, 1);
    const before = await filesOf(await saved(engine));
    const directory = await saved(stranger);
    await expect(engine.loadState(directory)).rejects.toThrow(CheckpointError);
    await expect(engine.loadState(directory)).rejects.toThrow(/checkpoint of another model/);
    expect(await filesOf(await saved(engine))).toEqual(before);
  });

  it.each([
    ["JSON that is cut off", "{"],
    ["another format", JSON.stringify({ format: 99, optimizerSteps: 0, sets: ["weights"] })],
    ["a state without weights", JSON.stringify({ format: 1, optimizerSteps: 0, sets: [] })],
    ["a negative step count", JSON.stringify({ format: 1, optimizerSteps: -1, sets: ["weights"] })],
    ["an unknown key", JSON.stringify({ format: 1, optimizerSteps: 0, sets: ["weights"], more: 1 })],
    ["a set that the tensors lack", JSON.stringify({ format: 1, optimizerSteps: 0, sets: ["weights", "reference"] })],
  ])("with %s are refused: CheckpointError", async (_, json) => {
    const engine = await open();
    const directory = await saved(engine);
    await writeFile(join(directory, "engine.json"), json);
    await expect(engine.loadState(directory)).rejects.toThrow(CheckpointError);
  });

  it("are not written of weights that are not finite: CheckpointError", async () => {
    const values = modelValues(TIED);
    const engine = await open(values);
    values.get("embed")![3] = Number.NaN;
    await expect(engine.saveWeights(await emptyDirectory())).rejects.toThrow(/embed has values that are not finite/);
  });

  it("are asked for by name where a directory is no model: CheckpointError", async () => {
    await expect(
      openModel({ kind: "local" }, { path: await emptyDirectory() }, Compute.open({ threads: 2 })),
    ).rejects.toThrow(CheckpointError);
  });
});

describe("the embedded engine", () => {
  it("says what it is", async () => {
    const { info, capabilities } = await open();
    expect(capabilities).toMatchObject({ losses: ["cross_entropy", "grpo", "cispo", "sapo"], training: "full" });
    expect(info).toEqual({
      name: "local (cpu, 2 threads)",
      vocabSize: 29,
      maxContextTokens: 40,
      eosTokenIds: [1],
      parameterCount: [...modelValues(TIED).values()].reduce((sum, { length }) => sum + length, 0),
    });
  });

  it.each([
    [{ temperature: -1 }, /temperature -1/],
    [{ temperature: Number.NaN }, /temperature NaN/],
    [{ topP: 0 }, /topP 0/],
    [{ topP: 1.1 }, /topP 1.1/],
    [{ topK: -1 }, /topK -1/],
    [{ maxCompletionTokens: 0 }, /at least one/],
    [{ minCompletionTokens: -1 }, /minCompletionTokens -1/],
  ])("refuses to sample with %j: EngineError", async (change, message) => {
    const prompt = { tokens: Int32Array.of(3), numSamples: 1, promptId: 0 };
    const attempt = (await open()).sample([prompt], { ...SAMPLING, ...change });
    await expect(attempt).rejects.toThrow(message);
    await expect(attempt).rejects.toThrow(EngineError);
  });

  it("refuses to sample from weights that are no numbers, and says so: EngineError", async () => {
    const values = modelValues(TIED);
    const engine = await open(values);
    values.get("finalNorm")!.fill(Number.NaN);
    const prompt = { tokens: Int32Array.of(3), numSamples: 1, promptId: 0 };
    await expect(engine.sample([prompt], SAMPLING)).rejects.toThrow(EngineError);
    await expect(engine.sample([prompt], SAMPLING)).rejects.toThrow(/logits are not finite/);
  });

  it("lets the event loop go on while it samples and trains", async () => {
    const engine = await open();
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await engine.sample([{ tokens: Int32Array.of(3), numSamples: 30, promptId: 0 }], SAMPLING);
    await engine.forwardBackward(ragged(1, 20), LOSSES[0]!);
    clearInterval(timer);
    expect(ticks).toBeGreaterThanOrEqual(3);
  });

  it("keeps its memory flat over 40 steps of sampling and training on varying lengths", async () => {
    const engine = await open();
    const iterate = async (i: number) => {
      const prompts = [0, 1, 2].map((p) => ({
        tokens: new Int32Array(1 + ((i * 7 + p * 5) % 15)).fill(3 + p),
        numSamples: 6,
        promptId: p,
      }));
      const params = { ...SAMPLING, stopTokenIds: [], iteration: i, maxCompletionTokens: 1 + ((i * 11) % 24) };
      const samples = await engine.sample(prompts, params);
      const data = samples.map(({ promptIndex, tokens, logprobs }) => ({
        promptTokens: prompts[promptIndex]!.tokens,
        completionTokens: tokens,
        weights: new Float32Array(tokens.length).fill(0.01),
        advantages: new Float32Array(tokens.length).fill(1),
        samplerLogprobs: logprobs,
        refLogprobs: logprobs,
      }));
      await engine.forwardBackward(data, LOSSES[1]!);
      await engine.optimStep(ADAM);
    };
    for (let i = 0; i < 12; i++) await iterate(i);
    const before = process.memoryUsage().rss;
    for (let i = 12; i < 52; i++) await iterate(i);
    expect((process.memoryUsage().rss - before) / 2 ** 20).toBeLessThan(60);
  });
});
