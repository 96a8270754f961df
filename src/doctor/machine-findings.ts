/** What this machine says of a recipe: memory that it has not, hours without a checkpoint, other programs at work. */

import { availableParallelism, loadavg } from "node:os";
import type { DeviceMemory } from "../compute/device.ts";
import { dtypeRefusal } from "../compute/device-dtype.ts";
import { devices } from "../compute/devices.ts";
import { otherDeviceOf, trunkOf } from "../engine/local/local-kind.ts";
import { type Finding, refusal } from "../findings.ts";
import type { Recipe, StageConfig } from "../recipe/schema.ts";
import type { DeviceMemoryNeed } from "./device-memory.ts";
import type { StageFigures } from "./diagnosis.ts";

/** Share of this machine's memory beyond which a run is at risk. */
const MEMORY_WARNING = 0.8;
/** A run this long should have checkpoints. */
const LONG_SECONDS = 3600;
/** Load per processor from which other programs are at work. */
const BUSY = 1.25;

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;

/** Other programs at work make every measured time too long. */
export function loadFindings(): Finding[] {
  const load = loadavg()[0]!;
  const processors = availableParallelism();
  if (load <= BUSY * processors) return [];
  return [
    {
      severity: "note",
      id: "machine-busy",
      measured: `load ${load.toFixed(1)} on ${processors} processors`,
      why: "estimated times are those of the machine as it is now, with what else runs on it",
      advice: "measure again when it is quiet",
    },
  ];
}

/** `isHere`: the model is on this machine; else another one is probably meant to train it. */
export function memoryFindings(estimate: number, machine: number, isHere: boolean): Finding[] {
  if (estimate <= MEMORY_WARNING * machine) return [];
  return [
    {
      severity: isHere && estimate > machine ? "error" : "warning",
      id: "memory",
      measured: `about ${gib(estimate)} at the peak, this machine has ${gib(machine)}`,
      why: "a process without memory is killed",
      advice:
        "train an adapter (model.lora, quantization nf4), set engine.gradientCheckpointing, or take a larger machine",
    },
  ];
}

/** `memories`: of the GPUs that may compute it, as far as drivers say it, that one first which is taken. */
export function deviceMemoryFindings({ bytes, parts }: DeviceMemoryNeed, memories: readonly DeviceMemory[]): Finding[] {
  const [taken] = memories;
  if (taken === undefined) return [];
  const free = taken.freeBytes ?? taken.bytes;
  if (bytes <= MEMORY_WARNING * free) return [];
  const most = parts.slice(0, 3).map((part) => `${part.what} ${gib(part.bytes)}`);
  const now = free < taken.bytes ? `, of which ${gib(free)} are free now` : "";
  return [
    {
      severity: bytes > taken.bytes ? "error" : "warning",
      id: "device-memory",
      measured: `about ${gib(bytes)} at the peak (${most.join(", ")}, …), ${taken.name} has ${gib(taken.bytes)}${now}`,
      why: "a run on a GPU without memory ends with an error",
      advice:
        "lower engine.microBatchTokens or engine.cacheMib, set engine.gradientCheckpointing, or train an adapter (model.lora, quantization nf4)",
    },
  ];
}

/** What WebGPU promises of any adapter (`maxBufferSize`). Those of GPUs allow more, which is known where it is tried. */
const WEBGPU_BUFFER_BYTES = 2 ** 28;

/** A buffer that an adapter of WebGPU need not allow. */
export function bufferFindings(
  { largestBuffer, largestBufferBytes }: Pick<DeviceMemoryNeed, "largestBuffer" | "largestBufferBytes">,
  device: string,
): Finding[] {
  if (device !== "webgpu" || largestBufferBytes <= WEBGPU_BUFFER_BYTES) return [];
  return [
    {
      severity: "note",
      id: "device-buffer",
      measured: `the largest buffer (${largestBuffer}) takes ${gib(largestBufferBytes)}`,
      why: `WebGPU promises ${gib(WEBGPU_BUFFER_BYTES)} for one; adapters of GPUs mostly allow 2 to 4 GiB, and above its limit a run is refused`,
      advice: "where it is refused take a smaller model, or engine.device: cuda or cpu",
    },
  ];
}

/** A dtype that the device which the recipe names cannot sample in, whatever machine it is. */
export function dtypeFindings({ engine }: Pick<Recipe, "engine">): Finding[] {
  const kind = devices.find(otherDeviceOf(engine) ?? "");
  if (kind?.target === undefined) return [];
  const refused = dtypeRefusal({ name: kind.name, target: kind.target }, trunkOf(engine));
  return refused === undefined ? [] : [refusal("engine", refused)];
}

/** A long stage that would lose everything. */
export function checkpointFindings(stage: StageConfig, { estimatedSeconds }: StageFigures): Finding[] {
  if (estimatedSeconds === null || estimatedSeconds < LONG_SECONDS || stage.checkpointEvery > 0) return [];
  return [
    {
      severity: "warning",
      id: "no-checkpoints",
      stage: stage.name,
      measured: `about ${(estimatedSeconds / 3600).toFixed(1)} hours, checkpointEvery 0`,
      why: "a run that is killed loses the whole stage",
      advice: "set checkpointEvery",
    },
  ];
}
