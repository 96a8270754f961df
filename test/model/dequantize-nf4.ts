/** Unpacks NF4 as bitsandbytes does: level · scale, rounded to f32. */

import { NF4_LEVELS, type Nf4Values } from "../../src/model/quantization.ts";

/** Elements that share a scale. */
const BLOCK = 64;

/** Unpacks into `target`, which is as long as what was packed. */
export function dequantizeNf4({ codes, scales }: Nf4Values, target: Float32Array): void {
  for (let i = 0; i < target.length; i++) {
    const byte = codes[i >> 1]!;
    const code = (i & 1) === 0 ? byte >> 4 : byte & 15;
    target[i] = NF4_LEVELS[code]! * scales[Math.floor(i / BLOCK)]!;
  }
}
