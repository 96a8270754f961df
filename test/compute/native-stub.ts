/**
 * ONNX Runtime's C API without a device: every call succeeds and computes nothing, but for those that a test makes fail. What is
 * downloaded are the numbers that the first program on a device is to give (`try-out.ts`).
 */

import type { GpuProvider } from "../../src/compute/gpu/provider.ts";
import type { NativeApi, NativeEnvironment } from "../../src/compute/ort/environment.ts";
import { RuntimeFailure } from "../../src/errors.ts";
import { ONNX_RUNTIME_WEBGPU } from "../../src/graph/target.ts";

/** The stub, and the words that a call of a name fails with from now on. */
export interface StubbedEnvironment extends NativeEnvironment {
  readonly failing: Map<string, string>;
  /** What is uploaded is gone, as with a buffer that WebGPU could not make. */
  forgets: boolean;
  /** Names of the calls so far. */
  readonly calls: string[];
}

const TRIED = Float32Array.of(2, 2, 12, 2);

export function stubbedEnvironment(version = "1.30.0"): StubbedEnvironment {
  const failing = new Map<string, string>();
  const calls: string[] = [];
  const memory = { forgets: false };
  const hostValues = new Map<bigint, unknown>();
  let handles = 0n;
  const call = (name: string, ...operands: unknown[]): void => {
    calls.push(name);
    const words = failing.get(name);
    if (words !== undefined) throw new RuntimeFailure(`ONNX Runtime, ${name}: ${words}`);
    if (name !== "CopyTensors") return;
    for (const target of operands[2] as BigUint64Array) {
      const data = hostValues.get(target);
      if (data instanceof Float32Array) data.set(memory.forgets ? [0] : TRIED.subarray(0, data.length));
    }
  };
  const create = (name: string, ...operands: unknown[]): bigint => {
    call(name, ...operands);
    handles++;
    if (name === "CreateTensorWithDataAsOrtValue") hostValues.set(handles, operands[1]);
    return handles;
  };
  const api: NativeApi = {
    libraryPath: "stub",
    version,
    call,
    create,
    release: (name) => void calls.push(name),
    callAsync: async (...operands) => call(...operands),
    createAsync: async (...operands) => create(...operands),
  };
  return Object.assign(memory, { api, handle: 0n, hostMemory: 0n, failing, calls });
}

export function stubbedProvider(): GpuProvider {
  return {
    name: "stub",
    memoryName: "Stub",
    target: ONNX_RUNTIME_WEBGPU,
    prepare: () => {},
    append: () => {},
    absence: (reason) => `There is no stub here: ${reason}.`,
  };
}
