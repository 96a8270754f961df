/** Custom losses as the official SDK uploads them: their numbers beside PyTorch's, and what is refused. */

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { evaluateCustomLoss } from "../../src/serve/tinker/custom-loss/custom-loss.ts";
import { RequestBudget } from "../../src/serve/tinker/custom-loss/loss-array.ts";
import { readTracedLoss } from "../../src/serve/tinker/custom-loss/traced-graph.ts";
import { floatTensor, integerTensor, type WireDatum, type WireTensor } from "../../src/tinker/messages.ts";

type Nested = number | readonly Nested[];

interface Golden {
  readonly name: string;
  readonly upload: string;
  readonly data: readonly {
    readonly inputs: Readonly<Record<string, Nested>>;
    readonly loss: number;
    readonly slopes: readonly number[];
    readonly metrics: Readonly<Record<string, number>>;
  }[];
}

const goldens = JSON.parse(
  readFileSync(new URL("../golden/custom-losses.json", import.meta.url), "utf8"),
) as readonly Golden[];

function tensorOf(value: Nested, isWhole: boolean): WireTensor {
  const shape: number[] = [];
  for (let at = value; Array.isArray(at); at = at[0] as Nested) shape.push(at.length);
  const numbers = [value].flat(3) as number[];
  return isWhole ? integerTensor(Int32Array.from(numbers), shape) : floatTensor(Float32Array.from(numbers), shape);
}

function datumOf(inputs: Readonly<Record<string, Nested>>): WireDatum {
  const entries = Object.entries(inputs).filter(([name]) => name !== "logprobs");
  return {
    modelInput: [],
    lossFnInputs: new Map(entries.map(([name, value]) => [name, tensorOf(value, name === "labels")])),
    modelInputSpans: [],
    lossFnInputSpans: [],
  };
}

const near = (actual: number, expected: number, tolerance: number) =>
  Math.abs(actual - expected) <= tolerance * Math.max(1, Math.abs(expected));

/** Inputs travel as float32, and PyTorch's casts to it are not double precision. */
const TOLERANCE = 2e-6;

describe.each(goldens)("the loss $name", ({ upload, data }) => {
  const loss = readTracedLoss(upload);

  it("has PyTorch's numbers: the loss, its slopes, the metrics", async () => {
    for (const { inputs, loss: expected, slopes, metrics } of data) {
      const logprobs = Float32Array.from(inputs.logprobs as number[]);
      const result = await evaluateCustomLoss(loss, [datumOf(inputs)], [logprobs], true);
      const own = Object.fromEntries(result.metrics);
      const wrong = Object.keys(metrics).filter((key) => !near(own[key]!, metrics[key]!, TOLERANCE));
      expect(wrong.map((key) => [key, own[key], metrics[key]])).toEqual([]);
      expect(near(result.loss, expected, TOLERANCE), `${result.loss} for ${expected}`).toBe(true);
      const scale = Math.max(1, ...slopes.map(Math.abs));
      const gaps = slopes.map((slope, i) => Math.abs(slope - result.slopes[0]![i]!));
      expect(Math.max(...gaps) / scale).toBeLessThan(TOLERANCE);
    }
  });
});

/** What was detached has no slope and moves all the same; at an edge the slope is one of two. */
const smooth = goldens.filter(({ upload, name }) => !upload.includes('"detach"') && name !== "edges");

it.each(smooth)("$name has the slopes that differences have", async ({ upload, data }) => {
  const loss = readTracedLoss(upload);
  for (const { inputs } of data) {
    const logprobs = Float64Array.from(inputs.logprobs as number[]);
    const at = (values: Float64Array) => evaluateCustomLoss(loss, [datumOf(inputs)], [values], true);
    const [slopes] = (await at(logprobs)).slopes;
    const step = 1e-6;
    for (let i = 0; i < logprobs.length; i++) {
      const moved = async (by: number) => (await at(logprobs.with(i, logprobs[i]! + by))).loss;
      const difference = ((await moved(step)) - (await moved(-step))) / (2 * step);
      expect(Math.abs(difference - slopes![i]!)).toBeLessThan(1e-5 * Math.max(1, Math.abs(difference)));
    }
  }
});

