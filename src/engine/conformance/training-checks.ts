/** What the contract promises about `forward`, `forwardBackward` and `optimStep`. */

import { z } from "zod";
import { EngineError } from "../../errors.ts";
import { tokenTerm } from "../../losses/engine-losses.ts";
import { KL_ESTIMATORS } from "../../losses/kl.ts";
import { isCrossEntropy, type LossSpec, lossTemperature, type PolicyLossSpec } from "../../losses/loss-spec.ts";
import { losses } from "../../losses/registry.ts";
import type { Datum, Policy } from "../contract/policy.ts";
import type { ScoreResult } from "../contract/sampler.ts";
import {
  ADAM,
  type ConformanceCheck,
  engineCheck,
  fingerprint,
  gradientDescent,
  nextLogprobs,
  randomTokens,
  require,
  requireAllClose,
  requireClose,
  requireRejection,
  someData,
  withEngine,
} from "./subject.ts";

const CROSS_ENTROPY: LossSpec = { name: "cross_entropy" };
const POLICY = { temperature: 1 } as const;
/** Sums in f32, in another order. */
const ROUNDING = 1e-5;

/** The policy losses that the engine offers, each with its default options and without a KL term. */
function policyLosses({ capabilities }: Policy): PolicyLossSpec[] {
  const known = capabilities.losses.filter((name) => losses.find(name) !== undefined);
  return known.map((name) => ({ name, klCoef: 0, temperature: 1 }));
}

/** What the losses that the engine offers are tried with: every option of their own, every KL estimator, the entropy bonus. */
function offered(engine: Policy): LossSpec[] {
  const { losses: names, entropyBonus } = engine.capabilities;
  const bonus = entropyBonus && { entropyBonus };
  const policy = policyLosses(engine);
  const withKl = KL_ESTIMATORS.flatMap((klEstimator, i): LossSpec[] => {
    const loss = policy[i % policy.length];
    if (loss === undefined) return [];
    return [
      { ...loss, ...otherOptions(loss.name), klCoef: 0.3, temperature: 0.7, klEstimator, klBiasCorrection: i < 2 },
    ];
  });
  const tried: LossSpec[] = [CROSS_ENTROPY, { ...CROSS_ENTROPY, temperature: 0.7, ...bonus }, ...policy, ...withKl];
  if (withKl[0]) tried.push({ ...withKl[0], temperature: 1.3, ...bonus });
  return tried.filter(({ name }) => names.includes(name));
}

/** Options of a loss that are not its defaults: half as much again, and a bound of 1.08 where by default there is none. */
function otherOptions(name: string): Record<string, number> {
  const values = Object.entries(losses.get(name).options).flatMap(([key, schema]) => {
    const fallback = z.safeParse(schema, undefined).data;
    const other = typeof fallback === "number" ? 1.5 * fallback : 1.08;
    return z.safeParse(schema, other).success ? [[key, other] as const] : [];
  });
  return Object.fromEntries(values);
}

/** A loss at these log-probabilities and entropies, and its slope by each log-probability, by the formulas as numbers. */
function lossOf(data: readonly Datum[], { logprobs, entropies }: ScoreResult, loss: LossSpec) {
  let total = 0;
  const slopes = data.map((datum, i) =>
    datum.weights.map((weight, t) => {
      if (loss.entropyBonus) total -= datum.entropyWeights![t]! * entropies![i]![t]!;
      const { value, slope } = tokenTerm(loss, {
        logprob: logprobs[i]![t]!,
        advantage: datum.advantages![t]!,
        samplerLogprob: datum.samplerLogprobs![t]!,
        refLogprob: datum.refLogprobs![t]!,
      });
      total += weight * value;
      return weight * slope;
    }),
  );
  return { total, slopes };
}

/** The norm of the gradient of these calls, one after another, without a change of weights. */
async function gradientNorm(engine: Policy, loss: LossSpec, ...calls: (readonly Datum[])[]): Promise<number> {
  for (const data of calls) await engine.forwardBackward(data, loss);
  return (await engine.optimStep(gradientDescent(0))).gradNorm!;
}

