/** Every promise of the engine contract, kept on WebGPU. */

import { describe, expect, it } from "vitest";
import { conformanceChecks } from "../../src/engine/conformance.ts";
import type { WeightForm } from "../../src/model/decoder-parameters.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { emptyDirectory, MODELS, openEngine } from "../engine/models.ts";
import { gpu } from "./device.ts";

const LORA = { rank: 3, alpha: 6, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
const FORMS: Record<string, WeightForm> = {
  "whole weights": {},
  "packed weights and an adapter": { lora: LORA, quantization: "nf4" },
};

describe.each(Object.entries(FORMS))("the embedded engine on WebGPU, %s", async (_, form) => {
  const config = MODELS["tied, query and key norms"];
  const open = () => openEngine(config, undefined, { microBatchTokens: 24, maxSlots: 3 }, form, undefined, gpu);
  const engine = await open();
  const checks = conformanceChecks(engine.capabilities);
  await engine.dispose();
  it.each(checks.map((check) => [check.name, check] as const))("%s", async (_name, check) => {
    await check.run({ open, emptyDirectory });
    expect(gpu.traffic.runs).toBeGreaterThan(0);
  });
});
