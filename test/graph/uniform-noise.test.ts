import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Device, DeviceTensor } from "../../src/compute/device.ts";
import { tensorOf } from "../../src/compute/host-memory.ts";
import { compile } from "../../src/compute/program.ts";
import { uniformNoise } from "../../src/graph/ops/uniform-noise.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { philox } from "../../src/random.ts";
import { BARE_TARGET } from "../compute/opaque-device.ts";
import { device, loweringFor, numbersOf } from "./evaluate.ts";

const [ROWS, WIDTH] = [400, 256];
/** The bound of row n. */
const magnitude = (row: number) => Math.fround(0.01 * (1 + (row % 3)));

const join = (high: number, low: number) => BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(low));
const blocks = Array.from({ length: ROWS }, (_, row) => philox(5, 6, [row]));
const multiplier = BigInt64Array.from(blocks, ([a, b]) => join(a, b));
const offset = BigInt64Array.from(blocks, ([, , c, d]) => join(c, d));

const opened: DeviceTensor[] = [];

async function computed(lowering: Device): Promise<Float32Array> {
  const graph = new Graph();
  const words = ["multiplier", "offset"].map((name) => graph.input(name, "int32", ["N", 2]));
  const bounds = graph.input("magnitude", "float32", ["N", 1]);
  const program = await compile(lowering, graph, { noise: uniformNoise(words[0]!, words[1]!, bounds, WIDTH) });
  const magnitudes = Float32Array.from(blocks, (_, row) => magnitude(row));
  const pairs = (both: BigInt64Array) => tensorOf(device, "int32", [ROWS, 2], new Int32Array(both.buffer));
  const feeds = new Map<string, DeviceTensor>([
    ["multiplier", pairs(multiplier)],
    ["offset", pairs(offset)],
    ["magnitude", tensorOf(device, "float32", [ROWS, 1], magnitudes)],
  ]);
  opened.push(...feeds.values());
  const call = program.prepare(feeds);
  await call.run();
  const values = Float32Array.from(numbersOf(call, "noise"));
  call.dispose();
  program.dispose();
  return values;
}

let noise: Float32Array;
/** The same, for a device without 64-bit integers. */
let inLimbs: Float32Array;
/** The noise in units of its bounds. */
let unit: Float64Array;
beforeAll(async () => {
  noise = await computed(device);
  inLimbs = await computed(loweringFor(BARE_TARGET));
  unit = Float64Array.from(noise, (value, at) => value / magnitude(Math.floor(at / WIDTH)));
});
afterAll(() => {
  for (const tensor of opened) tensor.dispose();
});

const meanOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

describe("uniformNoise", () => {
  it("is the hash of its definition, in 64-bit integers that wrap", () => {
    for (const at of [0, 1, WIDTH - 1, 7 * WIDTH + 3, ROWS * WIDTH - 1]) {
      const row = Math.floor(at / WIDTH);
      const line = BigInt.asUintN(64, multiplier[row]! * BigInt(at % WIDTH) + offset[row]!);
      const hash = BigInt.asIntN(64, (line ^ (line >> 32n)) * 0x9e3779b97f4a7c15n);
      const bound = Math.fround(magnitude(row) * 2 ** -63);
      expect(noise[at]).toBe(Math.fround(Math.fround(Number(hash)) * bound));
    }
  });

  it("is the same in limbs, but for the last place", () => {
    const furthest = noise.reduce(
      (most, value, at) => Math.max(most, Math.abs(value - inLimbs[at]!) / Math.abs(value)),
      0,
    );
    expect(furthest).toBeLessThan(2 ** -22);
  });

  it("is uniform on ± its bound: mean 0, variance a third, no value beyond, tenths equally full", () => {
    const values = [...unit];
    expect(Math.max(...values.slice(0, 60_000).map(Math.abs))).toBeLessThanOrEqual(1);
    expect(Math.max(...values.slice(60_000).map(Math.abs))).toBeLessThanOrEqual(1);
    // Of 102,400 values; a standard deviation of the mean is 0.0018, of the mean square 0.00093.
    expect(Math.abs(meanOf(values))).toBeLessThan(0.007);
    expect(Math.abs(meanOf(values.map((x) => x * x)) - 1 / 3)).toBeLessThan(0.004);
    const tenths = new Array<number>(10).fill(0);
    for (const x of values) tenths[Math.min(9, Math.floor((x + 1) * 5))]!++;
    for (const count of tenths) expect(Math.abs(count / (values.length / 10) - 1)).toBeLessThan(0.05);
  });

  it("has rows like those of independent numbers: their energies, their sums, their neighbours", () => {
    const rows = Array.from({ length: ROWS }, (_, row) => [...unit.subarray(row * WIDTH, (row + 1) * WIDTH)]);
    // A mean square of 256 uniform numbers has a standard deviation of √(4/45/256); the hash without its last step has 16
    // times that.
    const energies = rows.map((row) => meanOf(row.map((x) => x * x)));
    const spread = Math.sqrt(meanOf(energies.map((energy) => (energy - 1 / 3) ** 2)));
    expect(spread / Math.sqrt(4 / 45 / WIDTH)).toBeGreaterThan(0.85);
    expect(spread / Math.sqrt(4 / 45 / WIDTH)).toBeLessThan(1.15);
    const sums = rows.map((row) => row.reduce((sum, x) => sum + x, 0) / Math.sqrt(WIDTH / 3));
    const variance = meanOf(sums.map((sum) => sum ** 2));
    expect(Math.abs(variance - 1)).toBeLessThan(0.25);
    expect(meanOf(sums.map((sum) => sum ** 4)) / variance ** 2).toBeLessThan(4.5);
    for (const lag of [1, 2, 8]) {
      const products = rows.flatMap((row) => row.slice(lag).map((x, i) => x * row[i]!));
      expect(Math.abs(meanOf(products))).toBeLessThan(0.005);
    }
    // The same element of neighbouring rows.
    const across = rows.slice(1).flatMap((row, n) => row.map((x, i) => x * rows[n]![i]!));
    expect(Math.abs(meanOf(across))).toBeLessThan(0.005);
  });

  it("refuses words and bounds of another shape or dtype", () => {
    const graph = new Graph();
    const word = graph.input("word", "int32", ["N", 2]);
    const bound = graph.input("bound", "float32", ["N", 1]);
    expect(() => uniformNoise(word, graph.input("flat", "int32", ["N"]), bound, 3)).toThrow(/\[N, 1\], not/);
    expect(() => uniformNoise(word, word, word, 3)).toThrow(/float32 \[N, 1\], not int32/);
  });
});
