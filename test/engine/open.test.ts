import { describe, expect, it } from "vitest";
import { Compute } from "../../src/compute/compute.ts";
import { requireCapability, requireLossCapability } from "../../src/engine/contract/capabilities.ts";
import { computeFor, engineSchema, openEngine, specBeside } from "../../src/engine/open.ts";
import { ConfigError } from "../../src/errors.ts";
import { TabularEngine } from "./tabular-engine.ts";

const compute = Compute.open({ threads: 2 });

describe("an engine's spec", () => {
  it("is of the embedded engine where it names none", () => {
    expect(engineSchema().parse({ microBatchTokens: 64 })).toMatchObject({ kind: "local", microBatchTokens: 64 });
    expect(engineSchema().parse({})).toEqual({ kind: "local", gradientCheckpointing: false });
  });

  it("decides the device, with the threads of what is open", () => {
    expect(computeFor({ kind: "local", threads: 3 }, compute)).toBe(compute);
    expect(computeFor({ kind: "local", device: "cpu" }, compute)).toBe(compute);
  });

  it("has its own limits for models beside it, where it is the embedded engine", () => {
    const spec = { kind: "local", microBatchTokens: 99 };
    expect(specBeside(spec)).toBe(spec);
    expect(specBeside({ kind: "remote", url: "x" })).toEqual({ kind: "local" });
  });

  it.each<[string, Record<string, unknown> & { kind: string }, RegExp]>([
    ["an unknown engine", { kind: "locale" }, /There is no engine "locale"; known: local\. Did you mean local\?/],
    ["an unknown device", { kind: "local", device: "gpu" }, /device: there is no device "gpu"; known: cpu/],
    [
      "an unknown key",
      { kind: "local", microBatchToken: 3 },
      /microBatchToken: unknown key; did you mean "microBatchTokens"/,
    ],
    [
      "a number that cannot be",
      { kind: "local", maxSlots: 0 },
      /maxSlots: expected a (whole )?number of at least 1, got 0/,
    ],
  ])("with %s is refused: ConfigError", async (_, spec, message) => {
    const opened = openEngine(spec, { path: "nowhere" }, compute);
    await expect(opened).rejects.toThrow(ConfigError);
    await expect(opened).rejects.toThrow(message);
  });
});

describe("a capability", () => {
  const engine = new TabularEngine({ vocabSize: 5 });

  it("that the engine has passes", () => {
    expect(() => requireCapability(engine, "entropies", { key: "entropyCoef" })).not.toThrow();
    expect(() => requireLossCapability(engine, "grpo", { key: "lossType" })).not.toThrow();
  });

  it("that the engine lacks is refused with engine, capability, stage and key: ConfigError", () => {
    const noisy = () => requireCapability(engine, "embeddingNoise", { stage: "sft-1", key: "neftuneNoiseAlpha" });
    expect(noisy).toThrow(ConfigError);
    expect(noisy).toThrow(
      /^Stage sft-1: neftuneNoiseAlpha needs noise on embeddings \(embeddingNoise\), which the engine tabular \(reference\) does not have/,
    );
    const lossless = {
      info: engine.info,
      capabilities: { ...engine.capabilities, losses: ["cross_entropy" as const] },
    };
    expect(() => requireLossCapability(lossless, "sapo", { key: "lossType" })).toThrow(
      /^lossType needs the loss sapo \(it has cross_entropy\), which the engine/,
    );
  });
});
