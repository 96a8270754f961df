import { afterAll, describe, expect, it } from "vitest";
import { CpuDevice } from "../../src/compute/cpu/cpu-device.ts";
import type { DeviceTensor } from "../../src/compute/device.ts";
import { allocateHost, fill, HostInput, read } from "../../src/compute/host-memory.ts";
import { compile } from "../../src/compute/program.ts";
import { GraphError, RuntimeFailure } from "../../src/errors.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import { add, exponential, multiply } from "../../src/graph/ops/elementwise.ts";
import { matmul } from "../../src/graph/ops/matmul.ts";
import { reshape } from "../../src/graph/ops/shape.ts";
import { Graph, type Operation } from "../../src/graph/tensor.ts";
import { dataOf, device, numbersOf } from "../graph/evaluate.ts";

function floats(dims: readonly number[], ...values: number[]): DeviceTensor<"float32"> {
  const tensor = device.allocate("float32", dims);
  tensor.data.set(values);
  return tensor;
}

/** y = x + step and total = Σ x, of x [N, 2]. */
function adder() {
  const graph = new Graph();
  const x = graph.input("x", "float32", ["N", 2]);
  const step = graph.input("step", "float32", []);
  return compile(device, graph, { y: add(x, step), total: sum(x) });
}

const program = await adder();
afterAll(() => program.dispose());

describe("memory", () => {
  it.each([
    ["float32", Float32Array],
    ["int64", BigInt64Array],
    ["int32", Int32Array],
    ["uint8", Uint8Array],
    ["bfloat16", Uint16Array],
  ] as const)("of %s is zeroed, of that length, and outside V8's heap also when tiny", (dtype, kind) => {
    for (const length of [0, 1, 1000]) {
      const data = allocateHost(dtype, length);
      expect(data).toBeInstanceOf(kind);
      expect(data).toHaveLength(length);
      expect(data.every((value) => Number(value) === 0)).toBe(true);
      // V8 keeps the elements of arrays up to 64 bytes on its heap, where they move.
      expect(data.buffer.byteLength).toBeGreaterThanOrEqual(64);
    }
  });

  it("is not given to bool tensors between programs: GraphError", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["N"]);
    const equal: Operation = { name: "equal", lower: (emit, inputs) => emit.node("Equal", inputs) };
    const [y] = graph.apply(equal, [x, x], [{ dtype: "bool", shape: ["N"] }]);
    await expect(compile(device, graph, { y: y! })).rejects.toThrow(GraphError);
  });

  it("is shared by a view of a tensor's first elements, and must suffice for it: GraphError", () => {
    const whole = floats([5], 1, 2, 3, 4, 5);
    const view = device.view(whole, [2, 2]);
    expect([...view.data]).toEqual([1, 2, 3, 4]);
    view.data[3] = 9;
    expect(dataOf(whole)[3]).toBe(9);
    expect(() => device.view(whole, [2, 3])).toThrow("5 elements are too few for a tensor of shape [2, 3]");
    view.dispose();
  });

  it("is copied in blocks", () => {
    const [source, target] = [floats([2, 4], 1, 2, 3, 4, 5, 6, 7, 8), floats([2, 3])];
    const places = { sourceStart: 1, sourceStride: 4, targetStart: 0, targetStride: 3 };
    device.copy({ source, target, ...places, count: 2, length: 2 });
    expect([...dataOf(target)]).toEqual([2, 3, 0, 6, 7, 0]);
  });

  it("is written and read whole, and is the host's own", async () => {
    const tensor = floats([3], 1, 2, 3);
    const input = new HostInput(device, "int32", [2]);
    input.data.set([4, 5]);
    input.upload();
    expect([...dataOf(input.tensor)]).toEqual([4, 5]);
    expect(await read(device, tensor)).toBe(dataOf(tensor));
    await fill(device, tensor, (data) => void data.fill(7));
    const copy = new Float32Array(3);
    await device.download(tensor, copy);
    expect([...copy]).toEqual([7, 7, 7]);
    device.upload(tensor, Float32Array.of(1, 2, 3));
    expect([...dataOf(tensor)]).toEqual([1, 2, 3]);
  });

  it("may be disposed of twice", () => {
    const tensor = floats([1], 1);
    tensor.dispose();
    expect(() => tensor.dispose()).not.toThrow();
  });
});

