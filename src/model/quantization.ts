/**
 * Weights in 4 bits: NF4 (Dettmers et al., QLoRA, arXiv:2305.14314), as bitsandbytes stores it.
 *
 * A matrix is cut, in row-major order, into blocks of 64 elements. A block's scale is its largest absolute value, and each
 * element becomes the code of the nearest of 16 levels in [−1, 1] that hold equal shares of a normal distribution: 4 bits
 * an element and 32 for a block's scale, 4.5 in all. QLoRA also quantises the scales ("double quantization"), which would
 * save another 0.37 bits; here they stay f32, so that what is multiplied is exactly level · scale.
 *
 * In 4 bits are the projections of the layers. Embedding and head, which such a model is more sensitive to, are held in
 * bfloat16, as QLoRA does (a checkpoint that is stored so loses nothing); norms and biases, a thousandth of it, in f32.
 */

import { NF4_BLOCK_SIZE } from "../graph/ops/quantized.ts";
import type { FloatDType } from "../graph/tensor-type.ts";
import { parameterKind } from "./parameter-kinds.ts";
import type { ParameterSpec } from "./parameters.ts";

/** Forms in which base weights can be held packed. */
export const QUANTIZATIONS = ["nf4"] as const;
export type Quantization = (typeof QUANTIZATIONS)[number];

/** The 16 levels by code (QLoRA, appendix E), as f32. */
export const NF4_LEVELS = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

/** Half-way between neighbours: a value above `MIDPOINTS[c]` is nearer to level c + 1 than to level c. */
const MIDPOINTS = NF4_LEVELS.slice(1).map((level, i) => (level + NF4_LEVELS[i]!) / 2);

/** A matrix in NF4; layout in `graph/ops/quantized.ts`. */
export interface Nf4Values {
  /** Two codes a byte. */
  readonly codes: Uint8Array;
  /** One for each block. */
  readonly scales: Float32Array;
}

/** How the numbers of a parameter lie in memory. */
export type Storage = FloatDType | "nf4";

/** In what a model's parameters are held and computed with. */
export interface NumberForm {
  /** Matrices are packed, and nothing of the model can be trained. */
  readonly quantization?: Quantization | undefined;
  /** Dtype of the trunk: the layers and their projections; float32 by default. */
  readonly dtype?: FloatDType | undefined;
}

/** How programs read this parameter. */
export function storageOf({ name }: ParameterSpec, { quantization, dtype = "float32" }: NumberForm): Storage {
  const kind = parameterKind(name);
  const isProjection = kind === "attention" || kind === "mlp";
  if (quantization === undefined) return isProjection ? dtype : "float32";
  if (isProjection) return "nf4";
  return kind === "embedding" || kind === "head" ? "bfloat16" : "float32";
}

/** Name of the codes of a packed parameter. */
export const codesName = (parameter: string): string => `${parameter}.codes`;
/** Name of the scales of a packed parameter. */
export const scalesName = (parameter: string): string => `${parameter}.scales`;

/** How many bytes of codes and how many scales so many elements take. */
export function nf4Lengths(elements: number): { readonly codes: number; readonly scales: number } {
  return { codes: Math.ceil(elements / 2), scales: Math.ceil(elements / NF4_BLOCK_SIZE) };
}

/** The part of a matrix from element `first` on, which begins a block; the same memory. */
export function nf4From({ codes, scales }: Nf4Values, first: number): Nf4Values {
  return { codes: codes.subarray(first / 2), scales: scales.subarray(first / NF4_BLOCK_SIZE) };
}

/** Packs `values` into `target`. A block of zeros has the scale 0. */
export function quantizeNf4(values: Float32Array, { codes, scales }: Nf4Values): void {
  for (let block = 0, start = 0; start < values.length; block++, start += NF4_BLOCK_SIZE) {
    const end = Math.min(start + NF4_BLOCK_SIZE, values.length);
    let largest = 0;
    for (let i = start; i < end; i++) largest = Math.max(largest, Math.abs(values[i]!));
    scales[block] = largest;
    // In f32, as bitsandbytes computes, so that a value half-way between two levels goes the same way.
    let inverse = largest > 0 ? Math.fround(1 / largest) : 0;
    // Of numbers below 2^-128 the reciprocal is infinite in f32, and a zero times it no number.
    if (inverse === Number.POSITIVE_INFINITY) inverse = 1 / largest;
    for (let i = start; i < end; i += 2) {
      const second = i + 1 < end ? nearestLevel(Math.fround(values[i + 1]! * inverse)) : 0;
      codes[i >> 1] = (nearestLevel(Math.fround(values[i]! * inverse)) << 4) | second;
    }
  }
}

/** The code of the level nearest to x in [−1, 1]; the lower one half-way between two. */
function nearestLevel(x: number): number {
  // Four comparisons: a binary search without a loop's branches.
  let code = x > MIDPOINTS[7]! ? 8 : 0;
  if (x > MIDPOINTS[code + 3]!) code += 4;
  if (x > MIDPOINTS[code + 1]!) code += 2;
  if (x > MIDPOINTS[code]!) code += 1;
  return code;
}