const withWeights = (data: readonly Datum[], weight: (w: number) => number): Datum[] =>
  data.map((datum) => ({
    ...datum,
    weights: datum.weights.map(weight),
    entropyWeights: datum.entropyWeights!.map(weight),
  }));

/**
 * The data with sampler and reference near the policy, as in training: ratios stay inside the clip, where the loss is
 * smooth, and neither they nor the KL term drown everything else.
 */
async function nearPolicy(engine: Policy, data: readonly Datum[], loss: LossSpec): Promise<Datum[]> {
  const temperature = lossTemperature(loss);
  const { logprobs } = await engine.score(data, { temperature });
  return data.map((datum, i) => ({
    ...datum,
    samplerLogprobs: logprobs[i]!.map((logprob, t) => logprob + (t % 2 === 0 ? 0.1 : -0.1)),
    refLogprobs: logprobs[i]!.map((logprob, t) => logprob + (t % 3 === 0 ? 0.4 : -0.3)),
  }));
}

/** The promises about scoring and training. */
export const TRAINING_CHECKS: readonly ConformanceCheck[] = [
  engineCheck("forward gives the log of a distribution, and its entropy, at any temperature", async (engine) => {
    const promptTokens = randomTokens(engine.info, 5, 1);
    for (const temperature of [1, 0.4, 2]) {
      const logprobs = await nextLogprobs(engine, promptTokens, temperature);
      const total = logprobs.reduce((sum, logprob) => sum + Math.exp(logprob), 0);
      requireClose(`sum of probabilities at temperature ${temperature}`, total, 1, 1e-4);
      const datum = { promptTokens, completionTokens: Int32Array.of(0) };
      const { entropies } = await engine.score([datum], { temperature });
      const entropy = -logprobs.reduce((sum, logprob) => sum + Math.exp(logprob) * logprob, 0);
      requireClose(`entropy at temperature ${temperature}`, entropies![0]![0]!, entropy, 1e-4);
    }
  }),

  engineCheck("forward scores a datum as if it were alone, and each token from those before it", async (engine) => {
    const data = someData(engine.info);
    const together = await engine.score(data, POLICY);
    for (const [i, datum] of data.entries()) {
      const alone = await engine.score([datum], POLICY);
      requireAllClose(`datum ${i}`, alone.logprobs, [together.logprobs[i]!], ROUNDING);
      requireAllClose(`entropy of datum ${i}`, alone.entropies!, [together.entropies![i]!], ROUNDING);
      // The same tokens with the border between prompt and completion moved by one.
      if (datum.completionTokens.length < 2) continue;
      const promptTokens = Int32Array.from([...datum.promptTokens, datum.completionTokens[0]!]);
      const moved = await engine.score([{ promptTokens, completionTokens: datum.completionTokens.slice(1) }], POLICY);
      requireAllClose(`datum ${i}, longer prompt`, moved.logprobs, [together.logprobs[i]!.slice(1)], 1e-4);
    }
  }),

  engineCheck("forwardBackward returns what forward returns, and the loss of its definition", async (engine) => {
    const data = someData(engine.info);
    for (const loss of offered(engine)) {
      const temperature = lossTemperature(loss);
      const expected = await engine.score(data, { temperature });
      const result = await engine.forwardBackward(data, loss);
      const what = JSON.stringify(loss);
      requireAllClose(`log-probability with ${what} of datum`, result.logprobs, expected.logprobs, ROUNDING);
      requireAllClose(`entropy with ${what} of datum`, result.entropies!, expected.entropies!, ROUNDING);
      requireClose(`loss of ${what}`, result.loss, lossOf(data, expected, loss).total, 1e-4);
    }
  }),

  engineCheck(
    "the gradient is that of the loss: along it the loss changes by its squared norm",
    async (engine, { emptyDirectory }) => {
      const start = await emptyDirectory();
      await engine.saveState(start);
      // Where a weight is a constant to the gradient, the value changes by more than that says.
      const isSlope = (loss: LossSpec) => isCrossEntropy(loss) || !losses.get(loss.name).hasConstantWeight;
      for (const loss of offered(engine).filter(isSlope)) {
        const data = await nearPolicy(engine, someData(engine.info, 3), loss);
        const gradNorm = await gradientNorm(engine, loss, data);
        require(gradNorm > 0, `the gradient of ${JSON.stringify(loss)} is zero`);
        const rate = 1e-2 / gradNorm ** 2;
        // A step down the gradient of ±loss moves the weights by ∓rate · gradient.
        const lossAfter = async (sign: number) => {
          await engine.forwardBackward(
            withWeights(data, (w) => sign * w),
            loss,
          );
          await engine.optimStep(gradientDescent(rate));
          const moved = await engine.forwardBackward(data, loss);
          await engine.optimStep(gradientDescent(0)); // uses the gradient up
          await engine.loadState(start);
          return moved.loss;
        };
        const change = ((await lossAfter(-1)) - (await lossAfter(1))) / (2 * rate);
        requireClose(`slope of ${JSON.stringify(loss)} over its gradient's square`, change / gradNorm ** 2, 1, 0.02);
      }
    },
  ),

  engineCheck(
    "the gradient is that of cross-entropy weighted by the loss's slopes: taken away it leaves none",
    async (engine) => {
      const data = someData(engine.info);
      for (const loss of offered(engine)) {
        const temperature = lossTemperature(loss);
        const scores = await engine.score(data, { temperature });
        const { slopes } = lossOf(data, scores, loss);
        const opposite = data.map((datum, i) => ({
          ...datum,
          weights: slopes[i]!,
          entropyWeights: datum.entropyWeights!.map((weight) => -weight),
        }));
        const linear: LossSpec = { name: "cross_entropy", temperature, entropyBonus: loss.entropyBonus === true };
        const norm = await gradientNorm(engine, loss, data);
        await engine.forwardBackward(data, loss);
        await engine.forwardBackward(opposite, linear);
        const { gradNorm } = await engine.optimStep(gradientDescent(0));
        requireClose(`what is left of the gradient of ${JSON.stringify(loss)}, relative`, gradNorm! / norm, 0, 1e-4);
      }
    },
  ),

  engineCheck("gradients of several calls add up to that of one call", async (engine) => {
    const data = someData(engine.info);
    for (const loss of offered(engine)) {
      const whole = await gradientNorm(engine, loss, data);
      const parts = await gradientNorm(engine, loss, data.slice(0, 1), data.slice(1));
      requireClose(`gradient norm of ${JSON.stringify(loss)} in two calls, relative`, parts / whole, 1, ROUNDING);
      const twice = await gradientNorm(engine, loss, data, data);
      requireClose(`gradient norm of ${JSON.stringify(loss)} twice, relative`, twice / whole, 2, ROUNDING);
    }
  }),

  engineCheck("the order of data changes nothing but the order of results", async (engine) => {
    const data = someData(engine.info);
    const [forwards, backwards] = [await fingerprint(engine, data), await fingerprint(engine, [...data].reverse())];
    requireAllClose("datum", [...backwards].reverse(), forwards, ROUNDING);
    const norm = await gradientNorm(engine, CROSS_ENTROPY, data);
    const reversed = await gradientNorm(engine, CROSS_ENTROPY, [...data].reverse());
    requireClose("gradient norm of reversed data, relative", reversed / norm, 1, ROUNDING);
  }),

  engineCheck("a token of weight 0 adds nothing", async (engine) => {
    const [first, ...rest] = someData(engine.info) as [Datum, ...Datum[]];
    for (const loss of offered(engine)) {
      const alone = await engine.forwardBackward([first], loss);
      const expected = (await engine.optimStep(gradientDescent(0))).gradNorm!;
      const silent = await engine.forwardBackward([first, ...withWeights(rest, () => 0)], loss);
      const found = (await engine.optimStep(gradientDescent(0))).gradNorm!;
      requireClose(`loss of ${JSON.stringify(loss)}`, silent.loss, alone.loss, ROUNDING);
      requireClose(`gradient norm of ${JSON.stringify(loss)}, relative`, found / expected, 1, ROUNDING);
    }
  }),

  engineCheck("optimStep uses up the gradient", async (engine) => {
    const data = someData(engine.info);
    const first = await gradientNorm(engine, CROSS_ENTROPY, data);
    requireClose(
      "gradient norm after a step, relative",
      (await gradientNorm(engine, CROSS_ENTROPY, data)) / first,
      1,
      ROUNDING,
    );
    await requireRejection("optimStep without a gradient", EngineError, () => engine.optimStep(ADAM));
  }),

  {
    name: "clipping scales the gradient to the norm that is asked for, and reports the norm before",
    run: async (subject) => {
      const after = (clip: (norm: number) => number, rate: number) =>
        withEngine(subject, async (engine) => {
          const data = someData(engine.info);
          const norm = await gradientNorm(engine, CROSS_ENTROPY, data);
          await engine.forwardBackward(data, CROSS_ENTROPY);
          const { gradNorm } = await engine.optimStep({ ...gradientDescent(rate), maxGradNorm: clip(norm) });
          requireClose("reported norm over the norm before clipping", gradNorm! / norm, 1, ROUNDING);
          return fingerprint(engine, data);
        });
      const plain = await after(() => 0, 0.5);
      requireAllClose("half the norm at twice the rate: datum", await after((norm) => norm / 2, 1), plain, 1e-4);
      requireAllClose("a bound above the norm: datum", await after((norm) => 2 * norm, 0.5), plain, 1e-6);
    },
  },

  engineCheck("a step of parameters that make no sense is refused, and the gradient stays", async (engine) => {
    const data = someData(engine.info);
    const [before, norm] = [await fingerprint(engine, data), await gradientNorm(engine, CROSS_ENTROPY, data)];
    await engine.forwardBackward(data, CROSS_ENTROPY);
    for (const change of [{ learningRate: Number.NaN }, { beta2: 1 }, { epsilon: 0 }, { maxGradNorm: -1 }]) {
      await requireRejection(JSON.stringify(change), EngineError, () => engine.optimStep({ ...ADAM, ...change }));
    }
    requireAllClose("datum after refused steps", await fingerprint(engine, data), before, 0);
    const { gradNorm } = await engine.optimStep(gradientDescent(0));
    requireClose("gradient norm after refused steps, relative", gradNorm! / norm, 1, ROUNDING);
  }),

  engineCheck("a gradient that is not finite is dropped and changes nothing", async (engine) => {
    const data = someData(engine.info);
    const [before, norm] = [await fingerprint(engine, data), await gradientNorm(engine, CROSS_ENTROPY, data)];
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      await engine.forwardBackward(
        withWeights(data, () => bad),
        CROSS_ENTROPY,
      );
      const { applied, gradNorm } = await engine.optimStep(ADAM);
      require(!applied && !Number.isFinite(gradNorm), `a gradient of ${bad} was applied (norm ${gradNorm})`);
      requireAllClose("datum after a dropped step", await fingerprint(engine, data), before, 0);
    }
    const again = await gradientNorm(engine, CROSS_ENTROPY, data);
    requireClose("gradient norm after a dropped step, relative", again / norm, 1, ROUNDING);
  }),

  engineCheck("training learns: cross-entropy falls, and rewarded tokens become more probable", async (engine) => {
    const { vocabSize } = engine.info;
    // No token comes twice, so that even a model of one token of context can learn the sequence.
    const tokens = Int32Array.from({ length: 6 }, (_, i) => (i + 1) % vocabSize);
    const length = tokens.length - 1;
    const datum: Datum = {
      promptTokens: tokens.slice(0, 1),
      completionTokens: tokens.slice(1),
      weights: new Float32Array(length).fill(1 / length),
    };
    const total = (logprobs: readonly Float32Array[]) => logprobs[0]!.reduce((a, b) => a + b, 0);
    const before = total(await fingerprint(engine, [datum]));
    const trials = policyLosses(engine).flatMap((loss) => [
      { loss, sign: 1 },
      { loss, sign: -1 },
    ]);
    for (const { loss, sign } of trials) {
      const [samplerLogprobs] = await fingerprint(engine, [datum]);
      const advantages = new Float32Array(length).fill(sign);
      await engine.forwardBackward([{ ...datum, advantages, samplerLogprobs: samplerLogprobs! }], loss);
      await engine.optimStep({ ...gradientDescent(1e-2), maxGradNorm: 1 });
      const change = total(await fingerprint(engine, [datum])) - total([samplerLogprobs!]);
      require(sign * change > 0, `an advantage of ${sign} under ${loss.name} changed the log-probability by ${change}`);
    }
    for (let step = 0; step < 30; step++) {
      await engine.forwardBackward([datum], CROSS_ENTROPY);
      await engine.optimStep({ ...ADAM, learningRate: 0.03 });
    }
    const after = total(await fingerprint(engine, [datum]));
    require(after > 0.8 * before, `30 steps took the log-probability from ${before} to ${after} only`);
  }),

  engineCheck("data that make no sense are refused, and add nothing to the gradient", async (engine) => {
    const data = someData(engine.info);
    const [datum] = data as [Datum];
    const { vocabSize, maxContextTokens } = engine.info;
    const norm = await gradientNorm(engine, CROSS_ENTROPY, data);
    const bad: [string, Partial<Datum>][] = [
      ["a prompt without tokens", { promptTokens: new Int32Array(0) }],
      ["a completion without tokens", { completionTokens: new Int32Array(0), weights: new Float32Array(0) }],
      ["a negative token", { promptTokens: Int32Array.of(-1) }],
      ["a token beyond the vocabulary", { completionTokens: new Int32Array(4).fill(vocabSize) }],
      ["more tokens than the context has", { promptTokens: new Int32Array(maxContextTokens - 3) }],
    ];
    for (const [what, change] of bad) {
      const mixed = [...data, { ...datum, ...change }];
      await requireRejection(`forward, ${what}`, EngineError, () => engine.score(mixed, POLICY));
      await requireRejection(`training, ${what}`, EngineError, () => engine.forwardBackward(mixed, CROSS_ENTROPY));
    }
    const short: [string, LossSpec, Partial<Datum>][] = [
      ["too few weights", CROSS_ENTROPY, { weights: new Float32Array(2) }],
      ...policyLosses(engine).flatMap((loss): [string, LossSpec, Partial<Datum>][] => [
        ["too many advantages", loss, { advantages: new Float32Array(5) }],
        ["too few sampler log-probabilities", loss, { samplerLogprobs: new Float32Array(0) }],
        ["too few reference log-probabilities", { ...loss, klCoef: 0.3 }, { refLogprobs: new Float32Array(3) }],
      ]),
      ["too few entropy weights", { ...CROSS_ENTROPY, entropyBonus: true }, { entropyWeights: new Float32Array(1) }],
    ];
    for (const [what, loss, change] of short) {
      if (!engine.capabilities.losses.includes(loss.name)) continue;
      const mixed = [...data, { ...datum, ...change }];
      await requireRejection(what, EngineError, () => engine.forwardBackward(mixed, loss));
    }
    for (const loss of policyLosses(engine)) {
      const { advantages: _, ...without } = datum;
      await requireRejection("no advantages", EngineError, () => engine.forwardBackward([without], loss));
    }
    for (const temperature of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
      const what = `temperature ${temperature}`;
      await requireRejection(`forward at ${what}`, EngineError, () => engine.score(data, { ...POLICY, temperature }));
      for (const loss of [CROSS_ENTROPY, ...policyLosses(engine)]) {
        const bad = { ...loss, temperature };
        await requireRejection(`training at ${what}`, EngineError, () => engine.forwardBackward(data, bad));
      }
    }
    for (const loss of policyLosses(engine)) {
      const options = Object.keys(losses.get(loss.name).options);
      const senseless = [{ klCoef: -1 }, { klEstimator: "k4" }, ...options.map((key) => ({ [key]: Number.NaN }))];
      for (const change of senseless) {
        const bad = { ...loss, ...change } as LossSpec;
        const what = `${loss.name} with ${Object.entries(change)}`;
        await requireRejection(what, EngineError, () => engine.forwardBackward(data, bad));
      }
    }
    await requireRejection("forward of no data", EngineError, () => engine.score([], POLICY));
    await requireRejection("training on no data", EngineError, () => engine.forwardBackward([], CROSS_ENTROPY));
    const after = await gradientNorm(engine, CROSS_ENTROPY, data);
    requireClose("gradient norm after refusals, relative", after / norm, 1, ROUNDING);
  }),
];
