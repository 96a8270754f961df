/**
 * Steps on SkyRL beside the same steps of the embedded engine, from one adapter: norms of gradients, log-probabilities after.
 *
 * Each is the first step of a new adapter. SkyRL has one A for the projections q, k and v, and one for gate and up (its files
 * have copies of it), where PEFT and Aha have one for each; as long as every B is zero, no A has a gradient, and the two are the
 * same.
 */

import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { Compute } from "../../src/compute/compute.ts";
import { diskFolder } from "../../src/disk-folder.ts";
import { openEngine } from "../../src/engine/open.ts";
import { openTinkerPolicy } from "../../src/engine/tinker/open-tinker.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import {
  SCENARIO_ADAM,
  SCENARIO_LOSSES,
  SCENARIO_SAMPLING,
  scenarioData,
  scenarioPrompts,
} from "../tinker/scenario.ts";

/** A number, and what it may be at most. */
export interface Finding {
  readonly what: string;
  readonly value: number;
  readonly most: number;
}

/**
 * A large ε: with the usual 1e-8 Adam's first step is ±η wherever a gradient is not exactly zero, so entries that are rounding
 * alone could move two programs apart. Whether they would was not measured.
 */
const ADAM = { ...SCENARIO_ADAM, learningRate: 1e-3, epsilon: 1e-3 };

/** What the losses of the scenario are called in findings. */
const NAMES = ["GRPO step", "SFT step", "step by slopes (delta)"];

/** Compares. `directory` is an empty one. */
export async function compareWithLocal(url: string, model: string, directory: string): Promise<Finding[]> {
  const findings: Finding[] = [];
  // A gradient stays in the place that the first model below is given: none of its numbers may show it.
  const before = await openRemote(url, model);
  const samples = await before.sample(scenarioPrompts(), SCENARIO_SAMPLING);
  await before.forwardBackward(scenarioData(samples), { name: "cross_entropy" });
  await before.dispose();
  for (const [i, loss] of SCENARIO_LOSSES.entries()) {
    const found = (what: string, value: number, most: number) =>
      findings.push({ what: `${NAMES[i]}: ${what}`, value, most });
    const remote = await openRemote(url, model);
    const adapter = await mkdtemp(join(directory, "adapter-"));
    await remote.saveWeights(adapter);
    const local = await openEngine(
      { kind: "local", threads: 1 },
      { path: model, adapter },
      Compute.open({ threads: 1 }),
    );
    try {
      const samples = await remote.sample(scenarioPrompts(), SCENARIO_SAMPLING);
      const data = scenarioData(samples);
      const before = [
        await remote.score(data, { temperature: 1 }),
        await local.score(data, { temperature: 1 }),
      ] as const;
      const sampled = samples.map(({ logprobs }) => logprobs);
      found("sampler − trainer, nats", furthest(sampled, before[0].logprobs), 2e-6);
      found("log-probabilities before it", furthest(before[0].logprobs, before[1].logprobs), 1e-5);
      const [there, here] = [await remote.step(data, loss, ADAM), await local.step(data, loss, ADAM)];
      found("gradient norm, relative", Math.abs(there.gradNorm! / here.gradNorm! - 1), 1e-5);
      found("loss", Math.abs(there.loss - here.loss), 1e-5);
      const after = [
        await remote.score(data, { temperature: 1 }),
        await local.score(data, { temperature: 1 }),
      ] as const;
      found("log-probabilities after it", furthest(after[0].logprobs, after[1].logprobs), 1e-5);
      if (i > 0) continue;
      await remote.freezeReference();
      await remote.step(data, { name: "cross_entropy" }, SCENARIO_ADAM);
      const moved = await remote.score(data, { temperature: 1 });
      const reference = await remote.score(data, { temperature: 1, policy: "reference" });
      found("reference − policy when it was frozen", furthest(reference.logprobs, after[0].logprobs), 2e-6);
      const still = await remote.score(data, { temperature: 1 });
      found("policy before and after the reference was asked", furthest(still.logprobs, moved.logprobs), 0);
    } finally {
      await local.dispose();
      await remote.dispose();
    }
  }
  return findings;
}

function openRemote(url: string, model: string) {
  const lora = { rank: 4, alpha: 32, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
  return openTinkerPolicy(
    { url, baseModel: model, profile: "skyrl", rank: undefined, patienceSeconds: 900 },
    { path: model, lora, adapterSeed: 3 },
    diskFolder,
  );
}

function furthest(some: readonly Float32Array[], others: readonly Float32Array[]): number {
  return Math.max(...some.flatMap((row, i) => Array.from(row, (value, t) => Math.abs(value - others[i]![t]!))));
}
