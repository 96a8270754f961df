/** The embedded engine as the registry of engines lists it: its keys, and how it opens models. */

import { z } from "zod";
import { devices } from "../../compute/devices.ts";
import type { EngineKind, EngineSpec } from "../engine-kind.ts";
import { createEnginesOnOneBase, createLocalEngine } from "./create.ts";
import { createRewardEngine } from "./local-reward-engine.ts";

const shape = {
  device: z
    .string()
    .refine((name) => devices.find(name) !== undefined, {
      error: ({ input }) => `there is no device ${JSON.stringify(input)}; known: ${devices.names.join(", ")}`,
    })
    .optional()
    .describe("what it is computed on; cpu if absent"),
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

export const localEngine: EngineKind = {
  name: "local",
  summary: "the embedded engine: models in this process",
  shape,
  deviceOf: (spec) => specSchema.parse(spec).device,
  openPolicy: async (spec, { path, ...source }, compute) =>
    createLocalEngine(path, compute, { ...source, ...limitsOf(spec) }),
  openShared: async (spec, { path, adapters, quantization }, compute) =>
    createEnginesOnOneBase(path, compute, adapters, { quantization, ...limitsOf(spec) }),
  openRewardModel: async (spec, { path, padTokenId }, compute) => {
    const { microBatchTokens, gradientCheckpointing } = specSchema.parse(spec);
    return createRewardEngine(path, compute, { padTokenId, microBatchTokens, gradientCheckpointing });
  },
};

function limitsOf(spec: EngineSpec) {
  const { cacheMib, device: _, ...limits } = specSchema.parse(spec);
  return { ...limits, ...(cacheMib !== undefined && { cacheBytes: cacheMib * MIB }) };
}
