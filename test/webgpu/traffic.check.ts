/** What goes between host and device in a step, in bytes: nothing of the model, no logits, no cache. */

import { describe, expect, it } from "vitest";
import { MODELS, openEngine } from "../engine/models.ts";
import { ADAM, someData } from "./compared.ts";
import { gpu } from "./device.ts";

const config = MODELS["tied, query and key norms"];

async function during(work: () => Promise<unknown>) {
  const before = { ...gpu.traffic };
  await work();
  const after = gpu.traffic;
  return { up: after.up - before.up, down: after.down - before.down, waits: after.waits - before.waits };
}

describe("traffic", () => {
  it("of a decoding step is at most 1 KiB up for 8 sequences, and 8 bytes a sequence down in one transfer", async () => {
    const engine = await openEngine(config, undefined, {}, {}, undefined, gpu);
    const prompts = [{ tokens: Int32Array.of(3, 4, 5), numSamples: 8, promptId: 0 }];
    const sampling = { temperature: 1, topP: 1, topK: 0, stopTokenIds: [], seed: 1, iteration: 0 };
    const sample = (maxCompletionTokens: number) =>
      during(() => engine.sample(prompts, { ...sampling, maxCompletionTokens }));
    await sample(9);
    const [short, long] = [await sample(8), await sample(9)];
    console.log("a decoding step of 8 sequences:", { up: long.up - short.up, down: long.down - short.down });
    expect(long.up - short.up).toBeLessThanOrEqual(1024);
    expect(long.down - short.down).toBe(8 * 8);
    expect(long.waits - short.waits).toBe(1);
    await engine.dispose();
  });

  it("of a training step is its data up, and loss, norm and numbers of tokens down", async () => {
    const engine = await openEngine(config, undefined, {}, {}, undefined, gpu);
    const data = someData(config.vocabSize);
    const step = () => engine.step(data, { name: "cross_entropy" }, ADAM);
    await step();
    const bytes = await during(step);
    console.log("a training step:", bytes);
    const positions = 6 * Math.max(...data.map(({ completionTokens }) => completionTokens.length));
    expect(bytes.down).toBe(4 * (2 + 3 * positions));
    expect(bytes.waits).toBe(1);
    expect(bytes.up).toBeLessThan(8192);
    await engine.dispose();
  });
});
