/** Several clients at once: each gets what it gets alone, and what one does harms no other. */

import { expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { someData, somePrompts } from "../../src/engine/conformance/subject.ts";
import type { AdamParams } from "../../src/engine/contract/policy.ts";
import { openTinkerPolicy } from "../../src/engine/tinker/open-tinker.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { startTinker } from "./tinker-server.ts";

const CLIENTS = 8;
const ADAM: AdamParams = {
  ...{ learningRate: 1e-2, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 },
};
const SAMPLING = { temperature: 1, topP: 1, topK: 0, maxCompletionTokens: 6, stopTokenIds: [1], seed: 5 };

const server = await startTinker({ limits: { mostModels: CLIENTS } });

/** A small run of one client; everything that it is told. */
async function run(client: number): Promise<string> {
  const policy = await openTinkerPolicy(
    { url: server.url, baseModel: "tiny", profile: "aha", rank: undefined, patienceSeconds: 60 },
    {
      path: server.model,
      lora: { rank: 2, alpha: 4, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS },
      adapterSeed: client,
    },
    diskFolder,
  );
  try {
    const told: unknown[] = [];
    await policy.freezeReference();
    for (let iteration = 0; iteration < 3; iteration++) {
      const samples = await policy.sample(somePrompts(policy.info), { ...SAMPLING, iteration });
      told.push(samples.map(({ tokens, logprobs }) => [[...tokens], [...logprobs]]));
      const data = someData(policy.info, 10 * client + iteration);
      const loss =
        iteration === 1
          ? ({ name: "grpo", klCoef: 0.1, temperature: 1 } as const)
          : ({ name: "cross_entropy" } as const);
      const { loss: value, gradNorm, applied } = await policy.step(data, loss, ADAM);
      told.push([value, gradNorm, applied]);
      // A client that does something wrong now and then.
      await expect(policy.optimStep(ADAM)).rejects.toThrow(/gradient/);
      const { logprobs } = await policy.score(data, { temperature: 1, policy: "reference" });
      told.push(logprobs.map((row) => [...row]));
    }
    return JSON.stringify(told);
  } finally {
    await policy.dispose();
  }
}

it(`${CLIENTS} clients at once are told what each is told alone`, async () => {
  const together = await Promise.all(Array.from({ length: CLIENTS }, (_, client) => run(client)));
  expect(new Set(together).size).toBe(CLIENTS);
  for (const client of [0, 3, CLIENTS - 1]) expect(await run(client)).toBe(together[client]);
  expect(server.defects).toEqual([]);
});
