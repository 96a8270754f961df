/**
 * The sixteen-bit formats of stored weights, from and to f32.
 *
 * bfloat16 is the upper half of an f32; binary16 (IEEE 754) has 1 sign, 5 exponent and 10 fraction bits. Both are exact
 * in f32; writing bfloat16 rounds to the nearest, ties to even, as torch does, so that what is written from a bfloat16
 * checkpoint's weights is that checkpoint's bits.
 */

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

function float16(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}
