/** What is used of WebGPU (the browser's `navigator.gpu`), and of ONNX Runtime's module where it is built with it. */

import type { Address, OrtModule } from "./ort-module.ts";

/** A buffer of the GPU's. */
export interface GpuBuffer {
  readonly size: number;
  mapAsync(mode: number): Promise<void>;
  getMappedRange(): ArrayBuffer;
  unmap(): void;
  destroy(): void;
}

interface GpuCommandEncoder {
  copyBufferToBuffer(source: GpuBuffer, from: number, target: GpuBuffer, to: number, bytes: number): void;
  finish(): unknown;
}

/** A GPU that is open. */
export interface BrowserGpu {
  readonly queue: {
    writeBuffer(buffer: GpuBuffer, at: number, data: ArrayBufferView): void;
    submit(commands: readonly unknown[]): void;
  };
  readonly lost: Promise<{ readonly message: string }>;
  createBuffer(description: { readonly size: number; readonly usage: number }): GpuBuffer;
  createCommandEncoder(): GpuCommandEncoder;
  /** Gives up everything that was made of it. */
  destroy(): void;
  addEventListener(
    type: "uncapturederror",
    listen: (event: { readonly error: { readonly message: string } }) => void,
  ): void;
}

/** A GPU that there is. */
export interface BrowserAdapter {
  readonly info?: { readonly vendor?: string; readonly architecture?: string; readonly description?: string };
  readonly features: { has(name: string): boolean };
  readonly limits: Readonly<Record<string, number>>;
  requestDevice(description: {
    readonly requiredFeatures: readonly string[];
    readonly requiredLimits: Readonly<Record<string, number>>;
  }): Promise<BrowserGpu>;
}

/** Bits of `GPUBufferUsage`. */
export const USAGE = { mapRead: 0x1, copySource: 0x4, copyTarget: 0x8, storage: 0x80 } as const;
/** Of `GPUMapMode`. */
export const MAP_READ = 1;

/** The module of ONNX Runtime with WebGPU. */
export interface OrtGpuModule extends OrtModule {
  webgpuInit(onDevice: (device: BrowserGpu) => void): void;
  webgpuRegisterDevice(device: BrowserGpu): readonly [deviceId: number, instance: number, device: number] | undefined;
  webgpuOnCreateSession(session: Address): void;
  webgpuOnReleaseSession(session: Address): void;
  webgpuRegisterBuffer(buffer: GpuBuffer, session: Address): Address;
  webgpuUnregisterBuffer(buffer: GpuBuffer): void;
}
