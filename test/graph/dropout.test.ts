import { describe, expect, it } from "vitest";
import { tensorOf } from "../../src/compute/host-memory.ts";
import { compile } from "../../src/compute/program.ts";
import { dropoutMask } from "../../src/graph/ops/dropout.ts";
import type { LoweringTarget } from "../../src/graph/target.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { philox } from "../../src/random.ts";
import { BARE_TARGET } from "../compute/opaque-device.ts";
import { device, loweringFor, numbersOf } from "./evaluate.ts";

const [ROWS, WIDTH, PROBABILITY] = [64, 250, 0.3];

/** Two random 64-bit words for each row. */
function words(): { multiplier: BigInt64Array; offset: BigInt64Array } {
  const both = Array.from({ length: ROWS }, (_, row) => philox(5, 6, [row]).map(BigInt));
  const join = (high: bigint, low: bigint) => BigInt.asIntN(64, (high << 32n) | low);
  return {
    multiplier: BigInt64Array.from(both, ([a, b]) => join(a!, b!)),
    offset: BigInt64Array.from(both, ([, , c, d]) => join(c!, d!)),
  };
}

async function mask(probability: number, target?: LoweringTarget): Promise<readonly number[]> {
  const graph = new Graph();
  const inputs = ["multiplier", "offset"] as const;
  const [a, b] = inputs.map((name) => graph.input(name, "int32", ["N", 2]));
  const program = await compile(target ? loweringFor(target) : device, graph, {
    mask: dropoutMask(a!, b!, WIDTH, probability),
  });
  const feeds = new Map(
    inputs.map((name) => [name, tensorOf(device, "int32", [ROWS, 2], new Int32Array(words()[name].buffer))]),
  );
  const call = program.prepare(feeds);
  await call.run();
  const values = numbersOf(call, "mask");
  call.dispose();
  program.dispose();
  for (const tensor of feeds.values()) tensor.dispose();
  return values;
}

describe("dropoutMask", () => {
  it("is (a·i + b mod 2⁶⁴) compared with a threshold, in 64-bit integers that wrap", async () => {
    const { multiplier, offset } = words();
    const kept = Math.fround(1 / (1 - PROBABILITY));
    const threshold = BigInt(Math.floor(PROBABILITY * 2 ** 32)) << 32n;
    const expected = Array.from({ length: ROWS * WIDTH }, (_, at) => {
      const [row, i] = [Math.floor(at / WIDTH), BigInt(at % WIDTH)];
      const hash = BigInt.asUintN(64, multiplier[row]! * i + offset[row]! + (1n << 63n));
      return hash >= threshold ? kept : 0;
    });
    expect(await mask(PROBABILITY)).toEqual(expected);
  });

  it("is the same in limbs, for a device without 64-bit integers", async () => {
    for (const probability of [PROBABILITY, 0.5, 0]) {
      expect(await mask(probability, BARE_TARGET)).toEqual(await mask(probability));
    }
  });

  it("drops the share that was asked for, in every row and in every column, and scales what is left", async () => {
    const values = await mask(PROBABILITY);
    const dropped = values.filter((value) => value === 0).length / values.length;
    // 16,000 elements: a standard deviation is 0.0036.
    expect(Math.abs(dropped - PROBABILITY)).toBeLessThan(0.015);
    const shareOf = (pick: (index: number) => boolean) => {
      const own = values.filter((_, index) => pick(index));
      return own.filter((value) => value === 0).length / own.length;
    };
    for (let row = 0; row < ROWS; row++) {
      expect(Math.abs(shareOf((index) => Math.floor(index / WIDTH) === row) - PROBABILITY)).toBeLessThan(0.2);
    }
    for (let column = 0; column < WIDTH; column += 9) {
      expect(Math.abs(shareOf((index) => index % WIDTH === column) - PROBABILITY)).toBeLessThan(0.25);
    }
  });

  it("with probability 0 keeps everything as it is", async () => {
    expect(new Set(await mask(0))).toEqual(new Set([1]));
  });

  it("refuses words of another shape, and a probability of 1", () => {
    const graph = new Graph();
    const word = graph.input("word", "int32", ["N", 2]);
    expect(() => dropoutMask(word, graph.input("flat", "int32", ["N"]), 3, 0.1)).toThrow(/int32 \[N, 2\]/);
    expect(() => dropoutMask(word, word, 3, 1)).toThrow(/\[0, 1\)/);
  });
});
