/**
 * Number formats of GGUF tensors, encoded from f32: f32 itself, IEEE binary16, bfloat16, and q8_0.
 *
 * f16 and bf16 round to the nearest, ties to even, as PyTorch and ggml do. q8_0 (ggml's `block_q8_0`) cuts a row into
 * blocks of 32 and stores for each an f16 scale d = max|x| / 127 and 32 int8 q = round(x / d), half away from zero; a
 * value comes back as d·q, off by rounding q and by rounding d to f16: |error| ≤ d/2 + 127 · max(d · 2⁻¹¹, 2⁻²⁵).
 */

import { toBfloat16, toFloat16 } from "../../float-formats.ts";

/** How a tensor's numbers are stored; the names are those of llama.cpp's converter. */
export type TensorFormat = "f32" | "f16" | "bf16" | "q8_0";

/** Elements that share a scale in q8_0, and their bytes: the scale and one byte each. */
export const Q8_0_BLOCK = 32;
const Q8_0_BLOCK_BYTES = 2 + Q8_0_BLOCK;

/** Bytes of so many elements; for q8_0 they are a multiple of 32, since blocks do not cross rows. */
export function encodedBytes(format: TensorFormat, elements: number): number {
  switch (format) {
    case "f32":
      return elements * 4;
    case "f16":
    case "bf16":
      return elements * 2;
    case "q8_0":
      return (elements / Q8_0_BLOCK) * Q8_0_BLOCK_BYTES;
  }
}

/** The index of the first value that `format` cannot hold: not finite, or beyond the largest f16; −1 where all fit. */
export function findUnrepresentable(format: TensorFormat, values: Float32Array): number {
  const largest = LARGEST[format];
  for (let i = 0; i < values.length; i++) {
    // Not finite compares false too.
    if (!(Math.abs(values[i]!) <= largest)) return i;
  }
  return -1;
}

const LARGEST_F16 = 65_504;
/** Beyond these a number, or in q8_0 its block's scale, would round to infinity. */
const LARGEST: Readonly<Record<TensorFormat, number>> = {
  f32: 3.4028234663852886e38,
  f16: LARGEST_F16,
  bf16: 3.3895313892515355e38,
  q8_0: LARGEST_F16 * 127,
};

/** The values' bytes, little-endian. For q8_0 their number is a multiple of 32. */
export function encode(format: TensorFormat, values: Float32Array): Uint8Array {
  switch (format) {
    case "f32":
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    case "f16":
      return encodeHalves(values, toFloat16);
    case "bf16":
      return encodeHalves(values, toBfloat16);
    case "q8_0":
      return encodeQ8(values);
  }
}

function encodeHalves(values: Float32Array, convert: typeof toFloat16): Uint8Array {
  const halves = new Uint16Array(values.length);
  convert(values, halves);
  return new Uint8Array(halves.buffer);
}

function encodeQ8(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(encodedBytes("q8_0", values.length));
  const [scales, halves] = [new Float32Array(1), new Uint16Array(1)];
  for (let start = 0, at = 0; start < values.length; start += Q8_0_BLOCK, at += Q8_0_BLOCK_BYTES) {
    let most = 0;
    for (let i = start; i < start + Q8_0_BLOCK; i++) most = Math.max(most, Math.abs(values[i]!));
    // In f32, like ggml, so that the bytes are the same as its converter's.
    const scale = Math.fround(most / 127);
    scales[0] = scale;
    toFloat16(scales, halves);
    const half = halves[0]!;
    // A scale that is 0 as f16 makes zeros of any q; its inverse could be infinite.
    const inverse = half === 0 ? 0 : Math.fround(1 / scale);
    bytes[at] = half & 0xff;
    bytes[at + 1] = half >>> 8;
    for (let i = 0; i < Q8_0_BLOCK; i++) {
      const scaled = Math.fround(values[start + i]! * inverse);
      // A negative number's byte is its two's complement, which the typed array makes of it.
      bytes[at + 2 + i] = Math.sign(scaled) * Math.floor(Math.abs(scaled) + 0.5);
    }
  }
  return bytes;
}
