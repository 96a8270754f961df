/** The embedded engine as the registry of engines lists it: its keys, and how it opens models. */

import { z } from "zod";
import type { Computing } from "../../compute/computing.ts";
import { devices } from "../../compute/devices.ts";
import { FLOAT_DTYPES, type FloatDType } from "../../graph/tensor-type.ts";
import type { EngineKind, EngineSpec } from "../engine-kind.ts";
import { type GivenLimits, type LocalLimits, limitsFrom } from "./limits.ts";
import type { LocalSurroundings } from "./open-local.ts";

const shape = {
  device: z
    .string()
    .refine((name) => devices.find(name) !== undefined, {
      error: ({ input }) => `there is no device ${JSON.stringify(input)}; known: ${devices.names.join(", ")}`,
    })
    .optional()
    .describe("what it is computed on: cpu, webgpu, cuda, or auto, a GPU where there is one; cpu if absent"),
  dtype: z
    .enum(FLOAT_DTYPES)
    .optional()
    .describe(
      "what the layers compute in: bfloat16 or float16 on GPUs, emulated on the CPU (docs/gpu.md); trained weights, attention, logits and losses are float32 in any case; float32 if absent",
    ),
  logitChunkTokens: z
    .int()
    .min(1)
    .optional()
    .describe(
      "completion tokens whose logits are in memory at once; as many as fit into 128 MiB (64 with quantization) if absent",
    ),
  microBatchTokens: z
    .int()
    .min(1)
    .optional()
    .describe("token positions that are scored or trained on at once: memory, not results; 2048 if absent"),
  gradientCheckpointing: z
    .boolean()
    .default(false)
    .describe("keep only each layer's input for the backward pass, which computes the layer again: memory for time"),
  maxSlots: z.int().min(1).optional().describe("sequences sampled at once, at most; 256 if absent"),
  cacheMib: z
    .int()
    .min(1)
    .optional()
    .describe("MiB of memory for the keys and values of sequences being sampled; 1024 if absent"),
};

const specSchema = z.object(shape);

const MIB = 2 ** 20;

/** Loaded when a model is opened: recipes are checked without it. */
const openers = () => import("./open-local.ts");

async function surroundings(spec: EngineSpec, compute: Computing): Promise<LocalSurroundings> {
  const dtype = trunkOf(spec);
  return { device: await compute.device(dtype), dtype, folderAt: (path) => compute.folderAt(path) };
}

/** The embedded engine. */
export const localEngine: EngineKind = {
  name: "local",
  summary: "the embedded engine: models in this process",
  shape,
  deviceOf: (spec) => specSchema.parse(spec).device,
  openPolicy: async (spec, source, compute) => {
    const { openLocalPolicy } = await openers();
    return openLocalPolicy(await surroundings(spec, compute), source, givenLimits(spec));
  },
  openShared: async (spec, source, compute) => {
    const { openLocalPolicies } = await openers();
    return openLocalPolicies(await surroundings(spec, compute), source, givenLimits(spec));
  },
  openBase: async (spec, source, compute) => {
    const { openLocalBase } = await openers();
    return openLocalBase(await surroundings(spec, compute), source, givenLimits(spec));
  },
  openRewardModel: async (spec, source, compute) => {
    const { openLocalRewardModel } = await openers();
    return openLocalRewardModel(await surroundings(spec, compute), source, givenLimits(spec));
  },
};

/** The dtype that the trunk computes in by a spec of this engine. */
export function trunkOf(spec: EngineSpec): FloatDType {
  return specSchema.parse(spec).dtype ?? "float32";
}

/** Whether 16 bits are emulated by a spec of this engine: on the processors, which hold activations in float32. */
export function isEmulated(spec: EngineSpec): boolean {
  return (specSchema.parse(spec).device ?? "cpu") === "cpu";
}

/** The device that a spec of this engine names, where its models are not the host's to hold; undefined: the processors. */
export function otherDeviceOf(spec: EngineSpec): string | undefined {
  const device = spec.kind === localEngine.name ? specSchema.parse(spec).device : undefined;
  return device === "cpu" ? undefined : device;
}

/** The limits of a spec, defaults filled in; undefined for a spec of another engine. */
export function localLimitsOf(spec: EngineSpec): LocalLimits | undefined {
  return spec.kind === localEngine.name ? limitsFrom(givenLimits(spec)) : undefined;
}

function givenLimits(spec: unknown): GivenLimits {
  const { cacheMib, device: _, dtype: __, ...limits } = specSchema.parse(spec);
  return { ...limits, cacheBytes: cacheMib === undefined ? undefined : cacheMib * MIB };
}