it("adds up data, and metrics by their ends", async () => {
  const golden = goldens.find(({ name }) => name === "clipped_policy")!;
  const data = golden.data.map(({ inputs }) => datumOf(inputs));
  const logprobs = golden.data.map(({ inputs }) => Float32Array.from(inputs.logprobs as number[]));
  const result = await evaluateCustomLoss(readTracedLoss(golden.upload), data, logprobs, false);
  const sum = (of: (datum: Golden["data"][number]) => number) =>
    golden.data.reduce((total, datum) => total + of(datum), 0);
  expect(result.slopes).toEqual([]);
  expect(result.loss).toBeCloseTo(
    sum((datum) => datum.loss),
    5,
  );
  const tokens = "custom/tokens:sum";
  const ratio = "custom/ratio/max:mean";
  expect(result.metrics.get(tokens)).toBe(sum((datum) => datum.metrics[tokens]!));
  expect(result.metrics.get(ratio)).toBeCloseTo(sum((datum) => datum.metrics[ratio]!) / data.length, 5);
});

const ref = (name: string) => ({ ref: name });
const input = (name: string) => ({ op: "placeholder", name, target: name, args: [], kwargs: {} });
const call = (name: string, target: string, ...args: unknown[]) => ({
  ...{
    op: target.includes(".") || target === "getattr" ? "call_function" : "call_method",
    name,
    target,
    args,
    kwargs: {},
  },
});
const output = (loss: unknown, metrics: object = {}) => ({
  ...{ op: "output", name: "output", target: "output", args: [{ tuple: [loss, { dict: metrics }] }], kwargs: {} },
});

function uploadOf(
  nodes: readonly object[],
  inputs: readonly object[] = [
    { name: "logprobs", rank: 1 },
    { name: "weights", rank: 1 },
  ],
) {
  return JSON.stringify({ name: "own", inputs, graph: { format: 1, nodes } });
}

function cancelled() {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort(new Error("Nobody wants it.")) };
}

const INPUTS = [input("logprobs"), input("weights")];
const SUM = call("total", "sum", ref("logprobs"));

