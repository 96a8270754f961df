/** What rollouts keep of each token: the ratio that the loss read, the policy's entropy, advantages where tokens differ. */

import { expect, it } from "vitest";
import type { RolloutRow } from "../../../src/train/context.ts";
import { trainGrpo } from "../../../src/train/grpo/grpo.ts";
import { grpoConfigSchema } from "../../../src/train/grpo/issues.ts";
import { letterReward, lettersContext, lettersTokenizer, MemoryLog, newEngine } from "../letters.ts";

const configOf = (overrides: object) =>
  grpoConfigSchema().parse({
    ...{ iterations: 1, rewards: [{ name: "format" }], promptsPerIteration: 6, groupSize: 8 },
    ...{ maxCompletionTokens: 4, learningRate: 0.1, ...overrides },
  });

/** Iterations with these keys, one without them: the rows, and the engine after it. */
async function iteration(overrides: object) {
  const config = configOf(overrides);
  const [engine, log] = [newEngine(), new MemoryLog()];
  await trainGrpo(lettersContext(engine, log), config, [letterReward]);
  return { engine, rows: log.rolloutRows };
}

const score = (engine: ReturnType<typeof newEngine>, rows: readonly RolloutRow[]) => {
  const data = rows.map(({ prompt, tokens }) => ({
    promptTokens: Int32Array.from(lettersTokenizer.encode(prompt)),
    completionTokens: tokens,
  }));
  return engine.score(data, { temperature: 1 });
};

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(actual).toHaveLength(expected.length);
  for (let t = 0; t < expected.length; t++) expect(actual[t]).toBeCloseTo(expected[t]!, 5);
}

it("the ratio is 1 on a first update; on a second it is what the first made of it", async () => {
  const once = await iteration({});
  const twice = await iteration({ updatesPerIteration: 2 });
  const learned = twice.rows.filter(({ advantage }) => advantage !== 0);
  expect(learned.length).toBeGreaterThan(10);
  for (const { ratios } of once.rows) for (const ratio of Array.from(ratios ?? [])) expect(ratio).toBeCloseTo(1, 6);
  const { logprobs } = await score(once.engine, learned);
  for (const [i, { ratios, samplerLogprobs }] of learned.entries()) {
    expectClose(
      ratios!,
      logprobs[i]!.map((logprob, t) => Math.exp(logprob - samplerLogprobs[t]!)),
    );
    expect(Array.from(ratios!).some((ratio) => Math.abs(ratio - 1) > 0.01)).toBe(true);
  }
});

it("the entropy is that of the policy which the update began with", async () => {
  const { rows } = await iteration({});
  const learned = rows.filter(({ entropies }) => entropies !== undefined);
  const { entropies } = await score(newEngine(), learned);
  expect(learned.length).toBeGreaterThan(10);
  for (const [i, row] of learned.entries()) expectClose(row.entropies!, entropies![i]!);
});

it("a ratio of sequences is one for all tokens", async () => {
  const { rows } = await iteration({ updatesPerIteration: 2, importanceSamplingLevel: "sequence" });
  const long = rows.filter(({ ratios, lengthTokens }) => ratios !== undefined && lengthTokens > 1);
  expect(long.length).toBeGreaterThan(5);
  for (const { ratios } of long) expect(new Set(Array.from(ratios!)).size).toBe(1);
});

it("what no update read has none, and tokens of one advantage have no list of it", async () => {
  const { rows } = await iteration({});
  const idle = rows.filter(({ advantage }) => advantage === 0);
  expect(idle.length).toBeGreaterThan(0);
  for (const row of idle) expect([row.ratios, row.entropies]).toEqual([undefined, undefined]);
  expect(rows.every(({ tokenAdvantages }) => tokenAdvantages === undefined)).toBe(true);
});

it("advantages are kept where a penalty gives tokens their own", async () => {
  const penalised = { klCoef: 0.5, klPlacement: "reward", iterations: 3, advantage: "reinforce++" };
  const { rows } = await iteration(penalised);
  const own = rows.filter(({ tokenAdvantages }) => tokenAdvantages !== undefined);
  expect(own.length).toBeGreaterThan(0);
  for (const { tokenAdvantages, lengthTokens } of own) {
    expect(tokenAdvantages).toHaveLength(lengthTokens);
    expect(new Set(Array.from(tokenAdvantages!)).size).toBeGreaterThan(1);
  }
});

it("completions are logged where a step fails, too", async () => {
  const [engine, log] = [newEngine(), new MemoryLog()];
  engine.step = () => Promise.reject(new Error("the device is gone"));
  const training = trainGrpo(lettersContext(engine, log), configOf({}), [letterReward]);
  await expect(training).rejects.toThrow("the device is gone");
  expect(log.rolloutRows).toHaveLength(6 * 8);
  expect(log.metricsRows).toEqual([]);
});
