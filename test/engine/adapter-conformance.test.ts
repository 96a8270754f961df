import { describe, it } from "vitest";
import { CONFORMANCE_CHECKS } from "../../src/engine/conformance.ts";
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

describe.each(FORMS)("the embedded engine with %s", (_, model, form) => {
  const open = async () => openEngine(MODELS[model], undefined, {}, form);
  // The mean of two adapters is no adapter of their rank, so mixing is refused by name.
  const checks = CONFORMANCE_CHECKS.filter(({ name }) => !name.startsWith("a reference is moved towards the policy"));
  it.each(checks.map((check) => [check.name, check] as const))("%s", (_name, check) =>
    check.run({ open, emptyDirectory }),
  );
});