describe("a graph is refused, by its node,", () => {
  it.each<[string, readonly object[], RegExp]>([
    [
      "for a function that is not known",
      [...INPUTS, call("x", "torch.linalg.svd", ref("weights")), output(ref("x"))],
      /"x" \(torch\.linalg\.svd\) is not among/,
    ],
    [
      "for a method that is not known",
      [...INPUTS, call("x", "backward", ref("logprobs")), output(ref("x"))],
      /"x" \(the method backward\)/,
    ],
    [
      "for one of Object.prototype",
      [...INPUTS, call("x", "constructor", ref("logprobs")), output(ref("x"))],
      /constructor/,
    ],
    ["that changes what it is given", [...INPUTS, call("x", "exp_", ref("logprobs")), output(ref("x"))], /exp_/],
    ["that captures a tensor", [...INPUTS, { ...SUM, op: "get_attr" }, output(ref("total"))], /get_attr/],
    ["that calls a module", [...INPUTS, { ...SUM, op: "call_module" }, output(ref("total"))], /call_module/],
    [
      "that refers forward",
      [...INPUTS, call("x", "sum", ref("y")), call("y", "exp", ref("x")), output(ref("y"))],
      /"x".*refers to "y"/,
    ],
    ["that refers to itself", [...INPUTS, call("x", "sum", ref("x")), output(ref("x"))], /refers to "x"/],
    ["that refers to nothing", [...INPUTS, SUM, output(ref("nowhere"))], /refers to "nowhere"/],
    ["with one name twice", [...INPUTS, SUM, SUM, output(ref("total"))], /the name of a node before it/],
    ["that is cut", [...INPUTS, SUM], /no output/],
    ["that goes on", [...INPUTS, SUM, output(ref("total")), SUM], /nodes follow it/],
    ["without all inputs", [input("logprobs"), SUM, output(ref("total"))], /before all inputs/],
    [
      "with other inputs",
      [input("weights"), input("logprobs"), SUM, output(ref("total"))],
      /is not the next input, which is logprobs/,
    ],
    [
      "with too many arguments",
      [...INPUTS, call("x", "torch.exp", ref("weights"), 1, 2), output(ref("x"))],
      /"x".*takes 1 arguments/,
    ],
    ["with too few", [...INPUTS, call("x", "torch.maximum", ref("weights")), output(ref("x"))], /no argument other/],
    [
      "with an argument that it does not have",
      [...INPUTS, { ...SUM, kwargs: { speed: 1 } }, output(ref("total"))],
      /no argument speed/,
    ],
    [
      "that writes elsewhere",
      [...INPUTS, { ...SUM, kwargs: { out: ref("weights") } }, output(ref("total"))],
      /no argument out/,
    ],
    [
      "with an argument of an unknown form",
      [...INPUTS, call("x", "sum", { module: "os" }), output(ref("x"))],
      /the form "module"/,
    ],
    [
      "with an unknown dtype",
      [...INPUTS, call("x", "to", ref("logprobs"), { dtype: "float8" }), output(ref("x"))],
      /dtype "float8"/,
    ],
    ["without a loss", [...INPUTS, SUM, output(3)], /not \(loss, metrics\)/],
    [
      "with a metric of another name",
      [...INPUTS, SUM, output(ref("total"), { "loss:sum": ref("total") })],
      /custom\/<name>/,
    ],
    [
      "with a metric that is a constant",
      [...INPUTS, SUM, output(ref("total"), { "custom/a:sum": 1 })],
      /no node computes/,
    ],
    ["of too many nodes", Array.from({ length: 2001 }, (_, i) => input(`n${i}`)), /Too big|2000/],
    [
      "nested too deeply",
      [...INPUTS, call("x", "sum", JSON.parse("[".repeat(20) + "]".repeat(20))), output(ref("x"))],
      /nested more than 8/,
    ],
    ["of another form", [{ name: "logprobs" }], /expected form/],
  ])("%s", (_, nodes, message) => {
    expect(() => readTracedLoss(uploadOf(nodes))).toThrow(message);
  });

  it("for logprobs of two dimensions, or none", () => {
    const nodes = [input("logprobs"), SUM, output(ref("total"))];
    expect(() => readTracedLoss(uploadOf(nodes, [{ name: "logprobs", rank: 2 }]))).toThrow(/two dimensions/);
    expect(() => readTracedLoss(uploadOf(nodes, [{ name: "weights", rank: 1 }]))).toThrow(/logprobs as its first/);
  });
});

