/** Another program's numbers on WebGPU: PyTorch's losses, norms and weights of two AdamW steps. */

import { describe, it } from "vitest";
import { expectGoldenSteps, golden, titledCases } from "../engine/golden-gradients.ts";
import { gpu } from "./device.ts";

describe(`steps of PyTorch ${golden.versions.torch}`, () => {
  it.each(titledCases)("%s", async (_, one) => {
    await expectGoldenSteps(one, gpu);
  });
});
