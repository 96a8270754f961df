import { describe, expect, it } from "vitest";
import { conformanceChecks } from "../../src/engine/conformance.ts";
import type { WeightForm } from "../../src/model/decoder-parameters.ts";
import { ALL_LORA_TARGETS, type LoraConfig } from "../../src/model/lora.ts";
import { emptyDirectory, MODELS, openEngine } from "./models.ts";

const LORA: LoraConfig = { rank: 3, alpha: 5, dropout: 0, rsLora: false, targets: ["q_proj", "o_proj", "up_proj"] };

const FORMS: readonly (readonly [string, keyof typeof MODELS, WeightForm])[] = [
  ["an adapter on three projections", "tied, query and key norms", { lora: LORA }],
  [
    "rsLoRA on all projections of weights in 4 bits",
    "untied, biases, no norms, heads of 16",
    { lora: { ...LORA, rsLora: true, targets: ALL_LORA_TARGETS }, quantization: "nf4" },
  ],
];

for (const [name, model, form] of FORMS) {
  const open = () => openEngine(MODELS[model], undefined, {}, form);
  const engine = await open();
  const promises = conformanceChecks(engine.capabilities).map((check) => [check.name, check] as const);
  await engine.dispose();

  describe(`the embedded engine with ${name}`, () => {
    it("promises no mixing of references: the mean of two adapters is no adapter of their rank", () => {
      expect(promises.some(([promise]) => promise.startsWith("a reference is moved"))).toBe(false);
    });

    it.each(promises)("%s", (_promise, check) => check.run({ open, emptyDirectory }));
  });
}
