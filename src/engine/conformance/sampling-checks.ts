/** What the contract promises about `sample`. */

import { EngineError } from "../../errors.ts";
import type { SampledSequence, SampledSoFar } from "../contract/sampler.ts";
import type { SamplePrompt, SamplingParams } from "../contract/sampling.ts";
import {
  type ConformanceCheck,
  engineCheck,
  FREE_SAMPLING,
  gradientDescent,
  LOGPROB_TOLERANCE,
  nextLogprobs,
  randomTokens,
  require,
  requireAllClose,
  requireClose,
  requireRejection,
  requireScoreAgrees,
  someData,
  somePrompts,
} from "./subject.ts";

function requireSameSamples(what: string, actual: readonly SampledSequence[], expected: readonly SampledSequence[]) {
  require(actual.length === expected.length, `${what}: ${actual.length} samples in place of ${expected.length}`);
  expected.forEach((sample, i) => {
    const [own, wanted] = [actual[i]!.tokens.join(" "), sample.tokens.join(" ")];
    require(own === wanted, `${what}: sample ${i} is ${own}, not ${wanted}`);
    require(actual[i]!.finishReason === sample.finishReason, `${what}: sample ${i} ended for another reason`);
  });
  const logprobs = (samples: readonly SampledSequence[]) => samples.map((sample) => sample.logprobs);
  requireAllClose(`${what}: log-probability of sample`, logprobs(actual), logprobs(expected), LOGPROB_TOLERANCE);
}

const RESTRICTIONS: readonly Partial<SamplingParams>[] = [
  { temperature: 1 },
  { temperature: 0.3 },
  { temperature: 1.7, topP: 0.6 },
  { temperature: 0.8, topK: 3 },
  { temperature: 1.2, topK: 5, topP: 0.7 },
  { temperature: 0 },
];

/** Tokens from the most probable down; equals by id. */
function ranked(logprobs: readonly number[]): number[] {
  return [...logprobs.keys()].sort((a, b) => logprobs[b]! - logprobs[a]! || a - b);
}

const ONE_TOKEN = { maxCompletionTokens: 1 } as const;

