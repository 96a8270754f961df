/**
 * ggml's tensor formats, decoded to f32: plain numbers, and the quantised blocks of llama.cpp.
 *
 * A quantised row is cut into blocks of 32 or 256 numbers. A block holds small integers q and what turns them back into
 * numbers: a scale d, in some formats a minimum m too, and in the `K` formats scales of their own for 16 or 32 numbers,
 * quantised once more (ggml, src/ggml-common.h, gives the layouts). Every product and sum below is rounded to f32 in the
 * order of ggml's reference, which the Python package `gguf` follows: the results are its bits.
 */

import { fromBfloat16, fromFloat16 } from "../../float-formats.ts";

/** One tensor format: how many numbers a block has, its bytes, and how blocks become numbers. */
export interface BlockFormat {
  /** As llama.cpp writes it: `Q4_K`. */
  readonly name: string;
  readonly blockElements: number;
  readonly blockBytes: number;
  /** Decodes whole blocks: `bytes` holds `to.length / blockElements` of them. */
  readonly decode: (bytes: Uint8Array, to: Float32Array) => void;
}

/** By ggml's number of the type. Formats that are not here are known by name alone (`UNREAD_FORMATS`). */
export const BLOCK_FORMATS: ReadonlyMap<number, BlockFormat> = new Map([
  [0, { name: "F32", blockElements: 1, blockBytes: 4, decode: decodeF32 }],
  [1, { name: "F16", blockElements: 1, blockBytes: 2, decode: (bytes, to) => fromFloat16(halves(bytes), to) }],
  [2, { name: "Q4_0", blockElements: 32, blockBytes: 18, decode: decodeQ4_0 }],
  [3, { name: "Q4_1", blockElements: 32, blockBytes: 20, decode: decodeQ4_1 }],
  [6, { name: "Q5_0", blockElements: 32, blockBytes: 22, decode: decodeQ5_0 }],
  [7, { name: "Q5_1", blockElements: 32, blockBytes: 24, decode: decodeQ5_1 }],
  [8, { name: "Q8_0", blockElements: 32, blockBytes: 34, decode: decodeQ8_0 }],
  [10, { name: "Q2_K", blockElements: 256, blockBytes: 84, decode: decodeQ2_K }],
  [11, { name: "Q3_K", blockElements: 256, blockBytes: 110, decode: decodeQ3_K }],
  [12, { name: "Q4_K", blockElements: 256, blockBytes: 144, decode: decodeQ4_K }],
  [13, { name: "Q5_K", blockElements: 256, blockBytes: 176, decode: decodeQ5_K }],
  [14, { name: "Q6_K", blockElements: 256, blockBytes: 210, decode: decodeQ6_K }],
  [30, { name: "BF16", blockElements: 1, blockBytes: 2, decode: (bytes, to) => fromBfloat16(halves(bytes), to) }],
] satisfies [number, BlockFormat][]);

/** Formats of ggml that Aha does not read, for messages. */
export const UNREAD_FORMATS: ReadonlyMap<number, string> = new Map([
  [9, "Q8_1"],
  [15, "Q8_K"],
  [16, "IQ2_XXS"],
  [17, "IQ2_XS"],
  [18, "IQ3_XXS"],
  [19, "IQ1_S"],
  [20, "IQ4_NL"],
  [21, "IQ3_S"],
  [22, "IQ2_S"],
  [23, "IQ4_XS"],
  [24, "I8"],
  [25, "I16"],
  [26, "I32"],
  [27, "I64"],
  [28, "F64"],
  [29, "IQ1_M"],
  [34, "TQ1_0"],
  [35, "TQ2_0"],
  [39, "MXFP4"],
]);

const f32 = Math.fround;

/** The bytes as 16-bit words, wherever they begin. */
function halves(bytes: Uint8Array): Uint16Array {
  if (bytes.byteOffset % 2 === 0) return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  return new Uint16Array(bytes.slice().buffer, 0, bytes.length / 2);
}

function decodeF32(bytes: Uint8Array, to: Float32Array): void {
  new Uint8Array(to.buffer, to.byteOffset, to.byteLength).set(bytes);
}

/** All f16 numbers, by their bits. */
const FLOAT16 = new Float32Array(2 ** 16);
fromFloat16(
  Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits),
  FLOAT16,
);

