/**
 * What the conformance checks share: the engine under test, data to put it through, and ways to say what is wrong.
 */

import { AhaError } from "../../errors.ts";
import { Random } from "../../random.ts";
import type { CapabilityName } from "../contract/capabilities.ts";
import type { AdamParams, Datum, Policy } from "../contract/policy.ts";
import type { SampledSequence, SamplerInfo, ScoreResult } from "../contract/sampler.ts";
import type { SamplePrompt, SamplingParams } from "../contract/sampling.ts";

/** How far the sampler's log-probabilities may be from those of `score`, in nats. */
export const LOGPROB_TOLERANCE = 1e-4;

/** The implementation under test. Its model needs at least 8 tokens, 24 positions, and probabilities that differ. */
export interface ConformanceSubject {
  /** Opens an engine with the same weights each time; the check disposes of it. */
  readonly open: () => Promise<Policy>;
  /** Makes a new, empty directory. */
  readonly emptyDirectory: () => Promise<string>;
}

/** A capability that a promise is about; `training`: the model can be trained. */
export type Needed = CapabilityName | "training";

/** One promise of the contract. `run` throws where the engine breaks it. */
export interface ConformanceCheck {
  /** The promise, as a sentence. */
  readonly name: string;
  /** The promise is made by engines with all of these. */
  readonly needs: readonly Needed[];
  readonly run: (subject: ConformanceSubject) => Promise<void>;
}

/** The engine broke a promise of the contract: the message says what was expected and what came. */
export class ConformanceFailure extends AhaError {
  override name = "ConformanceFailure";
}

/** A check on one engine, which is disposed of afterwards. */
export function engineCheck(
  name: string,
  needs: readonly Needed[],
  work: (engine: Policy, subject: ConformanceSubject) => Promise<void>,
): ConformanceCheck {
  return { name, needs, run: (subject) => withEngine(subject, (engine) => work(engine, subject)) };
}

/** Opens an engine for `work` and disposes of it. */
export async function withEngine<T>(subject: ConformanceSubject, work: (engine: Policy) => Promise<T>): Promise<T> {
  const engine = await subject.open();
  try {
    return await work(engine);
  } finally {
    await engine.dispose();
  }
}

/** Throws ConformanceFailure unless the condition holds. */
export function require(condition: boolean, message: string): asserts condition {
  if (!condition) throw new ConformanceFailure(message);
}

/** Throws ConformanceFailure unless the numbers agree: |a − b| ≤ tolerance · max(1, |b|). */
export function requireClose(what: string, actual: number, expected: number, tolerance: number): void {
  const gap = Math.abs(actual - expected);
  if (gap <= tolerance * Math.max(1, Math.abs(expected))) return;
  throw new ConformanceFailure(`${what}: expected ${expected} within ${tolerance}, got ${actual}`);
}

/** Throws ConformanceFailure unless both lists of numbers agree in length and, within the tolerance, in values. */
export function requireAllClose(
  what: string,
  actual: readonly ArrayLike<number>[],
  expected: readonly ArrayLike<number>[],
  tolerance: number,
): void {
  require(actual.length === expected.length, `${what}: expected ${expected.length} results, got ${actual.length}`);
  expected.forEach((row, i) => {
    const own = actual[i]!;
    require(own.length === row.length, `${what} ${i}: expected ${row.length} values, got ${own.length}`);
    for (let t = 0; t < row.length; t++) requireClose(`${what} ${i}, token ${t}`, own[t]!, row[t]!, tolerance);
  });
}

/** Throws ConformanceFailure unless `score` gives sampled completions, their kept tokens included, the log-probabilities
 * that they came with. */
export async function requireScoreAgrees(
  what: string,
  engine: Policy,
  { prompts, samples }: { readonly prompts: readonly SamplePrompt[]; readonly samples: readonly SampledSequence[] },
  temperature = 1,
): Promise<void> {
  const data = samples.map(({ promptIndex, tokens, keptTokens }) => ({
    promptTokens: prompts[promptIndex]!.tokens,
    completionTokens: tokens,
    ...(keptTokens && { keptTokens }),
  }));
  const { logprobs } = await engine.score(data, { temperature });
  requireAllClose(
    `log-probability${what === "" ? "" : ` ${what}`} of sample`,
    samples.map((sample) => sample.logprobs),
    logprobs,
    LOGPROB_TOLERANCE,
  );
}