describe("a prepared call", () => {
  it("runs again on what its operands then hold", async () => {
    const x = floats([2, 2], 1, 2, 3, 4);
    const step = floats([], 10);
    const call = program.prepare(
      new Map([
        ["x", x],
        ["step", step],
      ]),
    );
    await call.run();
    expect(numbersOf(call, "y")).toEqual([11, 12, 13, 14]);
    dataOf(x).set([5, 6], 2);
    dataOf(step)[0] = -1;
    await call.run();
    expect(numbersOf(call, "y")).toEqual([0, 1, 4, 5]);
    expect(numbersOf(call, "total")[0]).toBe(14);
    call.dispose();
  });

  it("writes an output over the memory of an input", async () => {
    const x = floats([3, 2], 1, 2, 3, 4, 5, 6);
    const feeds = new Map([
      ["x", x],
      ["step", floats([], 1)],
    ]);
    const call = program.prepare(feeds, new Map([["y", x]]));
    for (let i = 0; i < 3; i++) await call.run();
    expect([...dataOf(x)]).toEqual([4, 5, 6, 7, 8, 9]);
    call.dispose();
  });

  it("leaves fetches to their owner and disposes of what it allocated", async () => {
    const y = floats([1, 2]);
    const feeds = new Map([
      ["x", floats([1, 2], 1, 2)],
      ["step", floats([], 1)],
    ]);
    const first = program.prepare(feeds, new Map([["y", y]]));
    await first.run();
    first.dispose();
    const second = program.prepare(feeds, new Map([["y", y]]));
    await second.run();
    expect([...dataOf(y)]).toEqual([2, 3]);
    second.dispose();
  });

  it("computes each run-time shape from the sizes of what is fed", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["R*S", 2]);
    const [r, s] = [graph.input("r", "float32", ["R"]), graph.input("s", "float32", ["S"])];
    const y = multiply(reshape(x, ["R", "S", 2]), multiply(reshape(r, ["R", 1, 1]), reshape(s, [1, "S", 1])));
    const shaped = await compile(device, graph, { y });
    for (const [R, S] of [
      [2, 3],
      [1, 4],
      [5, 1],
    ] as const) {
      const feeds = new Map([
        ["x", floats([R * S, 2], ...new Array(R * S * 2).fill(1))],
        ["r", floats([R], ...new Array(R).fill(2))],
        ["s", floats([S], ...new Array(S).fill(3))],
      ]);
      const call = shaped.prepare(feeds);
      await call.run();
      expect(call.results.get("y")!.dims).toEqual([R, S, 2]);
      expect(numbersOf(call, "y")).toEqual(new Array(R * S * 2).fill(6));
      call.dispose();
    }
    shaped.dispose();
  });

  it.each<[string, () => [string, DeviceTensor][], RegExp]>([
    ["an input is missing", () => [["x", floats([1, 2])]], /input step is not fed/],
    [
      "an input has another rank",
      () => [
        ["x", floats([2])],
        ["step", floats([])],
      ],
      /input x is float32 \[N, 2\], not float32 \[2\]/,
    ],
    [
      "an input has another fixed size",
      () => [
        ["x", floats([1, 3])],
        ["step", floats([])],
      ],
      /input x has shape \[N, 2\] = \[1, 2\], not \[1, 3\]/,
    ],
    [
      "an input has another dtype",
      () => [
        ["x", device.allocate("int64", [1, 2])],
        ["step", floats([])],
      ],
      /not int64/,
    ],
  ])("is refused where %s: GraphError", (_, feeds, message) => {
    expect(() => program.prepare(new Map(feeds()))).toThrow(GraphError);
    expect(() => program.prepare(new Map(feeds()))).toThrow(message);
  });

  it("is refused where two inputs disagree about a size, or an output does not fit: GraphError", async () => {
    const graph = new Graph();
    const [a, b] = [graph.input("a", "float32", ["N"]), graph.input("b", "float32", ["N"])];
    const two = await compile(device, graph, { y: add(a, b) });
    const feeds = (n: number, m: number) =>
      new Map([
        ["a", floats([n])],
        ["b", floats([m])],
      ]);
    expect(() => two.prepare(feeds(3, 2))).toThrow(/input b has shape \[N\] = \[3\], not \[2\]/);
    expect(() => two.prepare(feeds(3, 3), new Map([["y", floats([4])]]))).toThrow(
      /output y has shape \[3\], not \[4\]/,
    );
    expect(() => two.prepare(feeds(3, 3), new Map([["y", device.allocate("int64", [3])]]))).toThrow(
      /output y is float32, not int64/,
    );
    two.dispose();
  });
});

