/** Which dtypes the layers of a model can compute in on a device (`engine.dtype`). */

import { EngineError } from "../errors.ts";
import type { LoweringTarget } from "../graph/target.ts";
import { FLOAT_DTYPES, type FloatDType, isHalf } from "../graph/tensor-type.ts";
import type { Device } from "./device.ts";

/** What a model is to do on a device. */
export interface DTypeUse {
  /** It samples completions; false where it only scores, or is trained without being sampled. */
  readonly samples?: boolean;
}

/** Dtypes that a model can sample in on what a graph is lowered for; those that are emulated are the last. */
export function samplingDTypes({ attendsInHalfAlone, computes, emulates }: LoweringTarget): readonly FloatDType[] {
  const halves = [computes, emulates].flatMap((some) =>
    FLOAT_DTYPES.filter((dtype) => isHalf(dtype) && some.has(dtype)),
  );
  return attendsInHalfAlone ? halves : ["float32", ...halves];
}

/** Why a device of this name cannot do that in this dtype, and which key helps; undefined where it can. */
export function dtypeRefusal(
  { name, target }: Pick<Device, "name" | "target">,
  dtype: FloatDType,
  { samples = true }: DTypeUse = {},
): string | undefined {
  const offered = samplingDTypes(target);
  if (offered.includes(dtype) || (dtype === "float32" && !samples)) return undefined;
  if (isHalf(dtype)) {
    return `${name} does not compute in ${dtype}: take ${offered.join(" or ")} for engine.dtype (--dtype).`;
  }
  return (
    `${name} cannot sample in float32: attention over the key-value cache has kernels for 16-bit numbers alone there. ` +
    `Set engine.dtype: ${offered[0]} (--dtype ${offered[0]}).`
  );
}

/**
 * Throws EngineError where a device cannot do that in this dtype, and the device's own AhaError where its driver cannot. Either
 * names the key that helps.
 */
export async function requireDType(device: Device, dtype: FloatDType, use?: DTypeUse): Promise<void> {
  const refusal = dtypeRefusal(device, dtype, use);
  if (refusal !== undefined) throw new EngineError(refusal);
  if (isHalf(dtype)) await device.requireHalf?.(dtype);
}
