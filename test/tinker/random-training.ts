/** A client that trains by a random program on a server of policies that note what is done to them (`recording-policy.ts`). */

import { expect } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import type { AdamParams, Datum } from "../../src/engine/contract/policy.ts";
import { openTinkerPolicy } from "../../src/engine/tinker/open-tinker.ts";
import { ServerLost, type Wire } from "../../src/engine/tinker/transport.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import type { Random } from "../../src/random.ts";
import { FAILING_WEIGHT, fingerprintOf } from "./recording-policy.ts";

/** Time that passes as soon as somebody waits for it. */
export function quickClock() {
  let now = 0;
  return {
    now: () => now,
    sleep: async (milliseconds: number) => {
      now += milliseconds;
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

const LORA = { rank: 2, alpha: 4, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };

/** A policy over a wire; `path`: any directory. */
export const openOver = (wire: Wire, path: string, patienceSeconds = 3600) =>
  openTinkerPolicy(
    { url: "http://tinker.test", baseModel: "tiny", rank: undefined, profile: "aha", patienceSeconds },
    { path, lora: LORA },
    diskFolder,
    { wire, clock: quickClock(), environment: {} },
  );

/** A step of which the learning rate is noted. */
export const adam = (learningRate: number): AdamParams => ({
  ...{ learningRate, beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 0 },
});

/** A datum of which the weight is noted. */
export const datum = (weight: number): Datum => ({
  promptTokens: Int32Array.of(3),
  completionTokens: Int32Array.of(4, 5),
  weights: Float32Array.of(weight, weight),
});

/** Trains for a while by a random program; returns what has to be in the log. */
export async function train(
  policy: Awaited<ReturnType<typeof openOver>>,
  random: Random,
  units: number,
  log: string[],
): Promise<void> {
  let hasGradient = false;
  const check = (logprobs: readonly Float32Array[]) => expect(logprobs[0]![0]).toBe(fingerprintOf(log));
  for (let unit = 1; unit <= units; unit++) {
    const pass = `pass ${unit},${unit}`;
    switch (random.integer(7)) {
      case 0:
        await policy.forwardBackward([datum(unit)], { name: "cross_entropy" });
        log.push(pass);
        hasGradient = true;
        break;
      case 1:
        if (!hasGradient) break;
        await policy.optimStep(adam(unit));
        log.push(`step ${unit}`);
        hasGradient = false;
        break;
      case 2:
        check((await policy.score([datum(1)], { temperature: 1 })).logprobs);
        break;
      case 3: {
        const bad = policy.forwardBackward([datum(FAILING_WEIGHT)], { name: "cross_entropy" });
        const error = await bad.catch((reason: unknown) => reason);
        if (error instanceof ServerLost) throw error;
        expect(String(error)).toContain("as it was told to");
        break;
      }
      case 4: {
        const prompts = [4, 5].map((token, promptId) => ({ tokens: Int32Array.of(token), numSamples: 2, promptId }));
        const params = {
          temperature: 1,
          topP: 1,
          topK: 0,
          maxCompletionTokens: 2,
          stopTokenIds: [],
          seed: 1,
          iteration: 0,
        };
        const samples = await policy.sample(prompts, params);
        expect(samples).toHaveLength(4);
        check(samples.map(({ logprobs }) => logprobs));
        break;
      }
      default: {
        const { gradNorm } = await policy.step([datum(unit)], { name: "cross_entropy" }, adam(unit));
        log.push(pass, `step ${unit}`);
        expect(gradNorm).toBe(log.length);
        hasGradient = false;
      }
    }
  }
}