describe("a loss fails, by datum and node,", () => {
  const evaluate = (nodes: readonly object[], weights: Nested = [1, 2]) =>
    evaluateCustomLoss(
      readTracedLoss(uploadOf([...INPUTS, ...nodes])),
      [datumOf({ logprobs: [-1, -2], weights: [1, 2] }), datumOf({ logprobs: [-1, -2], weights })],
      [Float32Array.of(-1, -2), Float32Array.of(-1, -2)],
      true,
    );

  it.each<[string, readonly object[], Nested, RegExp]>([
    ["that is no scalar", [output(ref("logprobs"))], [1, 2], /Datum 0: .*"own" comes to the shape \[2\]/],
    ["that is no float", [call("x", "numel", ref("logprobs")), output(ref("x"))], [1, 2], /the number 2/],
    [
      "that is NaN",
      [call("x", "operator.mul", ref("total"), { float: "nan" }), output(ref("x"))],
      [1, 2],
      /comes to NaN/,
    ],
    [
      "whose slope is not finite",
      [
        call("x", "exp", ref("logprobs")),
        call("y", "operator.sub", ref("x"), ref("x")),
        call("z", "sqrt", ref("y")),
        call("s", "sum", ref("z")),
        output(ref("s")),
      ],
      [1, 2],
      /slope .* at position 0/,
    ],
    [
      "that does not depend on logprobs",
      [call("x", "sum", ref("weights")), output(ref("x"))],
      [1, 2],
      /does not depend on logprobs/,
    ],
    ["that depends on them detached", [call("x", "detach", ref("total")), output(ref("x"))], [1, 2], /does not depend/],
    [
      "of an input with other dimensions",
      [output(ref("total"))],
      [[1, 2]],
      /weights of Datum 1 has the shape \[1, 2\]; .* takes 1/,
    ],
    [
      "of arrays that do not fit",
      [call("x", "operator.mul", ref("logprobs"), ref("weights")), output(ref("total"))],
      [1, 2, 3],
      /Datum 1: .*"x" \(operator\.mul\) takes shapes that broadcast, not \[2\] and \[3\]/,
    ],
    [
      "with an index that is not there",
      [call("x", "operator.getitem", ref("logprobs"), 5), output(ref("x"))],
      [1, 2],
      /index 5; there are 2/,
    ],
    [
      "with a mean of bools",
      [call("x", "operator.gt", ref("logprobs"), 0), call("y", "mean", ref("x")), output(ref("y"))],
      [1, 2],
      /convert with \.float/,
    ],
    [
      "with a metric that is no scalar",
      [output(ref("total"), { "custom/a:sum": ref("logprobs") })],
      [1, 2],
      /metric custom\/a:sum/,
    ],
    [
      "with an attribute that is not known",
      [call("x", "getattr", ref("logprobs"), "__class__"), output(ref("total"))],
      [1, 2],
      /"__class__"/,
    ],
    [
      "that takes too much memory",
      [call("x", "new_zeros", ref("logprobs"), 1e6, 1e6), output(ref("total"))],
      [1, 2],
      /more than 16777216 elements/,
    ],
    [
      "that would fill memory with nothing",
      [call("x", "new_zeros", ref("logprobs"), 1e9, 0), call("y", "sum", ref("x"), 1), output(ref("total"))],
      [1, 2],
      /elements for one datum/,
    ],
    [
      "that would fill memory with arrays of nothing",
      [
        call("none", "operator.getitem", ref("logprobs"), { slice: [0, 0, null] }),
        call("rows", "reshape", ref("none"), 4096, 0),
        ...Array.from({ length: 40 }, (_, i) => call(`x${i}`, "unbind", ref("rows"))),
        output(ref("total")),
      ],
      [1, 2],
      /"x\d+" \(the method unbind\) makes arrays of more than \d+ elements for one datum/,
    ],
    [
      "that would take long over rows of nothing",
      [
        call("x", "new_zeros", ref("logprobs"), 1e5, 1),
        call("none", "new_zeros", ref("logprobs"), 1e5, 0),
        call("y", "torch.cat", [ref("x"), ...new Array(200).fill(ref("none"))], 1),
        output(ref("total")),
      ],
      [1, 2],
      /elements for one datum/,
    ],
    [
      "that picks nothing of a huge nothing",
      [
        call("none", "new_zeros", ref("logprobs"), 1e9, 0),
        call("at", "torch.arange", 0),
        call("y", "operator.getitem", ref("none"), { tuple: [{ slice: [null, null, null] }, ref("at")] }),
        output(ref("total")),
      ],
      [1, 2],
      /elements for one datum/,
    ],
    [
      "that takes bits of many numbers",
      [call("x", "torch.arange", 2_000_000), call("y", "operator.and_", ref("x"), 1), output(ref("total"))],
      [1, 2],
      /operator\.and_\) makes arrays of more than/,
    ],
    [
      "with steps that are not whole, in whole numbers",
      [{ ...call("x", "torch.arange", 0, 1, 0.5), kwargs: { dtype: { dtype: "int64" } } }, output(ref("total"))],
      [1, 2],
      /takes a whole start and a whole step for int64, not 0 and 0\.5/,
    ],
    [
      "with a fraction among whole numbers",
      [call("x", "torch.arange", 3), call("y", "operator.pow", ref("x"), -1), output(ref("total"))],
      [1, 2],
      /divides a whole number by zero/,
    ],
    [
      "with a fraction as a whole number",
      [call("x", "torch.arange", 2, 4), call("y", "operator.pow", ref("x"), -1), output(ref("total"))],
      [1, 2],
      /comes to 0\.5, which int64 does not have/,
    ],
    [
      "with infinity as a whole number",
      [
        { ...call("x", "new_full", ref("logprobs"), [2], { float: "inf" }), kwargs: { dtype: { dtype: "int64" } } },
        call("y", "operator.and_", ref("x"), 1),
        output(ref("total")),
      ],
      [1, 2],
      /comes to Infinity, which int64 does not have/,
    ],
    [
      "with an int that is too large",
      [call("n", "numel", ref("logprobs")), call("x", "operator.pow", ref("n"), 2000), output(ref("total"))],
      [1, 2],
      /comes to Infinity, not to a whole number/,
    ],
  ])("%s", async (_, nodes, weights, message) => {
    await expect(evaluate([SUM, ...nodes], weights)).rejects.toThrow(message);
  });

  it("whose data take more than one request may", async () => {
    const loss = readTracedLoss(uploadOf([...INPUTS, SUM, output(ref("total"))]));
    const data = Array.from({ length: 10 }, () => datumOf({ weights: [1] }));
    const logprobs = data.map(() => Float32Array.of(-1));
    await evaluateCustomLoss(loss, data, logprobs, true);
    const asked = evaluateCustomLoss(loss, data, logprobs, true, { budget: new RequestBudget(1000) });
    await expect(asked).rejects.toThrow(/Datum [1-9]: .*send fewer data at once/);
  });

  it("between two nodes, where it is cancelled: others had their turn", async () => {
    const nodes = Array.from({ length: 200 }, (_, i) => call(`x${i}`, "exp", ref("zeros")));
    const zeros = call("zeros", "new_zeros", ref("logprobs"), 50_000);
    const loss = readTracedLoss(uploadOf([...INPUTS, zeros, ...nodes, SUM, output(ref("total"))]));
    const { signal, abort } = cancelled();
    const asked = evaluateCustomLoss(loss, [datumOf({ weights: [1] })], [Float32Array.of(-1)], true, { signal });
    setImmediate(abort);
    await expect(asked).rejects.toThrow("Nobody wants it.");
  });

  it("whose input is missing", async () => {
    const loss = readTracedLoss(uploadOf([...INPUTS, SUM, output(ref("total"))]));
    await expect(evaluateCustomLoss(loss, [datumOf({})], [Float32Array.of(-1)], true)).rejects.toThrow(
      /Datum 0 has no weights in its loss_fn_inputs/,
    );
  });

  it("while 1.0 is a float and 1 an int", async () => {
    const graph = (number: string) =>
      uploadOf([
        ...INPUTS,
        call("count", "operator.gt", ref("logprobs"), -5),
        call("sum_1", "sum", ref("count")),
        call("x", "operator.mul", ref("sum_1"), "NUMBER"),
        call("m", "mean", ref("x")),
        SUM,
        output(ref("total"), { "custom/m:sum": ref("m") }),
      ]).replace('"NUMBER"', number);
    const run = (number: string) =>
      evaluateCustomLoss(readTracedLoss(graph(number)), [datumOf({ weights: [1] })], [Float32Array.of(-1)], true);
    expect((await run("1.0")).metrics.get("custom/m:sum")).toBe(1);
    await expect(run("1")).rejects.toThrow(/takes floats, not int64/);
  });
});
