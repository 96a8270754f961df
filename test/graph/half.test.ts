/** Numbers of 16 bits in graphs: emulated on the CPU, and lowered for devices that have them. */

import { describe, expect, it } from "vitest";
import type { Device } from "../../src/compute/device.ts";
import { samplingGraph, sequenceGraph } from "../../src/engine/local/programs.ts";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "../../src/float-formats.ts";
import { gradients } from "../../src/graph/gradient.ts";
import { lowerToOnnx } from "../../src/graph/onnx.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import { cast, scalarLike } from "../../src/graph/ops/cast.ts";
import { add, multiply } from "../../src/graph/ops/elementwise.ts";
import { matmul } from "../../src/graph/ops/matmul.ts";
import { reshape } from "../../src/graph/ops/shape.ts";
import { type LoweringTarget, ONNX_RUNTIME_CPU, ONNX_RUNTIME_CUDA } from "../../src/graph/target.ts";
import { Graph } from "../../src/graph/tensor.ts";
import type { HalfDType } from "../../src/graph/tensor-type.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { Random } from "../../src/random.ts";
import { MODELS, modelValues, openEngine } from "../engine/models.ts";
import { differences, someData, trained } from "../webgpu/compared.ts";
import { array } from "./arrays.ts";
import { device, evaluate } from "./evaluate.ts";

const HALVES: readonly HalfDType[] = ["bfloat16", "float16"];

/** f32 numbers rounded to 16 bits. */
function rounded(dtype: HalfDType, values: readonly number[]): number[] {
  const [wide, half] = [Float32Array.from(values), new Uint16Array(values.length)];
  (dtype === "bfloat16" ? toBfloat16 : toFloat16)(wide, half);
  (dtype === "bfloat16" ? fromBfloat16 : fromFloat16)(half, wide);
  return [...wide];
}

const random = new Random(1, "half");
/** Of many sizes, with ties between two numbers of either dtype, subnormal ones of float16, and one that overflows it. */
const NUMBERS = [
  ...[1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 2 ** -25, 3 * 2 ** -25, 65519, 70000, -0],
  ...Array.from({ length: 64 }, (_, i) => random.normal() * 2 ** ((i % 30) - 20)),
];
/** How ONNX Runtime rounds is seen in what it computes: ties to even. */
const asFloat32 = (values: readonly number[]) => values.map((value) => Math.fround(value));

describe.each(HALVES)("%s on the CPU", (dtype) => {
  it("is rounded to by a cast as torch rounds, and widened exactly; the gradient is rounded, too", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["n"]);
    const y = cast(cast(x, dtype), "float32");
    const [slope] = gradients(sum(multiply(y, graph.scalar(1 + 2 ** -9))), [x]);
    const result = await evaluate(graph, { y, slope: slope! }, { x: array([NUMBERS.length], asFloat32(NUMBERS)) });
    expect(result.y.values).toEqual(rounded(dtype, NUMBERS));
    expect(new Set(result.slope.values)).toEqual(new Set(rounded(dtype, [1 + 2 ** -9])));
  });

  it("rounds each operation once, after sums in float32", async () => {
    const graph = new Graph();
    const [a, b] = [graph.input("a", "float32", [3, 40]), graph.input("b", "float32", [2, 40])];
    const product = matmul(cast(a, dtype), cast(b, dtype), { transposeB: true });
    const y = cast(add(product, scalarLike(product, 1 / 3)), "float32");
    const values = (count: number) => Array.from({ length: count }, () => Math.fround(random.normal()));
    const feeds = { a: array([3, 40], values(120)), b: array([2, 40], values(80)) };
    const [wideA, wideB] = [rounded(dtype, feeds.a.values), rounded(dtype, feeds.b.values)];
    const expected = [0, 1, 2].flatMap((i) =>
      [0, 1].map((j) => {
        const exact = wideA.slice(40 * i, 40 * i + 40).reduce((total, own, k) => total + own * wideB[40 * j + k]!, 0);
        return rounded(dtype, [rounded(dtype, [exact])[0]! + rounded(dtype, [1 / 3])[0]!])[0]!;
      }),
    );
    expect((await evaluate(graph, { y }, feeds)).y.values).toEqual(expected);
  });

  it("is what inputs are held in, and widened where they are read, behind a reshape too", async () => {
    const graph = new Graph();
    const x = graph.input("x", dtype, [2, 2]);
    const y = cast(add(reshape(x, [4]), reshape(x, [4])), "float32");
    const lowered = lowerToOnnx(graph, { y });
    expect(lowered.inputs).toEqual([{ name: "x", dtype, shape: [2, 2] }]);
    const bits = new Uint16Array(4);
    (dtype === "bfloat16" ? toBfloat16 : toFloat16)(Float32Array.of(1, -2, 0.5, 3), bits);
    const session = await device.load(lowered);
    const [input, output] = [device.allocate(dtype, [2, 2]), device.allocate("float32", [4])];
    device.upload(input, bits);
    await session.bind([input], [output])();
    expect([...output.data]).toEqual([2, -4, 1, 6]);
  });
});

