/**
 * The client against what servers of the protocol once answered (`record.ts`): it asks for the same bytes and comes to the same
 * numbers, also where every other request is lost, refused for the moment, or arrives twice.
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { openTinkerPolicy } from "../../src/engine/tinker/open-tinker.ts";
import { profileNamed } from "../../src/engine/tinker/profile.ts";
import { ServerLost, type Wire } from "../../src/engine/tinker/transport.ts";
import { ConfigError } from "../../src/errors.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { Random } from "../../src/random.ts";
import { faultyWire } from "./faulty-wire.ts";
import { quickClock } from "./random-training.ts";
import { type Recording, replayingWire } from "./recorded.ts";
import { runScenario, SCENARIO_LOSSES } from "./scenario.ts";

const root = mkdtempSync(join(tmpdir(), "aha-tinker-replayed-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const RECORDINGS = join(import.meta.dirname, "../golden/tinker");
const recordings = readdirSync(RECORDINGS)
  .filter((name) => name.endsWith(".json"))
  .map((name) => JSON.parse(readFileSync(join(RECORDINGS, name), "utf8")) as Recording);

interface Outcome {
  readonly samples: readonly { readonly tokens: number[]; readonly logprobs: number[] }[];
  readonly before: number[][];
  readonly steps: readonly { readonly loss: number; readonly gradNorm: number | null; readonly logprobs: number[][] }[];
  readonly reference: number[][];
  readonly moved: number[][];
  readonly restored: number[][];
}

async function outcomeOver(wire: Wire, { profile, baseModel, config, refusal }: Recording): Promise<Outcome> {
  const path = mkdtempSync(join(root, "base-"));
  writeFileSync(join(path, "config.json"), JSON.stringify(config));
  const lora = { rank: 4, alpha: 32, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
  const open = (probes: boolean) =>
    openTinkerPolicy(
      { url: "http://tinker.test", baseModel, profile, rank: undefined, patienceSeconds: 3600 },
      { path, lora, adapterSeed: 3 },
      diskFolder,
      { wire, clock: quickClock(), environment: {}, probes },
    );
  const policy = await open(refusal !== undefined).catch((error: unknown) => {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.message).toBe(refusal);
    return open(false);
  });
  const outcome = await runScenario(policy, async () => mkdtempSync(join(root, "state-")));
  await policy.dispose();
  return JSON.parse(JSON.stringify(outcome)) as Outcome;
}

const furthest = (some: readonly number[][], others: readonly number[][]) =>
  Math.max(...some.flatMap((row, i) => row.map((value, t) => Math.abs(value - others[i]![t]!))));

describe.each(recordings.map((recording) => [recording.profile, recording] as const))("%s", (name, recording) => {
  it("is asked for the same bytes, and comes to the same numbers", async () => {
    const { wire, unasked } = replayingWire(recording);
    const outcome = await outcomeOver(wire, recording);
    expect(outcome).toEqual(recording.outcome);
    expect(unasked()).toEqual([]);
  });

  it("comes to the same numbers under faults; where nothing may be sent twice it gives up instead", async () => {
    for (let seed = 0; seed < 5; seed++) {
      const { wire } = replayingWire(recording);
      const faulty = faultyWire(wire, new Random(seed, name), 0.4);
      const outcome = await outcomeOver(faulty.wire, recording).catch((error: unknown) => error);
      if (outcome instanceof ServerLost) expect(profileNamed(name).repeats).toBe(false);
      else expect(outcome).toEqual(recording.outcome);
    }
  });

  it.skipIf(recording.isToy)(
    "samples with the probabilities that it trains, steps, keeps a reference, and goes on from a state",
    () => {
      const { samples, before, steps, reference, moved, restored } = recording.outcome as Outcome;
      expect(
        furthest(
          samples.map(({ logprobs }) => logprobs),
          before,
        ),
      ).toBeLessThanOrEqual(2e-6);
      expect(steps).toHaveLength(SCENARIO_LOSSES.length);
      for (const [i, { gradNorm, logprobs }] of steps.entries()) {
        expect(gradNorm === null).toBe(profileNamed(name).gradientNorm === undefined);
        expect(furthest(logprobs, i === 0 ? before : steps[i - 1]!.logprobs)).toBeGreaterThan(1e-4);
      }
      // The weights are those of a mean over tokens, and the second loss is cross-entropy: its value is known.
      const tokens = steps[0]!.logprobs.flat();
      const mean = -tokens.reduce((sum, logprob) => sum + logprob, 0) / tokens.length;
      expect(SCENARIO_LOSSES[1].name).toBe("cross_entropy");
      expect(Math.abs(steps[1]!.loss - mean)).toBeLessThan(1e-5 * mean);
      const last = steps.at(-1)!.logprobs;
      expect(furthest(moved, last)).toBeGreaterThan(1e-4);
      expect(furthest(reference, last)).toBeLessThanOrEqual(2e-6);
      expect(furthest(restored, last)).toBeLessThanOrEqual(2e-6);
    },
  );
});
