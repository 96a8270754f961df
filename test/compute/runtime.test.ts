import { afterAll, describe, expect, it } from "vitest";
import { allocate, type DeviceTensor, Runtime } from "../../src/compute/runtime.ts";
import { GraphError, RuntimeFailure } from "../../src/errors.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import { add, exponential, multiply } from "../../src/graph/ops/elementwise.ts";
import { matmul } from "../../src/graph/ops/matmul.ts";
import { reshape } from "../../src/graph/ops/shape.ts";
import { Graph } from "../../src/graph/tensor.ts";

const runtime = Runtime.open(1);

function floats(dims: readonly number[], ...values: number[]): DeviceTensor {
  const tensor = runtime.zeros("float32", dims);
  (tensor.data as Float32Array).set(values);
  return tensor;
}

/** y = x + step and total = Σ x, of x [N, 2]. */
function adder() {
  const graph = new Graph();
  const x = graph.input("x", "float32", ["N", 2]);
  const step = graph.input("step", "float32", []);
  return runtime.compile(graph, { y: add(x, step), total: sum(x) });
}

const program = adder();
afterAll(() => program.dispose());

describe("memory", () => {
  it.each([
    ["float32", Float32Array],
    ["int64", BigInt64Array],
    ["int32", Int32Array],
  ] as const)("of %s is zeroed, of that length, and outside V8's heap also when tiny", (dtype, kind) => {
    for (const length of [0, 1, 1000]) {
      const data = allocate(dtype, length);
      expect(data).toBeInstanceOf(kind);
      expect(data).toHaveLength(length);
      expect(data.every((value) => Number(value) === 0)).toBe(true);
      // V8 keeps the elements of arrays up to 64 bytes on its heap, where they move.
      expect(data.buffer.byteLength).toBeGreaterThanOrEqual(64);
    }
  });

  it("is not given to bool tensors: GraphError", () => {
    expect(() => allocate("bool", 1)).toThrow(GraphError);
  });

  it("must suffice for a view's shape: GraphError", () => {
    expect(() => runtime.view("float32", [2, 3], allocate("float32", 5))).toThrow(
      "5 elements are too few for a tensor of shape [2, 3]",
    );
    runtime.view("float32", [2, 2], allocate("float32", 5)).dispose();
  });

  it("must be of the view's dtype: GraphError", () => {
    expect(() => runtime.view("float32", [2], allocate("int64", 2))).toThrow(GraphError);
    expect(() => runtime.view("float32", [2], allocate("int64", 2))).toThrow("needs Float32Array");
  });

  it("may be disposed twice", () => {
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
    expect([...call.results.get("y")!.data]).toEqual([11, 12, 13, 14]);
    (x.data as Float32Array).set([5, 6], 2);
    step.data[0] = -1;
    await call.run();
    expect([...call.results.get("y")!.data]).toEqual([0, 1, 4, 5]);
    expect(call.results.get("total")!.data[0]).toBe(14);
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
    expect([...x.data]).toEqual([4, 5, 6, 7, 8, 9]);
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
    expect([...y.data]).toEqual([2, 3]);
    second.dispose();
  });

  it("computes each run-time shape from the sizes of what is fed", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["R*S", 2]);
    const [r, s] = [graph.input("r", "float32", ["R"]), graph.input("s", "float32", ["S"])];
    const y = multiply(reshape(x, ["R", "S", 2]), multiply(reshape(r, ["R", 1, 1]), reshape(s, [1, "S", 1])));
    const shaped = runtime.compile(graph, { y });
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
      expect([...call.results.get("y")!.data]).toEqual(new Array(R * S * 2).fill(6));
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
        ["x", runtime.zeros("int64", [1, 2])],
        ["step", floats([])],
      ],
      /not int64/,
    ],
  ])("is refused where %s: GraphError", (_, feeds, message) => {
    expect(() => program.prepare(new Map(feeds()))).toThrow(GraphError);
    expect(() => program.prepare(new Map(feeds()))).toThrow(message);
  });

  it("is refused where two inputs disagree about a size, or an output does not fit: GraphError", () => {
    const graph = new Graph();
    const [a, b] = [graph.input("a", "float32", ["N"]), graph.input("b", "float32", ["N"])];
    const two = runtime.compile(graph, { y: add(a, b) });
    const feeds = (n: number, m: number) =>
      new Map([
        ["a", floats([n])],
        ["b", floats([m])],
      ]);
    expect(() => two.prepare(feeds(3, 2))).toThrow(/input b has shape \[N\] = \[3\], not \[2\]/);
    expect(() => two.prepare(feeds(3, 3), new Map([["y", floats([4])]]))).toThrow(
      /output y has shape \[3\], not \[4\]/,
    );
    expect(() => two.prepare(feeds(3, 3), new Map([["y", runtime.zeros("int64", [3])]]))).toThrow(
      /output y is float32, not int64/,
    );
    two.dispose();
  });
});

describe("the runtime", () => {
  it("is one for the process: another number of threads is refused", () => {
    expect(Runtime.open(1)).toBe(runtime);
    expect(() => Runtime.open(3)).toThrow(RuntimeFailure);
    expect(() => Runtime.open(3)).toThrow(/computes with 1 threads already, not 3: .* open each with the same number/);
  });

  it("leaves the event loop free while it computes", async () => {
    const graph = new Graph();
    let x = graph.input("x", "float32", ["N", "N"]);
    for (let i = 0; i < 6; i++) x = matmul(x, x, { scale: 1e-3 });
    const heavy = runtime.compile(graph, { y: x });
    const call = heavy.prepare(new Map([["x", runtime.zeros("float32", [768, 768])]]));
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
        const values = [...call.results.get("y")!.data];
        call.dispose();
        return values;
      }),
    );
    expect(results).toEqual(Array.from({ length: 8 }, (_, i) => [i + 1, 2 * i + 1]));
  });

  it("keeps its memory flat over many runs of varying sizes", async () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", ["N", 64]);
    const growing = runtime.compile(graph, { y: matmul(exponential(x), x, { transposeB: true }) });
    const runOnce = async (rows: number) => {
      const tensor = runtime.zeros("float32", [rows, 64]);
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

  it("says what was wrong with a model", () => {
    const graph = new Graph();
    const x = graph.input("x", "float32", [2]);
    const [y] = graph.apply({ name: "nonsense", lower: (emit, inputs) => emit.node("Nonsense", inputs) }, [x], [x]);
    expect(() => runtime.compile(graph, { y: y! })).toThrow(RuntimeFailure);
    expect(() => runtime.compile(graph, { y: y! })).toThrow(/Nonsense/);
  });
});
