/** What the contract promises about `score` and `forwardBackward`. */

import { EngineError } from "../../errors.ts";
import { isCrossEntropy, type LossSpec, lossTemperature } from "../../losses/loss-spec.ts";
import { losses } from "../../losses/registry.ts";
import type { Datum, Policy } from "../contract/policy.ts";
import type { ScoreResult } from "../contract/sampler.ts";
import {
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
} from "./subject.ts";
import {
  CROSS_ENTROPY_LOSS,
  gradientNorm,
  lossOf,
  nearPolicy,
  offered,
  policyLosses,
  ROUNDING,
  withWeights,
} from "./tried-losses.ts";

const POLICY = { temperature: 1 } as const;

/** Throws ConformanceFailure where entropies are there that the engine does not promise, or the other way round. */
function requireEntropies({ capabilities }: Policy, entropies: ScoreResult["entropies"]): void {
  const promised = capabilities.entropies ? "promises" : "does not promise";
  require((entropies !== undefined) === capabilities.entropies, `the engine ${promised} entropies`);
}

/** The promises about scoring and training. */
export const TRAINING_CHECKS: readonly ConformanceCheck[] = [
  engineCheck("score gives the log of a distribution, and its entropy, at any temperature", [], async (engine) => {
    const promptTokens = randomTokens(engine.info, 5, 1);
    for (const temperature of engine.capabilities.scoringTemperature ? [1, 0.4, 2] : [1]) {
      const logprobs = await nextLogprobs(engine, promptTokens, temperature);
      const total = logprobs.reduce((sum, logprob) => sum + Math.exp(logprob), 0);
      requireClose(`sum of probabilities at temperature ${temperature}`, total, 1, 1e-4);
      const datum = { promptTokens, completionTokens: Int32Array.of(0) };
      const { entropies } = await engine.score([datum], { temperature });
      requireEntropies(engine, entropies);
      if (entropies === undefined) continue;
      const entropy = -logprobs.reduce((sum, logprob) => sum + Math.exp(logprob) * logprob, 0);
      requireClose(`entropy at temperature ${temperature}`, entropies[0]![0]!, entropy, 1e-4);
    }
  }),

  engineCheck("score treats a datum as if it were alone, and each token from those before it", [], async (engine) => {
    const data = someData(engine.info);
    const together = await engine.score(data, POLICY);
    for (const [i, datum] of data.entries()) {
      const alone = await engine.score([datum], POLICY);
      requireAllClose(`datum ${i}`, alone.logprobs, [together.logprobs[i]!], ROUNDING);
      if (alone.entropies) {
        requireAllClose(`entropy of datum ${i}`, alone.entropies, [together.entropies![i]!], ROUNDING);
      }
      // The same tokens with the border between prompt and completion moved by one.
      if (datum.completionTokens.length < 2) continue;
      const promptTokens = Int32Array.from([...datum.promptTokens, datum.completionTokens[0]!]);
      const moved = await engine.score([{ promptTokens, completionTokens: datum.completionTokens.slice(1) }], POLICY);
      requireAllClose(`datum ${i}, longer prompt`, moved.logprobs, [together.logprobs[i]!.slice(1)], 1e-4);
    }
  }),

  engineCheck(
    "forwardBackward returns what score returns, and the loss of its definition",
    ["training"],
    async (engine) => {
      const data = someData(engine.info);
      for (const loss of offered(engine)) {
        const temperature = lossTemperature(loss);
        const expected = await engine.score(data, { temperature });
        const result = await engine.forwardBackward(data, loss);
        const what = JSON.stringify(loss);
        requireAllClose(`log-probability with ${what} of datum`, result.logprobs, expected.logprobs, ROUNDING);
        requireEntropies(engine, result.entropies);
        if (result.entropies) {
          requireAllClose(`entropy with ${what} of datum`, result.entropies, expected.entropies!, ROUNDING);
        }
        requireClose(`loss of ${what}`, result.loss, lossOf(data, expected, loss).total, 1e-4);
      }
    },
  ),

  engineCheck(
    "the gradient is that of the loss: along it the loss changes by its squared norm",
    ["training", "gradientNorm"],
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
    ["training", "gradientNorm"],
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
        const linear: LossSpec = {
          ...CROSS_ENTROPY_LOSS,
          temperature,
          ...(loss.entropyBonus && { entropyBonus: true }),
        };
        const norm = await gradientNorm(engine, loss, data);
        await engine.forwardBackward(data, loss);
        await engine.forwardBackward(opposite, linear);
        const { gradNorm } = await engine.optimStep(gradientDescent(0));
        requireClose(`what is left of the gradient of ${JSON.stringify(loss)}, relative`, gradNorm! / norm, 0, 1e-4);
      }
    },
  ),

  engineCheck("gradients of several calls add up to that of one call", ["training", "gradientNorm"], async (engine) => {
    const data = someData(engine.info);
    for (const loss of offered(engine)) {
      const whole = await gradientNorm(engine, loss, data);
      const parts = await gradientNorm(engine, loss, data.slice(0, 1), data.slice(1));
      requireClose(`gradient norm of ${JSON.stringify(loss)} in two calls, relative`, parts / whole, 1, ROUNDING);
      const twice = await gradientNorm(engine, loss, data, data);
      requireClose(`gradient norm of ${JSON.stringify(loss)} twice, relative`, twice / whole, 2, ROUNDING);
    }
  }),

  engineCheck(
    "the order of data changes nothing but the order of results",
    ["training", "gradientNorm"],
    async (engine) => {
      const data = someData(engine.info);
      const [forwards, backwards] = [await fingerprint(engine, data), await fingerprint(engine, [...data].reverse())];
      requireAllClose("datum", [...backwards].reverse(), forwards, ROUNDING);
      const norm = await gradientNorm(engine, CROSS_ENTROPY_LOSS, data);
      const reversed = await gradientNorm(engine, CROSS_ENTROPY_LOSS, [...data].reverse());
      requireClose("gradient norm of reversed data, relative", reversed / norm, 1, ROUNDING);
    },
  ),

  engineCheck("a token of weight 0 adds nothing", ["training", "gradientNorm"], async (engine) => {
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

  engineCheck(
    "data that make no sense are refused, and add nothing to the gradient",
    ["training", "gradientNorm"],
    async (engine) => {
      const data = someData(engine.info);
      const [datum] = data as [Datum];
      const { vocabSize, maxContextTokens } = engine.info;
      const norm = await gradientNorm(engine, CROSS_ENTROPY_LOSS, data);
      const bad: [string, Partial<Datum>][] = [
        ["a prompt without tokens", { promptTokens: new Int32Array(0) }],
        ["a completion without tokens", { completionTokens: new Int32Array(0), weights: new Float32Array(0) }],
        ["a negative token", { promptTokens: Int32Array.of(-1) }],
        ["a token beyond the vocabulary", { completionTokens: new Int32Array(4).fill(vocabSize) }],
        ["more tokens than the context has", { promptTokens: new Int32Array(maxContextTokens - 3) }],
      ];
      for (const [what, change] of bad) {
        const mixed = [...data, { ...datum, ...change }];
        await requireRejection(`scoring, ${what}`, EngineError, () => engine.score(mixed, POLICY));
        await requireRejection(`training, ${what}`, EngineError, () =>
          engine.forwardBackward(mixed, CROSS_ENTROPY_LOSS),
        );
      }
      const short: [string, LossSpec, Partial<Datum>][] = [
        ["too few weights", CROSS_ENTROPY_LOSS, { weights: new Float32Array(2) }],
        ...policyLosses(engine).flatMap((loss): [string, LossSpec, Partial<Datum>][] => [
          ["too many advantages", loss, { advantages: new Float32Array(5) }],
          ["too few sampler log-probabilities", loss, { samplerLogprobs: new Float32Array(0) }],
          ["too few reference log-probabilities", { ...loss, klCoef: 0.3 }, { refLogprobs: new Float32Array(3) }],
        ]),
      ];
      if (engine.capabilities.entropyBonus) {
        const bonus: LossSpec = { ...CROSS_ENTROPY_LOSS, entropyBonus: true };
        short.push(["too few entropy weights", bonus, { entropyWeights: new Float32Array(1) }]);
      }
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
        await requireRejection(`scoring at ${what}`, EngineError, () => engine.score(data, { ...POLICY, temperature }));
        for (const loss of [CROSS_ENTROPY_LOSS, ...policyLosses(engine)]) {
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
      await requireRejection("scoring no data", EngineError, () => engine.score([], POLICY));
      await requireRejection("training on no data", EngineError, () => engine.forwardBackward([], CROSS_ENTROPY_LOSS));
      const after = await gradientNorm(engine, CROSS_ENTROPY_LOSS, data);
      requireClose("gradient norm after refusals, relative", after / norm, 1, ROUNDING);
    },
  ),
];
