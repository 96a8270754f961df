import { describe, expect, it } from "vitest";
import { fromBfloat16, fromFloat16, toBfloat16 } from "../src/float-formats.ts";

const rounded = (...values: number[]): number[] => {
  const halves = new Uint16Array(values.length);
  toBfloat16(Float32Array.from(values), halves);
  const back = new Float32Array(values.length);
  fromBfloat16(halves, back);
  return [...back];
};

describe("bfloat16", () => {
  it("gives every one of its numbers back, in the very bits", () => {
    const all = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i);
    const wide = new Float32Array(all.length);
    fromBfloat16(all, wide);
    const back = new Uint16Array(all.length);
    toBfloat16(wide, back);
    for (const [i, half] of all.entries()) {
      if (Number.isNaN(wide[i]!)) expect(back[i]! & 0x7fff).toBeGreaterThan(0x7f80);
      else expect(back[i]).toBe(half);
    }
  });

  it("rounds to the nearest, ties to even", () => {
    const unit = 2 ** -7;
    expect(rounded(1 + unit * 0.49, 1 + unit * 0.51)).toEqual([1, 1 + unit]);
    expect(rounded(1 + unit * 0.5, 1 + unit * 1.5)).toEqual([1, 1 + 2 * unit]);
    expect(rounded(-1 - unit * 0.5, -1 - unit * 1.5)).toEqual([-1, -1 - 2 * unit]);
  });

  it("carries into the exponent, to infinity where that is nearest, and keeps signs and NaN", () => {
    expect(rounded(1.999)).toEqual([2]);
    expect(rounded(3.4e38, -3.4e38)).toEqual([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    expect(Object.is(rounded(-0)[0], -0)).toBe(true);
    expect(rounded(Number.NaN, Number.POSITIVE_INFINITY)).toEqual([Number.NaN, Number.POSITIVE_INFINITY]);
  });
});

describe("binary16", () => {
  it("is read exactly: normal and subnormal numbers, infinities, NaN", () => {
    const halves = Uint16Array.of(0x3c00, 0xc000, 0x3555, 0x0001, 0x03ff, 0x7bff, 0x7c00, 0xfc00, 0x7e00, 0x8000);
    const wide = new Float32Array(halves.length);
    fromFloat16(halves, wide);
    expect([...wide.slice(0, 6)]).toEqual([1, -2, 1365 / 4096, 2 ** -24, 1023 * 2 ** -24, 65_504]);
    expect([...wide.slice(6, 9)]).toEqual([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]);
    expect(Object.is(wide[9], -0)).toBe(true);
  });
});
