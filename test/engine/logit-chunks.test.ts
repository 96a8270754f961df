import { afterEach, describe, expect, it, vi } from "vitest";
import { Compute } from "../../src/compute/compute.ts";
import type { AdamParams, Datum, Policy } from "../../src/engine/contract/policy.ts";
import { sequenceGraph } from "../../src/engine/local/programs.ts";
import { openEngine as openModel } from "../../src/engine/open.ts";
import { ConfigError } from "../../src/errors.ts";
import type { Shape } from "../../src/graph/dim.ts";
import { Graph } from "../../src/graph/tensor.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import type { ParameterValues } from "../../src/model/parameters.ts";
import { Random } from "../../src/random.ts";
import { MODELS, modelValues, openEngine, writeModel } from "./models.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

const LOSSES: readonly LossSpec[] = [
  { name: "cross_entropy" },
  { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.3, klCoef: 0.2, temperature: 0.8 },
];
/** AdamW as gradient descent at rate 1: see `gradientDescent` of the conformance suite. */
const DESCENT: AdamParams = { learningRate: 1e12, beta1: 0, beta2: 0, epsilon: 1e12, weightDecay: 0, maxGradNorm: 0 };

/** Two prompts with three completions each, of lengths that share no divisor with a chunk. */
function ragged(vocabSize: number, seed = 1): Datum[] {
  const random = new Random(seed, "chunks");
  const tokens = (length: number) => Int32Array.from({ length }, () => random.integer(vocabSize));
  return [4, 1].flatMap((promptLength) => {
    const promptTokens = tokens(promptLength);
    return Array.from({ length: 3 }, () => {
      const length = 1 + random.integer(9);
      const column = (draw: () => number) => Float32Array.from({ length }, draw);
      return {
        promptTokens,
        completionTokens: tokens(length),
        weights: column(() => 0.02 + 0.02 * random.uniform()),
        advantages: column(() => random.normal()),
        samplerLogprobs: column(() => -3.4 + 0.2 * random.normal()),
        refLogprobs: column(() => -3.4 + 0.2 * random.normal()),
      };
    });
  });
}

/** Everything that a call of `forwardBackward` finds out: its result and the gradient of each parameter. */
async function learned(
  config: ModelConfig,
  loss: LossSpec,
  logitChunkTokens?: number,
  data = ragged(config.vocabSize),
) {
  const values = modelValues(config);
  const before: ParameterValues = new Map([...values].map(([name, weights]) => [name, weights.slice()]));
  const engine: Policy = await openEngine(config, values, {
    microBatchTokens: 24,
    ...(logitChunkTokens && { logitChunkTokens }),
  });
  const scores = await engine.score(data, { temperature: 0.7, policy: "policy" });
  const result = await engine.forwardBackward(data, loss);
  await engine.optimStep(DESCENT);
  await engine.dispose();
  const gradients = new Map([...values].map(([name, w]) => [name, before.get(name)!.map((value, i) => value - w[i]!)]));
  return { scores, result, gradients };
}

const norm = (values: Iterable<number>) => Math.hypot(...values);
const gap = (a: Float32Array, b: Float32Array) => norm(a.map((value, i) => value - b[i]!)) / norm(b);

describe.each(Object.entries(MODELS))("logits in chunks, %s", (_, config) => {
  const cases = LOSSES.flatMap((loss) => [1, 3, 7, 1000].map((chunk) => [loss.name, chunk, loss] as const));
  it.each(cases)("%s in chunks of %i tokens: as with whole logits, to 1e-6 relative", async (_, chunk, loss) => {
    const [whole, chunked] = [await learned(config, loss), await learned(config, loss, chunk)];
    expect(Math.abs(chunked.result.loss / whole.result.loss - 1)).toBeLessThan(1e-6);
    for (const [own, expected] of [
      [chunked.scores, whole.scores],
      [chunked.result, whole.result],
    ] as const) {
      for (const name of ["logprobs", "entropies"] as const) {
        own[name]!.forEach((row, i) => {
          expect(gap(row, expected[name]![i]!), name).toBeLessThan(1e-6);
        });
      }
    }
    const flat = ({ gradients }: typeof whole) => Float32Array.from([...gradients.values()].flatMap((own) => [...own]));
    expect(gap(flat(chunked), flat(whole))).toBeLessThan(1e-6);
    for (const [name, gradient] of chunked.gradients) {
      // Looser one by one: what reaches queries and keys is a small difference of large terms, and keeps their rounding.
      expect(gap(gradient, whole.gradients.get(name)!), name).toBeLessThan(3e-5);
    }
  });
});

