/**
 * What the contract promises where top-p or top-k is on: the sampler says which tokens it drew from. Scoring and
 * training with these tokens then use the distribution that the sampler used. (DeepSeek-V3.2, arXiv:2512.02556, §3.1.)
 */

import { EngineError } from "../../errors.ts";
import { Random } from "../../random.ts";
import type { Datum, Policy } from "../contract/policy.ts";
import type { SamplingParams } from "../contract/sampling.ts";
import {
  type ConformanceCheck,
  engineCheck,
  FREE_SAMPLING,
  gradientDescent,
  LOGPROB_TOLERANCE,
  nextLogprobs,
  require,
  requireClose,
  requireRejection,
  requireScoreAgrees,
  someData,
  somePrompts,
  withEngine,
} from "./subject.ts";

const RESTRICTIONS: readonly Partial<SamplingParams>[] = [
  { temperature: 1.7, topP: 0.6 },
  { temperature: 0.8, topK: 3 },
  { temperature: 0.7, topK: 20, topP: 0.95 },
  { temperature: 1.2, minP: 0.3 },
];

/** The data with a third of the vocabulary kept for each token, itself among them, in no order. */
function withKept({ info }: Policy, data: readonly Datum[]): Datum[] {
  const random = new Random(5, "conformance kept tokens");
  return data.map((datum) => ({
    ...datum,
    keptTokens: Array.from(datum.completionTokens, (token) => {
      const others = Array.from({ length: Math.ceil(info.vocabSize / 3) }, () => random.integer(info.vocabSize));
      return Int32Array.from(new Set([...others, token]));
    }),
  }));
}

/** The promises about tokens that were kept. */
export const KEPT_TOKEN_CHECKS: readonly ConformanceCheck[] = [
  engineCheck(
    "samples carry, where asked for, the tokens that they were drawn from, and their log-probabilities among these",
    ["keptTokens", "seededDraws", "scoringTemperature"],
    async (engine) => {
      const prompts = somePrompts(engine.info);
      for (const restriction of RESTRICTIONS) {
        const params = { ...FREE_SAMPLING, ...restriction };
        const what = JSON.stringify(restriction);
        const plain = await engine.sample(prompts, params);
        const samples = await engine.sample(prompts, { ...params, returnKeptTokens: true });
        samples.forEach(({ tokens, keptTokens = [], logprobs }, i) => {
          require(tokens.join() === plain[i]!.tokens.join(), `${what}: sample ${i} is another one with its keptTokens`);
          require(plain[i]!.keptTokens === undefined, `${what}: keptTokens came unasked`);
          require(keptTokens.length === tokens.length, `${what}: sample ${i} has not keptTokens for each token`);
          const most = params.topK > 0 ? params.topK : engine.info.vocabSize;
          keptTokens.forEach((kept, t) => {
            require(kept.includes(tokens[t]!), `${what}: token ${t} of sample ${i} is not among its keptTokens`);
            require(kept.length <= most && new Set(kept).size === kept.length, `${what}: kept ${kept.join()}`);
            if (kept.length === 1) requireClose(`${what}: of the only token`, logprobs[t]!, 0, LOGPROB_TOLERANCE);
          });
        });
        await requireScoreAgrees(`with ${what} and keptTokens`, engine, { prompts, samples }, params.temperature);
      }
      const free = await engine.sample(prompts, { ...FREE_SAMPLING, returnKeptTokens: true });
      require(free.every(({ keptTokens }) => keptTokens === undefined), "keptTokens came where nothing was left out");
    },
  ),

  engineCheck(
    "with keptTokens a distribution, and its entropy, is that over these tokens alone",
    ["keptTokens", "scoringTemperature"],
    async (engine) => {
      const data = withKept(engine, someData(engine.info));
      const temperature = 0.7;
      const { logprobs, entropies } = await engine.score(data, { temperature });
      for (const [i, { promptTokens, completionTokens, keptTokens }] of data.entries()) {
        for (const [t, kept] of keptTokens!.entries()) {
          const before = Int32Array.from([...promptTokens, ...completionTokens.slice(0, t)]);
          const all = await nextLogprobs(engine, before, temperature);
          const mass = Math.log(kept.reduce((sum, token) => sum + Math.exp(all[token]!), 0));
          const among = Array.from(kept, (token) => all[token]! - mass);
          const own = all[completionTokens[t]!]! - mass;
          requireClose(`log-probability of datum ${i}, token ${t}`, logprobs[i]![t]!, own, LOGPROB_TOLERANCE);
          if (entropies === undefined) continue;
          const entropy = -among.reduce((sum, logprob) => sum + Math.exp(logprob) * logprob, 0);
          requireClose(`entropy of datum ${i}, token ${t}`, entropies[i]![t]!, entropy, LOGPROB_TOLERANCE);
        }
      }
    },
  ),

  {
    name: "with keptTokens the gradient is that of the loss: along it the loss changes by its squared norm",
    needs: ["training", "keptTokens", "gradientNorm"],
    run: async (subject) => {
      const loss = { name: "cross_entropy" } as const;
      // A step down the gradient of ±loss moves the weights by ∓rate · gradient.
      const moved = (rate: number, sign: number) =>
        withEngine(subject, async (engine) => {
          const data = withKept(engine, someData(engine.info, 3));
          const signed = data.map((datum) => ({ ...datum, weights: datum.weights.map((weight) => sign * weight) }));
          await engine.forwardBackward(signed, loss);
          const { gradNorm } = await engine.optimStep(gradientDescent(rate));
          return { gradNorm: gradNorm!, loss: (await engine.forwardBackward(data, loss)).loss };
        });
      const { gradNorm } = await moved(0, 1);
      require(gradNorm > 0, "the gradient is zero");
      const rate = 1e-2 / gradNorm ** 2;
      const change = ((await moved(rate, -1)).loss - (await moved(rate, 1)).loss) / (2 * rate);
      requireClose("slope over the gradient's square", change / gradNorm ** 2, 1, 0.02);
    },
  },

  engineCheck("keptTokens that make no sense are refused", ["keptTokens"], async (engine) => {
    const data = withKept(engine, someData(engine.info));
    const first = data[0]!;
    const policy = { temperature: 1 } as const;
    const refused = (what: string, wrong: readonly Datum[]) =>
      requireRejection(what, EngineError, () => engine.score(wrong, policy));
    await refused("too few", [{ ...first, keptTokens: first.keptTokens!.slice(1) }]);
    const without = first.keptTokens!.map((kept, t) => kept.filter((token) => token !== first.completionTokens[t]));
    await refused("without the token itself", [{ ...first, keptTokens: without }]);
    const { keptTokens: _, ...none } = data[1]!;
    await refused("in one datum of two", [first, none]);
    await engine.score(data, policy);
  }),
];
