import { describe, expect, it } from "vitest";
import {
  encode,
  encodedBytes,
  findUnrepresentable,
  type TensorFormat,
} from "../../../src/model/gguf/number-formats.ts";
import { Random } from "../../../src/random.ts";
import { numbersOf } from "./reader.ts";

const TYPES: Readonly<Record<TensorFormat, number>> = { f32: 0, f16: 1, q8_0: 8, bf16: 30 };

function roundTrip(format: TensorFormat, values: Float32Array): number[] {
  const bytes = Buffer.from(encode(format, values));
  expect(bytes.length).toBe(encodedBytes(format, values.length));
  return numbersOf({ name: "", dimensions: [values.length], type: TYPES[format], bytes });
}

function normals(count: number, scale = 1): Float32Array {
  const random = new Random(3, "normals");
  return Float32Array.from({ length: count }, () => scale * random.normal());
}

describe("f16", () => {
  it("keeps every number that it has, subnormal, negative zero and infinity among them", () => {
    const halves = Array.from({ length: 0x7c01 }, (_, bits) => bits).flatMap((bits) => [bits, bits | 0x8000]);
    const bytes = Buffer.alloc(halves.length * 2);
    for (const [i, bits] of halves.entries()) bytes.writeUInt16LE(bits, i * 2);
    const values = Float32Array.from(numbersOf({ name: "", dimensions: [halves.length], type: 1, bytes }));
    expect(Buffer.from(encode("f16", values)).equals(bytes)).toBe(true);
  });

  it("rounds to the nearest, ties to even, up to infinity and down to zero", () => {
    const ulp = 2 ** -10;
    const cases: [number, number][] = [
      [1 + ulp / 2, 1],
      [1 + 1.5 * ulp, 1 + 2 * ulp],
      [1 + 0.51 * ulp, 1 + ulp],
      [-(1 + 1.5 * ulp), -(1 + 2 * ulp)],
      [65_519, 65_504],
      [65_520, Number.POSITIVE_INFINITY],
      [2 ** -25, 0],
      [1.01 * 2 ** -25, 2 ** -24],
      [1.5 * 2 ** -24, 2 ** -23],
      [-(2 ** -14) + 2 ** -26, -(2 ** -14)],
    ];
    expect(
      roundTrip(
        "f16",
        Float32Array.from(cases, ([from]) => from),
      ),
    ).toEqual(cases.map(([, to]) => to));
    expect(roundTrip("f16", Float32Array.of(Number.NaN))).toEqual([Number.NaN]);
  });
});

describe("bf16", () => {
  it("is within half of its last place, and exact for bfloat16 numbers", () => {
    const values = normals(1000);
    const off = roundTrip("bf16", values).filter((value, i) => Math.abs(value / values[i]! - 1) > 2 ** -8);
    expect(off).toEqual([]);
    const exact = Float32Array.from(roundTrip("bf16", values));
    expect(roundTrip("bf16", exact)).toEqual([...exact]);
  });
});

describe("q8_0", () => {
  it("is within half a step of the block's scale and the rounding of that scale", () => {
    for (const scale of [1e-4, 0.02, 1, 3000]) {
      const values = normals(32 * 50, scale);
      const restored = roundTrip("q8_0", values);
      for (let block = 0; block < 50; block++) {
        const most = Math.max(...values.slice(block * 32, block * 32 + 32).map(Math.abs));
        const step = most / 127;
        const bound = step / 2 + 127 * Math.max(step * 2 ** -11, 2 ** -25);
        const errors = restored
          .slice(block * 32, block * 32 + 32)
          .map((value, i) => Math.abs(value - values[block * 32 + i]!));
        expect(Math.max(...errors)).toBeLessThanOrEqual(bound * 1.000001);
      }
    }
  });

  it("gives the bytes of ggml's definition: scale as f16, then rounded quotients, half away from zero", () => {
    const values = new Float32Array(32);
    values.set([127, -127, 1.5, -1.5, 2.5, -2.5, 0.49]);
    const bytes = Buffer.from(encode("q8_0", values));
    expect(bytes.readUInt16LE(0)).toBe(0x3c00);
    expect([...bytes.subarray(2, 9)].map((byte) => (byte << 24) >> 24)).toEqual([127, -127, 2, -2, 3, -3, 0]);
    expect(encode("q8_0", new Float32Array(32)).every((byte) => byte === 0)).toBe(true);
  });
});

describe("findUnrepresentable", () => {
  it("finds what is not finite, and what would become infinite", () => {
    const at = (format: TensorFormat, value: number) => findUnrepresentable(format, Float32Array.of(0, value));
    for (const format of ["f32", "f16", "bf16", "q8_0"] as const) {
      for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        expect(at(format, value)).toBe(1);
      }
      expect(at(format, -65_504)).toBe(-1);
    }
    expect(at("f16", 70_000)).toBe(1);
    expect(at("q8_0", 1e7)).toBe(1);
    expect(at("bf16", -3.4e38)).toBe(1);
    expect(at("f32", 3.4e38)).toBe(-1);
  });
});