describe("gradients through chunks", () => {
  it.each(LOSSES)("of $name agree with finite differences along a random direction", async (loss) => {
    const config = MODELS["tied, query and key norms"];
    const data = ragged(config.vocabSize, 4);
    // Ratios inside the clip: at its edges the loss has no derivative.
    const temperature = loss.name === "grpo" ? loss.temperature : 1;
    const values = modelValues(config);
    const engine = await openEngine(config, values, { microBatchTokens: 24, logitChunkTokens: 3 });
    const { logprobs } = await engine.score(data, { temperature });
    data.forEach((datum, i) => {
      datum.samplerLogprobs!.set(logprobs[i]!.map((logprob, t) => logprob + (t % 2 ? 0.1 : -0.1)));
      datum.refLogprobs!.set(logprobs[i]!.map((logprob, t) => logprob + (t % 2 ? 0.5 : -0.4)));
    });
    const { gradients } = await learned(config, loss, 3, data);
    const random = new Random(11, "direction");
    const start: ParameterValues = new Map([...values].map(([name, weights]) => [name, weights.slice()]));
    const direction = new Map([...values].map(([name, w]) => [name, w.map(() => (random.uniform() < 0.5 ? -1 : 1))]));
    const lossAt = async (distance: number) => {
      for (const [name, weights] of values) {
        weights.set(start.get(name)!.map((value, i) => value + distance * direction.get(name)![i]!));
      }
      return (await engine.forwardBackward(data, loss)).loss;
    };
    const step = 5e-4;
    const slope = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
    await engine.dispose();
    const slopes = [...gradients].map(([name, own]) =>
      own.reduce((sum, g, i) => sum + g * direction.get(name)![i]!, 0),
    );
    const expected = slopes.reduce((sum, part) => sum + part, 0);
    expect(Math.abs(slope / expected - 1)).toBeLessThan(0.02);
  });
});

describe("the graph for a large vocabulary", () => {
  const config: ModelConfig = { ...MODELS["tied, query and key norms"], vocabSize: 151_936 };

  /** The shape of every tensor of the graph, bodies of loops included. */
  function shapesOf(chunked: boolean, loss: LossSpec | null): Shape[] {
    const shapes: Shape[] = [];
    const apply = Graph.prototype.apply;
    vi.spyOn(Graph.prototype, "apply").mockImplementation(function (this: Graph, ...args) {
      const tensors = apply.apply(this, args);
      shapes.push(...tensors.map(({ shape }) => shape));
      return tensors;
    });
    sequenceGraph(config, loss, { chunked });
    vi.restoreAllMocks();
    return shapes;
  }

  /** Sizes beside the vocabulary in tensors that have it as an axis. */
  const besideVocabulary = (shapes: readonly Shape[]) => {
    const rows = shapes
      .filter((shape) => shape.includes(config.vocabSize))
      .map((s) => s.filter((d) => d !== config.vocabSize && d !== 1));
    return [...new Set(rows.map((dims) => dims.join("*")))].sort();
  };

  it.each([null, ...LOSSES])("has no tensor of all tokens by the vocabulary, with loss %j", (loss) => {
    // The embedding and its gradient are [V, H]; logits are [U, V], U tokens being one chunk.
    expect(besideVocabulary(shapesOf(true, loss))).toEqual([`${config.hiddenSize}`, "U"]);
    expect(besideVocabulary(shapesOf(false, loss))).toEqual([`${config.hiddenSize}`, "C*S"]);
  });
});