const GRPO = { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.2, klCoef: 0.04, temperature: 1 } as LossSpec;
const LORA = { rank: 3, alpha: 6, dropout: 0.2, rsLora: false, targets: ALL_LORA_TARGETS };
const config = MODELS["untied, biases, no norms, heads of 16"];

describe("programs in 16 bits for devices that have them", () => {
  it.each(HALVES)(
    "in %s have operands of one type everywhere: ONNX Runtime finds no other fault than missing kernels",
    async (dtype) => {
      const form = { dtype };
      const graphs = [
        samplingGraph(config, form, { cacheDType: dtype }),
        sequenceGraph(config, GRPO, { form, recompute: true }),
        sequenceGraph(config, GRPO, { form: { ...form, lora: LORA, quantization: "nf4" } }),
      ];
      for (const { graph, outputs } of graphs) {
        const reason = await device.load(lowerToOnnx(graph, outputs, ONNX_RUNTIME_CUDA)).then(
          (session) => session.dispose(),
          (error: Error) => error.message,
        );
        // It has kernels for float16, by casts of its own, and none for bfloat16.
        if (reason !== undefined) expect(reason).toMatch(/NOT_IMPLEMENTED|Could not find an implementation/);
      }
    },
  );

  it("in float16 compute what is emulated, by ONNX Runtime's own casts", async () => {
    const target: LoweringTarget = { ...ONNX_RUNTIME_CPU, computes: new Set(["float16"]), emulates: new Set() };
    const native = new Proxy(device as Device, {
      get: (own, key) => {
        if (key === "target") return target;
        if (key === "name") return "cpu with float16";
        const value: unknown = own[key as keyof Device];
        return typeof value === "function" ? value.bind(own) : value;
      },
    });
    // Small enough that nothing overflows at the first scale of the loss: those casts leave out roundings in between.
    const data = someData(config.vocabSize).map((one) => ({
      ...one,
      weights: one.weights.map((weight) => weight / 64),
    }));
    const outcome = async (on: Device) => {
      const engine = await openEngine(config, modelValues(config), {}, { dtype: "float16" }, undefined, on);
      const result = await trained(engine, data, GRPO);
      const sampling = { temperature: 1, topP: 1, topK: 0, stopTokenIds: [1], seed: 1, iteration: 0 };
      const prompts = [{ tokens: Int32Array.of(3, 4, 5), numSamples: 3, promptId: 0 }];
      const samples = await engine.sample(prompts, { ...sampling, maxCompletionTokens: 8 });
      await engine.dispose();
      return { result, lengths: samples.map(({ tokens }) => tokens.length) };
    };
    const [found, expected] = [await outcome(native), await outcome(device)];
    expect(differences(found.result, expected.result).norm).toBeLessThan(0.02);
    expect(differences(found.result, expected.result).loss).toBeLessThan(0.02);
    expect(found.lengths.every((length) => length > 0)).toBe(true);
  });
});
