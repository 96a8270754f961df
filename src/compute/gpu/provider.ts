/** What ONNX Runtime's execution providers of GPUs differ in. */

import type { LoweringTarget } from "../../graph/target.ts";
import type { OrtEnvironment } from "../ort/environment.ts";
import type { Pointer } from "../ort/ort-api.ts";

export interface GpuProvider {
  /** The device's name in recipes. */
  readonly name: string;
  /** Of its memory, as the provider calls it. */
  readonly memoryName: string;
  readonly target: LoweringTarget;
  /** Done once, before anything else. Throws AhaError where what it needs is not here. */
  prepare(environment: OrtEnvironment): void;
  /** Makes sessions with these options run on the provider. */
  append(environment: OrtEnvironment, options: Pointer): void;
  /** What to say where the device cannot be opened; `reason` is ONNX Runtime's own message. */
  absence(reason: string): string;
}
