import { describe, expect, it } from "vitest";
import { compile } from "../../src/compute/program.ts";
import { GraphError } from "../../src/errors.ts";
import { lowerToOnnx } from "../../src/graph/onnx.ts";
import { joinAttention, summedCachedAttention } from "../../src/graph/ops/shared-attention.ts";
import { ONNX_RUNTIME_CUDA, ONNX_RUNTIME_WEBGPU } from "../../src/graph/target.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { at, type NumberArray, randomArray, total } from "./arrays.ts";
import { device, feed, numbersOf } from "./evaluate.ts";

const [B, H, KV, D, M] = [3, 4, 2, 8, 6];
const SCALE = 0.45;

/** Attention of one position to its cache, and its join with a part that is fed. */
function program() {
  const graph = new Graph();
  const input = (name: string, ...dims: (number | string)[]) => graph.input(name, "float32", dims);
  const { output, keys, values, logSums } = summedCachedAttention(
    {
      q: input("q", "B", 1, H * D),
      k: input("k", "B", 1, KV * D),
      v: input("v", "B", 1, KV * D),
      pastKeys: input("pastKeys", "B", KV, "M", D),
      pastValues: input("pastValues", "B", KV, "M", D),
      lastPositions: graph.input("lastPositions", "int32", ["B"]),
      totalLength: graph.input("totalLength", "int32", []),
    },
    { numHeads: H, numKvHeads: KV, scale: SCALE },
  );
  const part = (name: string) => ({
    output: input(`${name}Output`, "N", H, D),
    logSums: input(`${name}Sums`, "N", H, 1),
  });
  return { graph, attended: { output, keys, values, logSums }, joined: joinAttention(part("one"), part("other")) };
}

/** Of scores and the values that they weigh: the softmax's result [D] and ln Σ eˢ, in double precision. */
function reference(scores: readonly number[], values: readonly (readonly number[])[]) {
  const largest = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - largest));
  const mass = weights.reduce((a, b) => a + b, 0);
  const output = Array.from({ length: D }, (_, d) =>
    total(values.length, (s) => (weights[s]! / mass) * values[s]![d]!),
  );
  return { output, logSum: largest + Math.log(mass) };
}

const largestGap = (found: readonly number[], expected: readonly number[]) =>
  Math.max(...expected.map((value, i) => Math.abs(value - found[i]!) / Math.max(1, Math.abs(value))));

describe("attention in two parts", () => {
  const { graph, attended, joined } = program();

  it.each([1, 30])(
    "has the logarithm of its sum of exponentials, whatever lies behind a sequence's last position; queries × %d",
    async (factor) => {
      const lengths = [5, 1, 3]; // with the new position
      const compiled = await compile(device, graph, attended as never);
      const [q, k, v] = [H, KV, KV].map((heads, i) => randomArray([B, 1, heads * D], i + 1)) as [
        NumberArray,
        NumberArray,
        NumberArray,
      ];
      const queries = { ...q, values: q.values.map((value) => factor * value) };
      const [keys, values] = [randomArray([B, KV, M, D], 4), randomArray([B, KV, M, D], 5)];
      const withGarbage = (x: NumberArray) => ({
        dims: x.dims,
        values: x.values.map((value, i) => {
          const position = Math.floor(i / D) % M;
          return position < lengths[Math.floor(i / (KV * M * D))]! - 1 ? value : Number.NaN;
        }),
      });
      const [pastKeys, pastValues] = [feed(withGarbage(keys)), feed(withGarbage(values))];
      const feeds = new Map([
        ["q", feed(queries)],
        ["k", feed(k)],
        ["v", feed(v)],
        ["pastKeys", pastKeys],
        ["pastValues", pastValues],
        ["lastPositions", feed({ dims: [B], values: lengths.map((length) => length - 1) }, "int32")],
        ["totalLength", feed({ dims: [], values: [Math.max(...lengths)] }, "int32")],
      ]);
      const call = compiled.prepare(feeds, new Map([...Object.entries({ keys: pastKeys, values: pastValues })]));
      await call.run();
      const expected = { output: [] as number[], logSums: [] as number[] };
      for (const [row, length] of lengths.entries()) {
        for (let head = 0; head < H; head++) {
          const group = Math.floor((head * KV) / H);
          const positionOf = (cached: NumberArray, added: NumberArray) =>
            Array.from({ length }, (_, s) =>
              Array.from({ length: D }, (__, d) =>
                s === length - 1 ? at(added, [row, 0, group * D + d]) : at(cached, [row, group, s, d]),
              ),
            );
          const scores = positionOf(keys, k).map(
            (key) => SCALE * total(D, (d) => at(queries, [row, 0, head * D + d]) * key[d]!),
          );
          const { output, logSum } = reference(scores, positionOf(values, v));
          expected.output.push(...output);
          expected.logSums.push(logSum);
        }
      }
      expect(largestGap(numbersOf(call, "output"), expected.output)).toBeLessThan(3e-6);
      expect(largestGap(numbersOf(call, "logSums"), expected.logSums)).toBeLessThan(1e-6);
      call.dispose();
    },
  );

  it("is the softmax over both, however much one part outweighs the other", async () => {
    const N = 4;
    const compiled = await compile(device, graph, { joined });
    for (const shift of [0, 3, -60, 300]) {
      const [oneScores, otherScores] = [randomArray([N, H, 3], 6), randomArray([N, H, 5], 7, shift - 1, shift + 1)];
      const [oneValues, otherValues] = [randomArray([N, H, 3, D], 8), randomArray([N, H, 5, D], 9)];
      const expected: number[] = [];
      const fed = {
        one: { output: [] as number[], sums: [] as number[] },
        other: { output: [] as number[], sums: [] as number[] },
      };
      for (let n = 0; n < N; n++) {
        for (let head = 0; head < H; head++) {
          const rowOf = (scores: NumberArray, values: NumberArray) => ({
            scores: Array.from({ length: scores.dims[2]! }, (_, s) => at(scores, [n, head, s])),
            values: Array.from({ length: scores.dims[2]! }, (_, s) =>
              Array.from({ length: D }, (__, d) => at(values, [n, head, s, d])),
            ),
          });
          const [one, other] = [rowOf(oneScores, oneValues), rowOf(otherScores, otherValues)];
          for (const [part, row] of [
            [fed.one, one],
            [fed.other, other],
          ] as const) {
            const { output, logSum } = reference(row.scores, row.values);
            part.output.push(...output);
            part.sums.push(logSum);
          }
          expected.push(...reference([...one.scores, ...other.scores], [...one.values, ...other.values]).output);
        }
      }
      const call = compiled.prepare(
        new Map(
          Object.entries(fed).flatMap(([name, { output, sums }]) => [
            [`${name}Output`, feed({ dims: [N, H, D], values: output })] as const,
            [`${name}Sums`, feed({ dims: [N, H, 1], values: sums })] as const,
          ]),
        ),
      );
      await call.run();
      expect(largestGap(numbersOf(call, "joined"), expected)).toBeLessThan(Math.abs(shift) > 10 ? 1e-5 : 2e-6);
      call.dispose();
    }
  });

  it("is refused for devices that keep the scores to themselves", () => {
    for (const target of [ONNX_RUNTIME_WEBGPU, ONNX_RUNTIME_CUDA]) {
      expect(() => lowerToOnnx(graph, attended as never, target)).toThrow(GraphError);
    }
  });
});
