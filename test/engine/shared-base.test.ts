/** Several adapters over one set of weights: each is what it is alone, and none changes what the others read. */

import { afterAll, describe, expect, it } from "vitest";
import { Compute } from "../../src/compute/compute.ts";
import { diskFolder } from "../../src/disk-folder.ts";
import type { Policy } from "../../src/engine/contract/policy.ts";
import { openEngine, openSharedEngines } from "../../src/engine/open.ts";
import { EngineError } from "../../src/errors.ts";
import { ALL_LORA_TARGETS, type LoraConfig } from "../../src/model/lora.ts";
import { writePeftAdapter } from "../../src/model/peft-adapter.ts";
import { adapterValues, emptyDirectory, MODELS, writeModel } from "./models.ts";

const CONFIG = MODELS["untied, biases, no norms, heads of 16"];
const SPEC = { kind: "local" };
const compute = Compute.open({ threads: 2 });
const opened: Policy[] = [];
afterAll(() => Promise.all(opened.map((engine) => engine.dispose())));

/** A model, and adapters of two forms. */
async function files() {
  const path = await writeModel(CONFIG);
  const adapters = [];
  for (const [i, targets] of [ALL_LORA_TARGETS, ["q_proj", "up_proj"] as const].entries()) {
    const lora: LoraConfig = { rank: 2 + i, alpha: 5, dropout: 0, rsLora: false, targets };
    const directory = await emptyDirectory();
    const values = adapterValues(CONFIG, lora, 7 + i);
    await writePeftAdapter(diskFolder(directory), CONFIG, lora, ({ name }) => values.get(name)!, path);
    adapters.push(directory);
  }
  return { path, adapters };
}

const prompts = [{ tokens: Int32Array.of(3, 9, 4), numSamples: 3, promptId: 1 }];
const params = { temperature: 1, topP: 1, topK: 0, maxCompletionTokens: 9, stopTokenIds: [], seed: 2, iteration: 0 };
const sampled = async (engine: Policy) => (await engine.sample(prompts, params)).map(({ tokens }) => [...tokens]);

describe("models over one base", () => {
  it("sample what each samples alone, also while the others do", async () => {
    const { path, adapters } = await files();
    const all = [undefined, ...adapters];
    const shared = await openSharedEngines(SPEC, { path, adapters: all }, compute);
    opened.push(...shared);
    const together = await Promise.all([...shared, ...shared].map(sampled));
    for (const [i, adapter] of all.entries()) {
      const alone = await openEngine(SPEC, { path, ...(adapter && { adapter }) }, compute);
      const expected = await sampled(alone);
      await alone.dispose();
      expect([together[i], together[i + all.length]]).toEqual([expected, expected]);
    }
    expect(new Set(together.map((samples) => JSON.stringify(samples))).size).toBe(3);
  });

  it("train adapters and not what they share, and go one by one", async () => {
    const { path, adapters } = await files();
    const [base, first, second] = await openSharedEngines(SPEC, { path, adapters: [undefined, ...adapters] }, compute);
    opened.push(base!, first!, second!);
    const [plain, other] = [await sampled(base!), await sampled(second!)];
    const completion = Int32Array.of(5, 6, 7, 8);
    const datum = {
      promptTokens: Int32Array.of(2, 3),
      completionTokens: completion,
      weights: new Float32Array(4).fill(1),
    };
    const adam = { learningRate: 0.3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 0 };
    const before = await sampled(first!);
    await first!.forwardBackward([datum], { name: "cross_entropy" });
    await first!.optimStep(adam);
    expect(await sampled(first!)).not.toEqual(before);
    expect([await sampled(base!), await sampled(second!)]).toEqual([plain, other]);
    expect([base!.capabilities.training, first!.capabilities.training]).toEqual(["none", "adapter"]);
    await expect(base!.forwardBackward([datum], { name: "cross_entropy" })).rejects.toThrow(EngineError);
    await base!.dispose();
    await first!.dispose();
    expect(await sampled(second!)).toEqual(other);
  });
});
