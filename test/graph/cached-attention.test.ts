import { describe, expect, it } from "vitest";
import { compile } from "../../src/compute/program.ts";
import { cachedAttention } from "../../src/graph/ops/attention.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { at, build, type NumberArray, randomArray, total } from "./arrays.ts";
import { device, feed, numbersOf } from "./evaluate.ts";

const SCALE = 0.45;

/** Causal grouped attention of one query over `length` cached positions, in plain JavaScript: [D]. */
function attend(
  query: readonly number[],
  keys: readonly (readonly number[])[],
  values: readonly (readonly number[])[],
): number[] {
  const scores = keys.map((key) => Math.exp(SCALE * total(key.length, (i) => query[i]! * key[i]!)));
  const mass = scores.reduce((a, b) => a + b, 0);
  return query.map((_, d) => total(values.length, (s) => (scores[s]! / mass) * values[s]![d]!));
}

describe.each([
  { numHeads: 4, numKvHeads: 2, headDim: 8 },
  { numHeads: 3, numKvHeads: 1, headDim: 24 },
  { numHeads: 2, numKvHeads: 2, headDim: 16 },
  { numHeads: 2, numKvHeads: 1, headDim: 8, window: 1 },
  { numHeads: 4, numKvHeads: 2, headDim: 16, window: 3 },
  { numHeads: 2, numKvHeads: 2, headDim: 8, window: 40 },
])("cachedAttention, $numHeads heads on $numKvHeads of $headDim, window $window", (shape) => {
  const { numHeads, numKvHeads, headDim: D, window } = shape;
  const [B, M] = [3, 9];
  const graph = new Graph();
  const input = (name: string, heads: number) => graph.input(name, "float32", ["B", "T", heads * D]);
  const cache = (name: string) => graph.input(name, "float32", ["B", numKvHeads, "M", D]);
  const attended = cachedAttention(
    {
      q: input("q", numHeads),
      k: input("k", numKvHeads),
      v: input("v", numKvHeads),
      pastKeys: cache("pastKeys"),
      pastValues: cache("pastValues"),
      lastPositions: graph.input("lastPositions", "int32", ["B"]),
      totalLength: graph.input("totalLength", "int32", []),
    },
    { numHeads, numKvHeads, scale: SCALE, ...(window ? { window } : {}) },
  );
  const compiled = compile(device, graph, attended as never);

  it("prefills ragged rows and then extends them in place, one position at a time", async () => {
    const lengths = [4, 2, 1];
    const dims = [B, numKvHeads, M, D];
    const keys = device.allocate("float32", dims);
    const values = device.allocate("float32", dims);
    // What was fed, by row, position and head: the reference's own cache.
    const history = { k: lengths.map((): number[][][] => []), v: lengths.map((): number[][][] => []) };

    const step = async (T: number, seed: number) => {
      const q = randomArray([B, T, numHeads * D], seed);
      const k = randomArray([B, T, numKvHeads * D], seed + 1);
      const v = randomArray([B, T, numKvHeads * D], seed + 2);
      const heads = (x: NumberArray, row: number, t: number) =>
        Array.from({ length: numKvHeads }, (_, h) => Array.from({ length: D }, (__, d) => at(x, [row, t, h * D + d])));
      const added = T === 1 ? [1, 1, 1] : lengths;
      const expected = build([B, T, numHeads * D], () => Number.NaN).values.slice();
      for (let row = 0; row < B; row++) {
        for (let t = 0; t < added[row]!; t++) {
          history.k[row]!.push(heads(k, row, t));
          history.v[row]!.push(heads(v, row, t));
          for (let head = 0; head < numHeads; head++) {
            const group = Math.floor((head * numKvHeads) / numHeads);
            const query = Array.from({ length: D }, (_, d) => at(q, [row, t, head * D + d]));
            const own = (past: number[][][]) => past.slice(window ? -window : 0).map((position) => position[group]!);
            attend(query, own(history.k[row]!), own(history.v[row]!)).forEach((value, d) => {
              expected[(row * T + t) * numHeads * D + head * D + d] = value;
            });
          }
        }
      }
      const valid = history.k.map((past) => past.length);
      const feeds = new Map([
        ["q", feed(q)],
        ["k", feed(k)],
        ["v", feed(v)],
        ["pastKeys", keys],
        ["pastValues", values],
        ["lastPositions", feed({ dims: [B], values: valid.map((count) => count - 1) }, "int32")],
        ["totalLength", feed({ dims: [], values: [Math.max(...valid)] }, "int32")],
      ]);
      const call = (await compiled).prepare(
        feeds,
        new Map([
          ["keys", keys],
          ["values", values],
        ]),
      );
      await call.run();
      const data = numbersOf(call, "output");
      const gaps = expected.map((value, i) => (Number.isNaN(value) ? 0 : Math.abs(value - data[i]!)));
      expect(Math.max(...gaps)).toBeLessThan(2e-6);
      call.dispose();
    };
    await step(Math.max(...lengths), 100);
    for (let t = 0; t < 4; t++) await step(1, 200 + 10 * t);
    keys.dispose();
    values.dispose();
  });
});
