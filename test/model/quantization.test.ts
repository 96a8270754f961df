import { describe, expect, it } from "vitest";
import { NF4_LEVELS, nf4Lengths, quantizeNf4 } from "../../src/model/quantization.ts";
import { Random } from "../../src/random.ts";
import { dequantizeNf4 } from "./dequantize-nf4.ts";

const BLOCK = 64;

/** Appendix E of QLoRA (arXiv:2305.14314), digit for digit. */
const APPENDIX_E = [
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
];

function packed(values: Float32Array) {
  const { codes, scales } = nf4Lengths(values.length);
  const target = { codes: new Uint8Array(codes), scales: new Float32Array(scales) };
  quantizeNf4(values, target);
  const back = new Float32Array(values.length);
  dequantizeNf4(target, back);
  return { ...target, back };
}

/** Sums of four uniform numbers, roughly normal; blocks of very different size. */
function randomBlocks(blocks: number, seed: number): Float32Array {
  const random = new Random(seed, "nf4");
  return Float32Array.from({ length: blocks * BLOCK }, (_, i) => {
    const sum = random.uniform() + random.uniform() + random.uniform() + random.uniform() - 2;
    return sum * 10 ** ((Math.floor(i / BLOCK) % 9) - 6);
  });
}

describe("NF4", () => {
  it("has the 16 levels of QLoRA's appendix E", () => {
    expect([...NF4_LEVELS]).toEqual([...Float32Array.from(APPENDIX_E)]);
  });

  it("takes for each element the nearest level of its block's largest absolute value", () => {
    const values = randomBlocks(36, 1);
    const { scales, back } = packed(values);
    for (let block = 0; block < 36; block++) {
      const part = values.subarray(block * BLOCK, (block + 1) * BLOCK);
      const scale = part.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expect(scales[block]).toBe(scale);
      part.forEach((value, i) => {
        const found = back[block * BLOCK + i]!;
        expect(APPENDIX_E.some((level) => Math.fround(Math.fround(level) * scale) === found)).toBe(true);
        const least = Math.min(...APPENDIX_E.map((level) => Math.abs(level * scale - value)));
        // Ties of rounding: an element within f32's last places of a midpoint may go either way.
        expect(Math.abs(found - value)).toBeLessThanOrEqual(least + 3e-7 * scale);
      });
    }
  });

  it("keeps the largest element of a block, zeros and numbers that are levels", () => {
    const scale = 0.25;
    const values = Float32Array.from({ length: BLOCK }, (_, i) => NF4_LEVELS[i % 16]! * scale);
    expect(packed(values).back).toEqual(values);
    const { back, scales } = packed(new Float32Array(BLOCK));
    expect([...new Set(back)]).toEqual([0]);
    expect([...scales]).toEqual([0]);
  });

  it("stores the first of two codes in the upper half of a byte", () => {
    const values = new Float32Array(BLOCK);
    values[0] = 1;
    values[1] = -1;
    expect([...packed(values).codes.subarray(0, 2)]).toEqual([0xf0, 0x77]);
  });

  it("packs a last block that is short and of odd length", () => {
    const values = randomBlocks(2, 2).subarray(0, BLOCK + 7);
    const { codes, scales, back } = packed(values);
    expect([codes.length, scales.length]).toEqual([36, 2]);
    expect(scales[1]).toBe(values.subarray(BLOCK).reduce((most, value) => Math.max(most, Math.abs(value)), 0));
    const largest = values.findIndex((value, i) => i >= BLOCK && Math.abs(value) === scales[1]);
    expect(back[largest]).toBe(values[largest]);
  });

  it("takes 4.5 bits an element", () => {
    const { codes, scales } = nf4Lengths(4096 * 4096);
    expect((8 * (codes + 4 * scales)) / 4096 ** 2).toBe(4.5);
  });

  it("packs blocks of subnormal numbers like any other", () => {
    const values = Float32Array.from({ length: BLOCK }, (_, i) => (i - 32) * 2 ** -149);
    const { back, scales } = packed(values);
    expect(scales[0]).toBe(32 * 2 ** -149);
    expect(back[0]).toBe(values[0]);
    expect(back[32]).toBe(0);
  });
});
