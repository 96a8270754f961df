/**
 * The sixteen-bit formats of stored weights, from and to f32.
 *
 * bfloat16 is the upper half of an f32; binary16 (IEEE 754) has 1 sign, 5 exponent and 10 fraction bits. Both are exact
 * in f32; writing rounds to the nearest, ties to even, as torch does, so that what is written from a sixteen-bit
 * checkpoint's weights is that checkpoint's bits.
 */

/** What rounds f32 numbers to a format; `to` has as many. */
export const toHalf = (dtype: "bfloat16" | "float16") => (dtype === "bfloat16" ? toBfloat16 : toFloat16);

/** Widens bfloat16 numbers; `to` has as many. */
export function fromBfloat16(from: Uint16Array, to: Float32Array): void {
  const bits = new Uint32Array(to.buffer, to.byteOffset, to.length);
  for (let i = 0; i < from.length; i++) bits[i] = from[i]! << 16;
}

/** Rounds f32 numbers to bfloat16; `to` has as many. */
export function toBfloat16(from: Float32Array, to: Uint16Array): void {
  const bits = new Uint32Array(from.buffer, from.byteOffset, from.length);
  for (let i = 0; i < from.length; i++) {
    const word = bits[i]!;
    // Rounding could carry a NaN's bits into infinity's: a NaN keeps its upper half, with its quiet bit set.
    const notANumber = (word & 0x7fffffff) > 0x7f800000;
    to[i] = notANumber ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
}

/** Widens binary16 numbers; `to` has as many. */
export function fromFloat16(from: Uint16Array, to: Float32Array): void {
  for (let i = 0; i < from.length; i++) to[i] = float16(from[i]!);
}

/** Rounds f32 numbers to binary16; `to` has as many. From 65,520 on the result is infinity. */
export function toFloat16(from: Float32Array, to: Uint16Array): void {
  const bits = new Uint32Array(from.buffer, from.byteOffset, from.length);
  for (let i = 0; i < from.length; i++) to[i] = float16Bits(bits[i]!);
}

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** binary16 from the bits of an f32. */
function float16Bits(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 2^16 and more: infinity
  if (magnitude < 0x38800000) {
    // Below 2^-14, subnormal: in a sum with 1/2 the last bit is worth 2^-24, and the addition rounds.
    scratchBits[0] = magnitude;
    scratch[0] = scratch[0]! + 0.5;
    return sign | (scratchBits[0] - 0x3f000000);
  }
  // The exponent's bias falls from 127 to 15; half of the last place that stays, less one bit if that place is even.
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}

function float16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}