describe("the CPU device", () => {
  it("is one for the process: another number of threads is refused", () => {
    expect(CpuDevice.open(1)).toBe(device);
    expect(() => CpuDevice.open(3)).toThrow(RuntimeFailure);
    expect(() => CpuDevice.open(3)).toThrow(
      /computes with 1 threads already, not 3: .* open each with the same number/,
    );
  });

  it("leaves the event loop free while it computes", async () => {
    const graph = new Graph();
    let x = graph.input("x", "float32", ["N", "N"]);
    for (let i = 0; i < 6; i++) x = matmul(x, x, { scale: 1e-3 });
    const heavy = await compile(device, graph, { y: x });
    const call = heavy.prepare(new Map([["x", device.allocate("float32", [768, 768])]]));
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const start = performance.now();
    await call.run();
    const elapsedMs = performance.now() - start;
    clearInterval(timer);
    call.dispose();
    heavy.dispose();
    expect(elapsedMs).toBeGreaterThan(10);
    // A blocked loop would have counted nothing before the run's own promise.
    expect(ticks).toBeGreaterThanOrEqual(3);
  });

  it("runs several calls at once", async () => {
    const results = await Promise.all(
      Array.from({ length: 8 }, async (_, i) => {
        const feeds = new Map([
          ["x", floats([1, 2], i, 2 * i)],
          ["step", floats([], 1)],
        ]);
        const call = program.prepare(feeds);
        await call.run();
        const values = numbersOf(call, "y");
        call.dispose();
        return values;
      }),
    );
    expect(results).toEqual(Array.from({ length: 8 }, (_, i) => [i + 1, 2 * i + 1]));
  });

  it("keeps its memory flat over many runs of varying sizes", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["N", 64]);
    const growing = await compile(device, graph, { y: matmul(exponential(x), x, { transposeB: true }) });
    const runOnce = async (rows: number) => {
      const tensor = device.allocate("float32", [rows, 64]);
      const call = growing.prepare(new Map([["x", tensor]]));
      await call.run();
      call.dispose();
      tensor.dispose();
    };
    const megabytes = () => process.memoryUsage().rss / 2 ** 20;
    for (let i = 0; i < 60; i++) await runOnce(100 + ((i * 379) % 900));
    const before = megabytes();
    for (let i = 0; i < 240; i++) await runOnce(100 + ((i * 379) % 900));
    growing.dispose();
    // Each run makes up to 5 MB: a leak of a tenth of them would be over 100 MB.
    expect(megabytes() - before).toBeLessThan(80);
  });

  it("says what was wrong with a model", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", [2]);
    const [y] = graph.apply({ name: "nonsense", lower: (emit, inputs) => emit.node("Nonsense", inputs) }, [x], [x]);
    await expect(compile(device, graph, { y: y! })).rejects.toThrow(RuntimeFailure);
    await expect(compile(device, graph, { y: y! })).rejects.toThrow(/Nonsense/);
  });
});