/** Throws ConformanceFailure unless `act` rejects with an error of this class. */
export async function requireRejection(
  what: string,
  errorClass: abstract new (...args: never[]) => Error,
  act: () => Promise<unknown>,
): Promise<void> {
  const error: unknown = await act().then(
    () => undefined,
    (reason: unknown) => reason,
  );
  const found = error === undefined ? "no error" : String(error);
  require(error instanceof errorClass, `${what}: expected ${errorClass.name}, got ${found}`);
}

/** Seeded random tokens of the engine's vocabulary. */
export function randomTokens({ vocabSize }: SamplerInfo, length: number, seed: number): Int32Array {
  const random = new Random(seed, "conformance tokens");
  return Int32Array.from({ length }, () => random.integer(vocabSize));
}

/** Prompts of 1, 7, 3 and 12 tokens with 3, 1, 4 and 2 samples. */
export function somePrompts(info: SamplerInfo): SamplePrompt[] {
  const numSamples = [3, 1, 4, 2];
  return [1, 7, 3, 12].map((length, i) => ({
    tokens: randomTokens(info, length, i),
    numSamples: numSamples[i]!,
    promptId: 40 + i,
  }));
}

/** Sampling without any restriction. */
export const FREE_SAMPLING: SamplingParams = {
  temperature: 1,
  topP: 1,
  topK: 0,
  maxCompletionTokens: 6,
  stopTokenIds: [],
  seed: 11,
  iteration: 3,
};

/** Ragged data with every column: two share a prompt, one prompt is one token, ratios lie inside and outside of a clip. */
export function someData(info: SamplerInfo, seed = 0): Datum[] {
  const random = new Random(seed, "conformance data");
  const shared = randomTokens(info, 5, 100 + seed);
  const prompts = [shared, shared, randomTokens(info, 1, 200 + seed), randomTokens(info, 9, 300 + seed)];
  return prompts.map((promptTokens, i) => {
    const length = [4, 7, 1, 3][i]!;
    const column = (draw: () => number) => Float32Array.from({ length }, draw);
    return {
      promptTokens,
      completionTokens: randomTokens(info, length, 400 + 10 * seed + i),
      weights: column(() => 0.05 + 0.1 * random.uniform()),
      advantages: column(() => (i % 2 === 0 ? 1 : -1) * (0.5 + random.uniform())),
      samplerLogprobs: column(() => -Math.log(info.vocabSize) + 0.3 * random.normal()),
      refLogprobs: column(() => -Math.log(info.vocabSize) + 0.3 * random.normal()),
      entropyWeights: column(() => 0.1 * random.uniform()),
    };
  });
}

/** An ordinary step, clipped where the engine can clip. */
export function adamFor({ capabilities }: Policy): AdamParams {
  return {
    ...ADAM,
    maxGradNorm: capabilities.gradientClipping ? ADAM.maxGradNorm : 0,
    weightDecay: capabilities.weightDecay ? ADAM.weightDecay : 0,
  };
}

const ADAM: AdamParams = {
  learningRate: 1e-2,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.01,
  maxGradNorm: 1,
};

/**
 * Plain gradient descent, w ← w − rate · g, through AdamW: without memory (β = 0) and with an ε that dwarfs the gradient,
 * the update g/(|g| + ε) is g/ε. So a test can move along the gradient, or read it from two sets of weights.
 */
export function gradientDescent(rate: number): AdamParams {
  const epsilon = 1e12;
  return { learningRate: rate * epsilon, beta1: 0, beta2: 0, epsilon, weightDecay: 0, maxGradNorm: 0 };
}

/** Log-probabilities of the data under the policy at temperature 1: a fingerprint of the weights. */
export async function fingerprint(engine: Policy, data: readonly Datum[]): Promise<ScoreResult["logprobs"]> {
  return (await engine.score(data, { temperature: 1 })).logprobs;
}

/** Log-probability of every token of the vocabulary after a prompt, [V]. */
export async function nextLogprobs(engine: Policy, prompt: Int32Array, temperature: number): Promise<number[]> {
  const data = Array.from({ length: engine.info.vocabSize }, (_, token) => ({
    promptTokens: prompt,
    completionTokens: Int32Array.of(token),
  }));
  const { logprobs } = await engine.score(data, { temperature });
  return logprobs.map((row) => row[0]!);
}
