import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { Compute } from "../../src/compute/compute.ts";
import type { RewardModel, TokenPair } from "../../src/engine/contract/reward-model.ts";
import { openEngine, openRewardModel } from "../../src/engine/open.ts";
import { CheckpointError, EngineError } from "../../src/errors.ts";
import { emptyDirectory, MODELS, writeModel } from "./models.ts";

interface Golden {
  readonly tolerance: number;
  readonly centering: number;
  readonly models: Record<string, { sequences: number[][]; rewards: number[]; loss: number; gradNorm: number }>;
}

const here = fileURLToPath(new URL("../golden/", import.meta.url));
const golden = JSON.parse(readFileSync(join(here, "reward-models.json"), "utf8")) as Golden;
const directoryOf = (name: string) => join(here, "reward-models", name);
const ADAM = { learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, maxGradNorm: 1 };

/** Sequences 0, 1, 2, 3, … as pairs (0, 1), (2, 3), … of equal weight. */
function pairsOf(sequences: readonly number[][]): TokenPair[] {
  const pairs: TokenPair[] = [];
  for (let i = 0; i + 1 < sequences.length; i += 2) {
    const [chosen, rejected] = [Int32Array.from(sequences[i]!), Int32Array.from(sequences[i + 1]!)];
    pairs.push({ chosen, rejected, weight: 2 / sequences.length });
  }
  return pairs;
}

async function withEngine<T>(
  directory: string,
  work: (engine: RewardModel) => Promise<T>,
  { padTokenId, ...limits }: { padTokenId?: number; microBatchTokens?: number; gradientCheckpointing?: boolean } = {},
): Promise<T> {
  const engine = await openRewardModel(
    { kind: "local", ...limits },
    { path: directory, padTokenId },
    Compute.open({ threads: 2 }),
  );
  try {
    return await work(engine);
  } finally {
    await engine.dispose();
  }
}

describe.each(Object.entries(golden.models))("a reward model of transformers, %s", (name, expected) => {
  it("gives transformers' rewards, loss and gradient, however it is cut into batches", async () => {
    const sequences = expected.sequences.map((tokens) => Int32Array.from(tokens));
    for (const microBatchTokens of [4096, 20]) {
      await withEngine(
        directoryOf(name),
        async (engine) => {
          const rewards = await engine.score(sequences);
          rewards.forEach((reward, i) => {
            expect(Math.abs(reward - expected.rewards[i]!)).toBeLessThan(golden.tolerance);
          });
          const result = await engine.forwardBackward(pairsOf(expected.sequences), { centering: golden.centering });
          expect(result.loss).toBeCloseTo(expected.loss, 4);
          expect([...result.chosen].map((r) => r.toFixed(3))).toEqual(
            expected.rewards.filter((_, i) => i % 2 === 0).map((r) => r.toFixed(3)),
          );
          const { gradNorm, applied } = await engine.optimStep(ADAM);
          expect(applied).toBe(true);
          expect(Math.abs(gradNorm! / expected.gradNorm - 1)).toBeLessThan(golden.tolerance);
        },
        { microBatchTokens, gradientCheckpointing: microBatchTokens === 20 },
      );
    }
  });
});

describe("the embedded reward engine", () => {
  const { sequences } = golden.models.qwen2!;
  const pairs = pairsOf(sequences);

  it("does not read trailing padding, and scores a text the same alone and among others", async () => {
    await withEngine(directoryOf("qwen2"), async (engine) => {
      const padded = Int32Array.from([...sequences[0]!, 0, 0]);
      const [alone] = await engine.score([Int32Array.from(sequences[0]!)]);
      const rewards = await engine.score([padded, Int32Array.from(sequences[2]!)]);
      expect(rewards[0]).toBeCloseTo(alone!, 5);
    });
  });

  it("goes on from a saved state to the bit, and what it saves as a model gives the same rewards", async () => {
    const [state, model] = [await emptyDirectory(), await emptyDirectory()];
    const step = async (engine: RewardModel) => {
      const { loss } = await engine.forwardBackward(pairs, { centering: 0 });
      await engine.optimStep(ADAM);
      return loss;
    };
    const [losses, rewards] = await withEngine(directoryOf("qwen2"), async (engine) => {
      await step(engine);
      await engine.saveState(state);
      const losses = [await step(engine), await step(engine)];
      await engine.saveWeights(model);
      return [losses, await engine.score(pairs.map(({ chosen }) => chosen))];
    });
    await withEngine(directoryOf("qwen2"), async (engine) => {
      await engine.loadState(state);
      expect([await step(engine), await step(engine)]).toEqual(losses);
    });
    await withEngine(model, async (engine) => {
      expect(await engine.score(pairs.map(({ chosen }) => chosen))).toEqual(rewards);
    });
    expect(losses[1]).toBeLessThan(losses[0]!);
  });

  it("makes of a language model one that scores everything 0, tied head or not, and learns from there", async () => {
    for (const name of ["tied, query and key norms", "untied, biases, no norms, heads of 16"] as const) {
      await withEngine(await writeModel(MODELS[name]), async (engine) => {
        const own = [Int32Array.of(3, 4, 5), Int32Array.of(3, 9, 5, 2)] as const;
        expect([...(await engine.score(own))]).toEqual([0, 0]);
        const pair = { chosen: own[0], rejected: own[1], weight: 1 };
        const first = await engine.forwardBackward([pair], { centering: 0 });
        expect(first.loss).toBeCloseTo(Math.LN2, 6);
        await engine.optimStep(ADAM);
        const [better, worse] = await engine.score(own);
        expect(better).toBeGreaterThan(worse!);
      });
    }
  });

  it("refuses what it cannot score, and is no policy", async () => {
    await withEngine(directoryOf("qwen2"), async (engine) => {
      await expect(engine.score([new Int32Array(0)])).rejects.toThrow(/Sequence 0 is empty/);
      await expect(engine.score([Int32Array.of(99)])).rejects.toThrow(/token 99; the model's vocabulary has 41/);
      await expect(engine.score([new Int32Array(65).fill(3)])).rejects.toThrow(/65 tokens; the model's context has 64/);
      await expect(engine.forwardBackward([], { centering: 0 })).rejects.toThrow(EngineError);
      await expect(engine.optimStep(ADAM)).rejects.toThrow(/needs a gradient/);
    });
    const opened = openEngine({ kind: "local" }, { path: directoryOf("qwen2") }, Compute.open({ threads: 2 }));
    await expect(opened).rejects.toThrow(CheckpointError);
    await expect(opened).rejects.toThrow(/Qwen2ForSequenceClassification is a reward model: it scores texts/);
  });
});