/** The promises about sampling. */
export const SAMPLING_CHECKS: readonly ConformanceCheck[] = [
  engineCheck(
    "samples carry the log-probabilities that score gives them, however draws are restricted",
    [],
    async (engine) => {
      const prompts = somePrompts(engine.info);
      for (const restriction of RESTRICTIONS) {
        const params = { ...FREE_SAMPLING, ...restriction };
        if (params.temperature > 0 && params.temperature !== 1 && !engine.capabilities.scoringTemperature) continue;
        const samples = await engine.sample(prompts, params);
        const temperature = params.temperature === 0 ? 1 : params.temperature;
        await requireScoreAgrees(`with ${JSON.stringify(restriction)}`, engine, { prompts, samples }, temperature);
      }
    },
  ),

  engineCheck("a sequence that goes on is not touched by those that end beside it", [], async (engine) => {
    const prompts = Array.from({ length: 16 }, (_, i) => ({
      tokens: randomTokens(engine.info, 1 + ((5 * i) % 12), 20 + i),
      numSamples: 1 + (i % 3),
      promptId: i,
    }));
    const samples = await engine.sample(prompts, {
      ...FREE_SAMPLING,
      maxCompletionTokens: 12,
      stopTokenIds: [0, 3, 5],
    });
    await requireScoreAgrees("", engine, { prompts, samples });
  }),

  engineCheck("sampling uses the weights as they are now", ["training"], async (engine) => {
    const prompts = somePrompts(engine.info);
    const before = await engine.sample(prompts, FREE_SAMPLING);
    const { loss } = await engine.forwardBackward(someData(engine.info), { name: "cross_entropy" });
    await engine.optimStep(gradientDescent(Math.max(1, loss)));
    const after = await engine.sample(prompts, FREE_SAMPLING);
    await requireScoreAgrees("", engine, { prompts, samples: after });
    require(before.some(
      ({ logprobs }, i) => logprobs[0] !== after[i]!.logprobs[0],
    ), "a step on the weights changed no sample's log-probability");
  }),

  engineCheck(
    "the same seed and iteration give the same samples, others give others",
    ["seededDraws"],
    async (engine) => {
      const prompts = somePrompts(engine.info);
      const first = await engine.sample(prompts, FREE_SAMPLING);
      requireSameSamples("repeated call", await engine.sample(prompts, FREE_SAMPLING), first);
      const text = (samples: readonly SampledSequence[]) => samples.map(({ tokens }) => tokens.join(" ")).join("; ");
      for (const other of [{ seed: 12 }, { iteration: 4 }]) {
        const samples = await engine.sample(prompts, { ...FREE_SAMPLING, ...other });
        require(text(samples) !== text(first), `another ${Object.keys(other)[0]} gave the same samples`);
      }
    },
  ),

  engineCheck(
    "samples of a prompt do not depend on what else is sampled in the call",
    ["seededDraws"],
    async (engine) => {
      const prompts = somePrompts(engine.info);
      const together = await engine.sample(prompts, FREE_SAMPLING);
      for (const [index, prompt] of prompts.entries()) {
        const own = together.filter(({ promptIndex }) => promptIndex === index);
        requireSameSamples(`prompt ${index} alone`, await engine.sample([prompt], FREE_SAMPLING), own);
        const one = await engine.sample([{ ...prompt, numSamples: 1 }], FREE_SAMPLING);
        requireSameSamples(`one sample of prompt ${index}`, one, own.slice(0, 1));
      }
      const reversed = await engine.sample([...prompts].reverse(), FREE_SAMPLING);
      const restored = [...prompts.keys()].flatMap((index) =>
        reversed.filter(({ promptIndex }) => promptIndex === prompts.length - 1 - index),
      );
      requireSameSamples("prompts in reverse order", restored, together);
    },
  ),

  engineCheck(
    "prompts with one id draw the same numbers, prompts with different ids do not",
    ["seededDraws"],
    async (engine) => {
      const [prompt] = somePrompts(engine.info) as [SamplePrompt];
      const long = { ...FREE_SAMPLING, maxCompletionTokens: 12 };
      const samples = await engine.sample([prompt, prompt, { ...prompt, promptId: 7 }], long);
      const of = (index: number) => samples.filter(({ promptIndex }) => promptIndex === index);
      requireSameSamples("the second prompt of one id", of(1), of(0));
      require(of(2).some(
        ({ tokens }, i) => tokens.join() !== of(0)[i]!.tokens.join(),
      ), "another promptId gave the same samples");
      require(new Set(of(0).map(({ tokens }) => tokens.join())).size > 1, "all samples of a prompt are equal");
    },
  ),

  engineCheck("results are ordered by prompt and sample, and a prompt may ask for none", [], async (engine) => {
    const prompts = somePrompts(engine.info);
    prompts.splice(1, 0, { ...prompts[0]!, numSamples: 0 });
    const samples = await engine.sample(prompts, FREE_SAMPLING);
    const expected = prompts.flatMap(({ numSamples }, i) => Array.from({ length: numSamples }, (_, s) => `${i}/${s}`));
    const found = samples.map(({ promptIndex, sampleIndex }) => `${promptIndex}/${sampleIndex}`);
    require(found.join() === expected.join(), `expected samples ${expected.join()}, got ${found.join()}`);
    const none = await engine.sample([{ ...prompts[0]!, numSamples: 0 }], FREE_SAMPLING);
    require(none.length === 0, `no sample was asked for, ${none.length} came`);
    require((await engine.sample([], FREE_SAMPLING)).length === 0, "samples came for no prompt");
  }),

  engineCheck("a completion ends with a stop token or at the limit, and says which", [], async (engine) => {
    const prompts = somePrompts(engine.info).map((prompt) => ({ ...prompt, numSamples: 8 }));
    const stopTokenIds = [1, 3, 5];
    const params = { ...FREE_SAMPLING, stopTokenIds, maxCompletionTokens: 9, minCompletionTokens: 3 };
    const samples = await engine.sample(prompts, params);
    for (const { tokens, logprobs, finishReason, promptIndex, sampleIndex } of samples) {
      const what = `sample ${promptIndex}/${sampleIndex}, ${tokens.join(" ")}`;
      const stop = tokens.findIndex((token) => stopTokenIds.includes(token));
      require(logprobs.length === tokens.length, `${what}: ${logprobs.length} log-probabilities`);
      require(stop === -1 || stop === tokens.length - 1, `${what}: goes on after a stop token`);
      require(stop === -1 || tokens.length > 3, `${what}: a stop token among the first 3`);
      require(finishReason === (stop === -1 ? "length" : "stop"), `${what}: finish reason ${finishReason}`);
      require(stop !== -1 || tokens.length === 9, `${what}: ended at neither a stop token nor the limit`);
    }
    for (const reason of ["stop", "length"]) {
      require(samples.some(({ finishReason }) => finishReason === reason), `no sample ended for ${reason}`);
    }
  }),

  engineCheck("temperature 0 takes the most probable token, and so do top-k 1 and a tiny top-p", [], async (engine) => {
    const prompts = somePrompts(engine.info);
    const greedy = await engine.sample(prompts, { ...FREE_SAMPLING, temperature: 0 });
    for (const { promptIndex, tokens } of greedy) {
      const prompt = Int32Array.from([...prompts[promptIndex]!.tokens, ...tokens.subarray(0, 2)]);
      const logprobs = await nextLogprobs(engine, prompt, 1);
      const best = logprobs[ranked(logprobs)[0]!]!;
      requireClose("log-probability of a greedy token below the best", logprobs[tokens[2]!]!, best, LOGPROB_TOLERANCE);
    }
    for (const narrow of [{ topK: 1 }, { topP: 1e-6 }]) {
      requireSameSamples(JSON.stringify(narrow), await engine.sample(prompts, { ...FREE_SAMPLING, ...narrow }), greedy);
    }
  }),

  engineCheck(
    "min-p, top-k and top-p leave out exactly the tokens that they should",
    ["scoringTemperature"],
    async (engine) => {
      const prompt = { tokens: randomTokens(engine.info, 4, 1), numSamples: 1500, promptId: 0 };
      const temperature = 1.3;
      const logprobs = await nextLogprobs(engine, prompt.tokens, temperature);
      const order = ranked(logprobs);
      const nucleus = (candidates: readonly number[], topP: number) => {
        const mass = candidates.reduce((sum, token) => sum + Math.exp(logprobs[token]!), 0);
        let held = 0;
        return candidates.filter((token) => {
          const kept = held < topP * mass;
          held += Math.exp(logprobs[token]!);
          return kept;
        });
      };
      const likely = (minP: number) => {
        const least = minP * Math.exp(logprobs[order[0]!]!);
        return order.filter((token) => Math.exp(logprobs[token]!) >= least);
      };
      const cases = [
        { topK: 4, topP: 1, allowed: order.slice(0, 4) },
        { topK: 0, topP: 0.5, allowed: nucleus(order, 0.5) },
        { topK: 5, topP: 0.5, allowed: nucleus(order.slice(0, 5), 0.5) },
        { topK: 0, topP: 1, minP: 0.4, allowed: likely(0.4) },
        { topK: 0, topP: 0.7, minP: 0.3, allowed: nucleus(likely(0.3), 0.7) },
      ];
      for (const { allowed, ...restriction } of cases) {
        const samples = await engine.sample([prompt], { ...FREE_SAMPLING, ...ONE_TOKEN, temperature, ...restriction });
        const drawn = new Set(samples.map(({ tokens }) => tokens[0]!));
        const what = JSON.stringify(restriction);
        for (const token of drawn) require(allowed.includes(token), `${what} drew token ${token}`);
        const mass = allowed.reduce((sum, token) => sum + Math.exp(logprobs[token]!), 0);
        for (const token of allowed) {
          const expected = (Math.exp(logprobs[token]!) / mass) * prompt.numSamples;
          require(drawn.has(token) || expected < 12, `${what} never drew token ${token}, ${expected} times expected`);
        }
      }
    },
  ),

  engineCheck("tokens are drawn as often as their probabilities say", ["scoringTemperature"], async (engine) => {
    const prompt = { tokens: randomTokens(engine.info, 4, 2), numSamples: 3000, promptId: 0 };
    const temperature = 0.8;
    const logprobs = await nextLogprobs(engine, prompt.tokens, temperature);
    const samples = await engine.sample([prompt], { ...FREE_SAMPLING, ...ONE_TOKEN, temperature });
    const counts = new Array<number>(engine.info.vocabSize).fill(0);
    for (const { tokens } of samples) counts[tokens[0]!]!++;
    // Pearson's χ²; tokens too rare for it are one class.
    const classes: { observed: number; expected: number }[] = [];
    const rare = { observed: 0, expected: 0 };
    logprobs.forEach((logprob, token) => {
      const expected = Math.exp(logprob) * prompt.numSamples;
      if (expected >= 5) classes.push({ observed: counts[token]!, expected });
      else {
        rare.observed += counts[token]!;
        rare.expected += expected;
      }
    });
    if (rare.expected >= 5) classes.push(rare);
    const freedom = classes.length - 1;
    require(freedom >= 3, "the model's distribution is too narrow for this check");
    const statistic = classes.reduce((sum, { observed, expected }) => sum + (observed - expected) ** 2 / expected, 0);
    const bound = freedom + 5 * Math.sqrt(2 * freedom);
    require(statistic < bound, `χ² of draws against probabilities is ${statistic}, above ${bound}`);
  }),

  engineCheck("progress only rises and ends at everything", [], async (engine) => {
    for (const limits of [FREE_SAMPLING, { ...FREE_SAMPLING, ...ONE_TOKEN }]) {
      const reports: SampledSoFar[] = [];
      const samples = await engine.sample(somePrompts(engine.info), limits, (progress) =>
        reports.push({ ...progress }),
      );
      const tokens = samples.reduce((sum, sample) => sum + sample.tokens.length, 0);
      reports.reduce((before, now) => {
        require(now.finished >= before.finished && now.tokens >= before.tokens, "progress went back");
        require(now.mostTokens <= before.mostTokens, "more tokens may come than could before");
        return now;
      });
      const last = reports[reports.length - 1];
      const found = JSON.stringify(last);
      require(last?.finished === samples.length && last.total === samples.length, `progress ended at ${found}`);
      require(last.tokens === tokens, `progress ended at ${found}, there are ${tokens} tokens`);
      require(last.mostTokens === tokens, `progress ended at ${found}: no more than ${tokens} tokens can come`);
    }
  }),

  engineCheck(
    "an error thrown by the progress callback ends the call, and the engine goes on",
    ["seededDraws"],
    async (engine) => {
      const prompts = somePrompts(engine.info);
      const expected = await engine.sample(prompts, FREE_SAMPLING);
      const stop = () => {
        throw new RangeError("seen enough");
      };
      await requireRejection("sampling", RangeError, () => engine.sample(prompts, FREE_SAMPLING, stop));
      requireSameSamples("afterwards", await engine.sample(prompts, FREE_SAMPLING), expected);
    },
  ),

  engineCheck("a sequence may fill the context, and no more", [], async (engine) => {
    const { maxContextTokens } = engine.info;
    const prompt = { tokens: randomTokens(engine.info, maxContextTokens - 3, 5), numSamples: 2, promptId: 0 };
    const full = { ...FREE_SAMPLING, maxCompletionTokens: 3 };
    const samples = await engine.sample([prompt], full);
    await requireScoreAgrees("", engine, { prompts: [prompt], samples });
    await requireRejection("one token too many", EngineError, () =>
      engine.sample([prompt], { ...full, maxCompletionTokens: 4 }),
    );
  }),

  engineCheck("sampling that makes no sense is refused, and the engine goes on", ["seededDraws"], async (engine) => {
    const [prompt] = somePrompts(engine.info) as [SamplePrompt];
    const before = await engine.sample([prompt], FREE_SAMPLING);
    const badPrompts: [string, Int32Array][] = [
      ["a prompt without tokens", new Int32Array(0)],
      ["a negative token", Int32Array.of(2, -1)],
      ["a token beyond the vocabulary", Int32Array.of(engine.info.vocabSize)],
    ];
    for (const [what, tokens] of badPrompts) {
      await requireRejection(what, EngineError, () => engine.sample([prompt, { ...prompt, tokens }], FREE_SAMPLING));
    }
    const badParams: Partial<SamplingParams>[] = [
      { temperature: -1 },
      { temperature: Number.NaN },
      { topP: 0 },
      { topP: 1.5 },
      { topK: -1 },
      { topK: 1.5 },
      { minP: -0.1 },
      { minP: 1.1 },
      { maxCompletionTokens: 0 },
      { maxCompletionTokens: Number.NaN },
    ];
    for (const change of badParams) {
      const what = Object.entries(change).join();
      await requireRejection(what, EngineError, () => engine.sample([prompt], { ...FREE_SAMPLING, ...change }));
    }
    requireSameSamples("after refusals", await engine.sample([prompt], FREE_SAMPLING), before);
  }),
];
