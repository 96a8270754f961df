/**
 * What a recording is of: everything that a run asks of a server, once, on few and equal shapes (some servers compile each new
 * one). What it comes to is compared when the recording is replayed.
 */

import type { AdamParams, Datum, Policy } from "../../src/engine/contract/policy.ts";
import { Random } from "../../src/random.ts";

/** Tokens of a prompt, and of a completion. */
const [PROMPT, COMPLETION] = [5, 7];
const SAMPLES = 4;

/** AdamW without decay, whose every number counts on few servers: those that are compared. */
export const SCENARIO_ADAM: AdamParams = {
  ...{ learningRate: 5e-3, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 0 },
};

/** Two prompts of a scenario, of letters that every vocabulary has. */
export function scenarioPrompts(numSamples = SAMPLES) {
  const random = new Random(3, "prompts");
  return [0, 1].map((promptId) => ({
    tokens: Int32Array.from({ length: PROMPT }, () => 5 + random.integer(20)),
    numSamples,
    promptId,
  }));
}

/** Samples of it have one length: nothing stops them. */
export const SCENARIO_SAMPLING = {
  ...{ temperature: 1, topP: 1, topK: 0, maxCompletionTokens: COMPLETION, stopTokenIds: [], seed: 11, iteration: 0 },
};

/** Data of groups: one sample is better than the others. */
export function scenarioData(samples: Awaited<ReturnType<Policy["sample"]>>): Datum[] {
  const prompts = scenarioPrompts();
  return samples.map(({ promptIndex, sampleIndex, tokens, logprobs }) => ({
    promptTokens: prompts[promptIndex]!.tokens,
    completionTokens: tokens,
    weights: new Float32Array(tokens.length).fill(1 / (samples.length * tokens.length)),
    advantages: new Float32Array(tokens.length).fill(sampleIndex === promptIndex ? 1.5 : -0.5),
    samplerLogprobs: logprobs,
  }));
}

/** The losses of a scenario: a server's own or by slopes, cross-entropy, and one that only slopes can have. */
export const SCENARIO_LOSSES = [
  { name: "grpo", clipEpsilon: 0.2, klCoef: 0, temperature: 1 },
  { name: "cross_entropy" },
  { name: "grpo", clipEpsilon: 0.2, delta: 4, klCoef: 0, temperature: 1 },
] as const;

/** Runs it on a policy. `directory` gives an empty directory. */
export async function runScenario(policy: Policy, directory: () => Promise<string>): Promise<object> {
  const plain = (rows: readonly Float32Array[]) => rows.map((row) => [...row]);
  const samples = await policy.sample(scenarioPrompts(), SCENARIO_SAMPLING);
  const data = scenarioData(samples);
  const before = await policy.score(data, { temperature: 1 });
  const steps = [];
  for (const loss of SCENARIO_LOSSES) {
    const { loss: value, gradNorm } = await policy.step(data, loss, SCENARIO_ADAM);
    const { logprobs } = await policy.score(data, { temperature: 1 });
    steps.push({ loss: value, gradNorm: gradNorm ?? null, logprobs: plain(logprobs) });
  }
  await policy.freezeReference();
  const state = await directory();
  await policy.saveState(state);
  await policy.step(data, { name: "cross_entropy" }, SCENARIO_ADAM);
  const reference = await policy.score(data, { temperature: 1, policy: "reference" });
  const moved = await policy.score(data, { temperature: 1 });
  await policy.loadState(state);
  const restored = await policy.score(data, { temperature: 1 });
  return {
    samples: samples.map(({ tokens, logprobs }) => ({ tokens: [...tokens], logprobs: [...logprobs] })),
    before: plain(before.logprobs),
    steps,
    reference: plain(reference.logprobs),
    moved: plain(moved.logprobs),
    restored: plain(restored.logprobs),
  };
}