/** The f16 number at `at`, little-endian. */
function half(bytes: Uint8Array, at: number): number {
  return FLOAT16[bytes[at]! | (bytes[at + 1]! << 8)]!;
}

const int8 = (byte: number) => (byte << 24) >> 24;

/** d · (q − 8); the low nibbles are the first 16 numbers, the high ones the last 16. */
function decodeQ4_0(bytes: Uint8Array, to: Float32Array): void {
  for (let at = 0, out = 0; out < to.length; at += 18, out += 32) {
    const d = half(bytes, at);
    for (let i = 0; i < 16; i++) {
      const q = bytes[at + 2 + i]!;
      to[out + i] = d * ((q & 15) - 8);
      to[out + 16 + i] = d * ((q >>> 4) - 8);
    }
  }
}

/** d · q + m. */
function decodeQ4_1(bytes: Uint8Array, to: Float32Array): void {
  for (let at = 0, out = 0; out < to.length; at += 20, out += 32) {
    const d = half(bytes, at);
    const m = half(bytes, at + 2);
    for (let i = 0; i < 16; i++) {
      const q = bytes[at + 4 + i]!;
      to[out + i] = f32(d * (q & 15)) + m;
      to[out + 16 + i] = f32(d * (q >>> 4)) + m;
    }
  }
}

/** A fifth bit for each number, in a word of 32 bits from `at` on. */
function fifthBits(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
}

