/**
 * The dtype that the trunk of a model computes in (`engine.dtype`), and what follows from it. Weights that are trained,
 * moments, norms, attention, logits, losses and draws are float32 whatever it is (`model/decoder.ts`). Which device has which is
 * `compute/device-dtype.ts`'s.
 */

import type { LoweringTarget } from "../../graph/target.ts";
import { type FloatDType, isHalf } from "../../graph/tensor-type.ts";

/** The dtype of cached keys and values: where the trunk's is emulated they are its numbers, held in float32. */
export function cacheDType(target: Pick<LoweringTarget, "emulates">, trunk: FloatDType = "float32"): FloatDType {
  return isHalf(trunk) && target.emulates.has(trunk) ? "float32" : trunk;
}

/** Whether gradients are computed times a scale (`loss-scale.ts`): many are below 6e-8, float16's least number. */
export function scalesLoss(dtype: FloatDType | undefined): boolean {
  return dtype === "float16";
}