describe("where logits are in chunks", () => {
  const config = MODELS["tied, query and key norms"];

  it("is decided by the budget of a micro-batch, and by a sequence that exceeds it alone", async () => {
    const chunkedGraphs = async (logitChunkTokens: number, data: Datum[]) => {
      const inputs = vi.spyOn(Graph.prototype, "input");
      await learned(config, LOSSES[0]!, logitChunkTokens, data);
      const count = inputs.mock.calls.filter(([name]) => name === "logitRows").length;
      inputs.mockRestore();
      return count;
    };
    const short = ragged(config.vocabSize);
    const tokens = new Int32Array(30).fill(3);
    const long = { promptTokens: tokens.subarray(0, 2), completionTokens: tokens, weights: new Float32Array(30) };
    // The budget of these tests is 24 positions; one graph scores and one trains.
    expect(await chunkedGraphs(24, short)).toBe(0);
    expect(await chunkedGraphs(23, short)).toBe(2);
    expect(await chunkedGraphs(24, [...short, long])).toBe(2);
    expect(await chunkedGraphs(30, [...short, long])).toBe(0);
  });

  it.each([0, -1, 1.5, Number.NaN])("%d tokens in a chunk are refused: ConfigError", async (logitChunkTokens) => {
    const opened = openModel({ kind: "local", logitChunkTokens }, { path: "nowhere" }, Compute.open({ threads: 2 }));
    await expect(opened).rejects.toThrow(ConfigError);
    await expect(opened).rejects.toThrow(/logitChunkTokens/);
  });

  it("createLocalEngine takes their size", async () => {
    const inputs = vi.spyOn(Graph.prototype, "input");
    const engine = await openModel(
      { kind: "local", logitChunkTokens: 5 },
      { path: await writeModel(config) },
      Compute.open({ threads: 2 }),
    );
    await engine.score(ragged(config.vocabSize), { temperature: 1 });
    await engine.dispose();
    expect(inputs.mock.calls.some(([name]) => name === "logitRows")).toBe(true);
  });
});

describe("padding", () => {
  it.each([undefined, 3])("adds nothing, however improbable token 0 is there (chunks of %s)", async (chunk) => {
    const config = MODELS["untied, biases, no norms, heads of 16"];
    const values = modelValues(config);
    // Logits of token 0 hundreds below all others: exp(0 − logprob) is not finite in f32.
    const bias = values.get("finalNorm")!;
    bias.fill(1);
    const head = values.get("head")!;
    const width = config.hiddenSize;
    for (let i = 0; i < head.length; i++) head[i] = i < width ? 0 : 30 * head[i]!;
    const data = ragged(config.vocabSize, 3).map((datum) => ({
      ...datum,
      completionTokens: datum.completionTokens.map((token) => Math.max(1, token)),
    }));
    const engine = await openEngine(config, values, {
      microBatchTokens: 64,
      ...(chunk && { logitChunkTokens: chunk }),
    });
    const loss: LossSpec = { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.2, klCoef: 0.1, temperature: 0.05 };
    const { logprobs } = await engine.score(data, { temperature: loss.temperature, policy: "policy" });
    data.forEach((datum, i) => {
      datum.samplerLogprobs!.set(logprobs[i]!);
      datum.refLogprobs!.set(logprobs[i]!);
    });
    const result = await engine.forwardBackward(data, loss);
    const { gradNorm } = await engine.optimStep(DESCENT);
    await engine.dispose();
    expect(Math.min(...logprobs.flatMap((row) => [...row]))).toBeLessThan(-89);
    expect(Number.isFinite(result.loss)).toBe(true);
    expect(Number.isFinite(gradNorm)).toBe(true);
  });
});