/** d · (q − 16), q of five bits. */
function decodeQ5_0(bytes: Uint8Array, to: Float32Array): void {
  for (let at = 0, out = 0; out < to.length; at += 22, out += 32) {
    const d = half(bytes, at);
    const high = fifthBits(bytes, at + 2);
    for (let i = 0; i < 16; i++) {
      const q = bytes[at + 6 + i]!;
      to[out + i] = d * (((q & 15) | (((high >>> i) & 1) << 4)) - 16);
      to[out + 16 + i] = d * (((q >>> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16);
    }
  }
}

/** d · q + m, q of five bits. */
function decodeQ5_1(bytes: Uint8Array, to: Float32Array): void {
  for (let at = 0, out = 0; out < to.length; at += 24, out += 32) {
    const d = half(bytes, at);
    const m = half(bytes, at + 2);
    const high = fifthBits(bytes, at + 4);
    for (let i = 0; i < 16; i++) {
      const q = bytes[at + 8 + i]!;
      to[out + i] = f32(d * ((q & 15) | (((high >>> i) & 1) << 4))) + m;
      to[out + 16 + i] = f32(d * ((q >>> 4) | (((high >>> (i + 16)) & 1) << 4))) + m;
    }
  }
}

/** d · q, q of eight bits with a sign. */
function decodeQ8_0(bytes: Uint8Array, to: Float32Array): void {
  for (let at = 0, out = 0; out < to.length; at += 34, out += 32) {
    const d = half(bytes, at);
    for (let i = 0; i < 32; i++) to[out + i] = d * int8(bytes[at + 2 + i]!);
  }
}

/** 16 × 16 numbers of two bits: (d · scale) · q − dmin · min, scale and min of four bits for each 16. */
function decodeQ2_K(bytes: Uint8Array, to: Float32Array): void {
  for (let at = 0, out = 0; out < to.length; at += 84, out += 256) {
    const d = half(bytes, at + 80);
    const dmin = half(bytes, at + 82);
    for (let group = 0; group < 16; group++) {
      const packed = bytes[at + group]!;
      const scale = f32(d * (packed & 15));
      const min = f32(dmin * (packed >>> 4));
      // 128 numbers share 32 bytes: the first 32 have the lowest two bits, the next 32 the two above.
      const from = at + 16 + (group >>> 3) * 32 + (group & 1) * 16;
      const shift = ((group >>> 1) & 3) * 2;
      for (let i = 0; i < 16; i++) to[out + group * 16 + i] = f32(scale * ((bytes[from + i]! >>> shift) & 3)) - min;
    }
  }
}

/** 16 × 16 numbers of three bits: (d · (scale − 32)) · (q − 4), scale of six bits; a mask holds the third bit, 0 for −4. */
function decodeQ3_K(bytes: Uint8Array, to: Float32Array): void {
  for (let at = 0, out = 0; out < to.length; at += 110, out += 256) {
    const d = half(bytes, at + 108);
    const scales = at + 96;
    for (let group = 0; group < 16; group++) {
      const low = group < 8 ? bytes[scales + group]! & 15 : bytes[scales + group - 8]! >>> 4;
      const high = (bytes[scales + 8 + (group & 3)]! >>> (2 * (group >>> 2))) & 3;
      const scale = f32(d * ((low | (high << 4)) - 32));
      const from = at + 32 + (group >>> 3) * 32 + (group & 1) * 16;
      const shift = ((group >>> 1) & 3) * 2;
      const mask = at + (group & 1) * 16;
      const bit = group >>> 1;
      for (let i = 0; i < 16; i++) {
        const q = ((bytes[from + i]! >>> shift) & 3) - (((bytes[mask + i]! >>> bit) & 1) === 1 ? 0 : 4);
        to[out + group * 16 + i] = scale * q;
      }
    }
  }
}

/** The six-bit scale or minimum (`offset` 0 or 4) of each of eight groups, packed into twelve bytes from `at` on. */
function sixBits(bytes: Uint8Array, at: number, group: number, offset: 0 | 4): number {
  if (group < 4) return bytes[at + offset + group]! & 63;
  const low = bytes[at + 4 + group]!;
  return (offset === 0 ? low & 15 : low >>> 4) | ((bytes[at + offset + group - 4]! >>> 6) << 4);
}

/** 8 × 32 numbers of four bits: (d · scale) · q − dmin · min. */
function decodeQ4_K(bytes: Uint8Array, to: Float32Array): void {
  for (let at = 0, out = 0; out < to.length; at += 144, out += 256) {
    const d = half(bytes, at);
    const dmin = half(bytes, at + 2);
    for (let group = 0; group < 8; group++) {
      const scale = f32(d * sixBits(bytes, at + 4, group, 0));
      const min = f32(dmin * sixBits(bytes, at + 4, group, 4));
      const from = at + 16 + (group >>> 1) * 32;
      const shift = (group & 1) * 4;
      for (let i = 0; i < 32; i++) to[out + group * 32 + i] = f32(scale * ((bytes[from + i]! >>> shift) & 15)) - min;
    }
  }
}

/** Like Q4_K, with a fifth bit for each number. */
function decodeQ5_K(bytes: Uint8Array, to: Float32Array): void {
  for (let at = 0, out = 0; out < to.length; at += 176, out += 256) {
    const d = half(bytes, at);
    const dmin = half(bytes, at + 2);
    for (let group = 0; group < 8; group++) {
      const scale = f32(d * sixBits(bytes, at + 4, group, 0));
      const min = f32(dmin * sixBits(bytes, at + 4, group, 4));
      const from = at + 48 + (group >>> 1) * 32;
      const shift = (group & 1) * 4;
      for (let i = 0; i < 32; i++) {
        const q = ((bytes[from + i]! >>> shift) & 15) | (((bytes[at + 16 + i]! >>> group) & 1) << 4);
        to[out + group * 32 + i] = f32(scale * q) - min;
      }
    }
  }
}

/** 16 × 16 numbers of six bits: (d · scale) · (q − 32), scale of eight bits with a sign. */
function decodeQ6_K(bytes: Uint8Array, to: Float32Array): void {
  for (let at = 0, out = 0; out < to.length; at += 210, out += 256) {
    const d = half(bytes, at + 208);
    for (let group = 0; group < 16; group++) {
      const scale = f32(d * int8(bytes[at + 192 + group]!));
      // 128 numbers: their low four bits in 64 bytes (numbers 64 on in the high nibbles), two more in 32 bytes.
      const [part, within] = [group >>> 3, (group & 7) * 16];
      const low = at + part * 64 + (within & 63);
      const lowShift = within < 64 ? 0 : 4;
      const high = at + 128 + part * 32 + (within & 31);
      const highShift = (within >>> 5) * 2;
      for (let i = 0; i < 16; i++) {
        const q = ((bytes[low + i]! >>> lowShift) & 15) | (((bytes[high + i]! >>> highShift) & 3) << 4);
        to[out + group * 16 + i] = scale * (q - 32);
      }
    }
  }
}
