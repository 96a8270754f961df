/** What ONNX Runtime's execution providers of GPUs differ in. */

import type { LoweringTarget } from "../../graph/target.ts";
import type { NativeEnvironment } from "../ort/environment.ts";
import type { Pointer } from "../ort/ort-api.ts";

export interface GpuProvider {
  /** The device's name in recipes. */
  readonly name: string;
  /** Of its memory, as the provider calls it. */
  readonly memoryName: string;
  readonly target: LoweringTarget;
  /**
   * Bytes of a buffer that every adapter allows. A larger one is made without an error even where it is not allowed, so it is
   * tried (`gpu-queue.ts`); absent where an error says so at once.
   */
  readonly sureBufferBytes?: number;
  /** Done once, before anything else. Throws AhaError where what it needs is not here. */
  prepare(environment: NativeEnvironment): void;
  /** Makes sessions with these options run on the provider. */
  append(environment: NativeEnvironment, options: Pointer): void;
  /** What to say where the device cannot be opened; `reason` is ONNX Runtime's own message. */
  absence(reason: string): string;
}
