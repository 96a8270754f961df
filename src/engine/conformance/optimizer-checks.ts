/** What the contract promises about `optimStep` and `step`. */

import { EngineError } from "../../errors.ts";
import type { Datum, Policy } from "../contract/policy.ts";
import {
  adamFor,
  type ConformanceCheck,
  engineCheck,
  fingerprint,
  gradientDescent,
  require,
  requireAllClose,
  requireClose,
  requireRejection,
  someData,
  withEngine,
} from "./subject.ts";
import { CROSS_ENTROPY_LOSS, gradientNorm, policyLosses, ROUNDING, withWeights } from "./tried-losses.ts";

/** Log-probabilities of data that no check trains on. */
function scoresAfter(engine: Policy): Promise<readonly Float32Array[]> {
  return fingerprint(engine, someData(engine.info, 7));
}

/** The promises about the optimizer. */
export const OPTIMIZER_CHECKS: readonly ConformanceCheck[] = [
  {
    name: "step is forwardBackward and optimStep, and takes no step on data that are refused",
    needs: ["training"],
    run: async (subject) => {
      const apart = await withEngine(subject, async (engine) => {
        const result = await engine.forwardBackward(someData(engine.info), CROSS_ENTROPY_LOSS);
        return { ...result, ...(await engine.optimStep(adamFor(engine))), after: await scoresAfter(engine) };
      });
      await withEngine(subject, async (engine) => {
        const data = someData(engine.info);
        const before = await scoresAfter(engine);
        const bad = [{ ...data[0]!, promptTokens: new Int32Array(0) }];
        await requireRejection("a step", EngineError, () => engine.step(bad, CROSS_ENTROPY_LOSS, adamFor(engine)));
        requireAllClose("datum after a refused step", await scoresAfter(engine), before, 0);
        const together = await engine.step(data, CROSS_ENTROPY_LOSS, adamFor(engine));
        requireClose("loss of a step", together.loss, apart.loss, ROUNDING);
        requireClose("gradient norm of a step", together.gradNorm ?? 0, apart.gradNorm ?? 0, ROUNDING);
        require(together.applied, "the step was not applied");
        requireAllClose("datum after a step", await scoresAfter(engine), apart.after, ROUNDING);
      });
    },
  },

  engineCheck("optimStep uses up the gradient", ["training", "gradientNorm"], async (engine) => {
    const data = someData(engine.info);
    const first = await gradientNorm(engine, CROSS_ENTROPY_LOSS, data);
    requireClose(
      "gradient norm after a step, relative",
      (await gradientNorm(engine, CROSS_ENTROPY_LOSS, data)) / first,
      1,
      ROUNDING,
    );
    await requireRejection("optimStep without a gradient", EngineError, () => engine.optimStep(adamFor(engine)));
  }),

  {
    name: "clipping scales the gradient to the norm that is asked for, and reports the norm before",
    needs: ["training", "gradientNorm", "gradientClipping"],
    run: async (subject) => {
      const after = (clip: (norm: number) => number, rate: number) =>
        withEngine(subject, async (engine) => {
          const data = someData(engine.info);
          const norm = await gradientNorm(engine, CROSS_ENTROPY_LOSS, data);
          await engine.forwardBackward(data, CROSS_ENTROPY_LOSS);
          const { gradNorm } = await engine.optimStep({ ...gradientDescent(rate), maxGradNorm: clip(norm) });
          requireClose("reported norm over the norm before clipping", gradNorm! / norm, 1, ROUNDING);
          return fingerprint(engine, data);
        });
      const plain = await after(() => 0, 0.5);
      requireAllClose("half the norm at twice the rate: datum", await after((norm) => norm / 2, 1), plain, 1e-4);
      requireAllClose("a bound above the norm: datum", await after((norm) => 2 * norm, 0.5), plain, 1e-6);
    },
  },

  engineCheck(
    "a step of parameters that make no sense is refused, and the gradient stays",
    ["training", "gradientNorm"],
    async (engine) => {
      const data = someData(engine.info);
      const [before, norm] = [await fingerprint(engine, data), await gradientNorm(engine, CROSS_ENTROPY_LOSS, data)];
      await engine.forwardBackward(data, CROSS_ENTROPY_LOSS);
      for (const change of [{ learningRate: Number.NaN }, { beta2: 1 }, { epsilon: 0 }, { maxGradNorm: -1 }]) {
        await requireRejection(JSON.stringify(change), EngineError, () =>
          engine.optimStep({ ...adamFor(engine), ...change }),
        );
      }
      requireAllClose("datum after refused steps", await fingerprint(engine, data), before, 0);
      const { gradNorm } = await engine.optimStep(gradientDescent(0));
      requireClose("gradient norm after refused steps, relative", gradNorm! / norm, 1, ROUNDING);
    },
  ),

  engineCheck(
    "a gradient that is not finite is dropped and changes nothing",
    ["training", "gradientNorm"],
    async (engine) => {
      const data = someData(engine.info);
      const [before, norm] = [await fingerprint(engine, data), await gradientNorm(engine, CROSS_ENTROPY_LOSS, data)];
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
        await engine.forwardBackward(
          withWeights(data, () => bad),
          CROSS_ENTROPY_LOSS,
        );
        const { applied, gradNorm } = await engine.optimStep(adamFor(engine));
        require(!applied && !Number.isFinite(gradNorm), `a gradient of ${bad} was applied (norm ${gradNorm})`);
        requireAllClose("datum after a dropped step", await fingerprint(engine, data), before, 0);
      }
      const again = await gradientNorm(engine, CROSS_ENTROPY_LOSS, data);
      requireClose("gradient norm after a dropped step, relative", again / norm, 1, ROUNDING);
    },
  ),

  engineCheck(
    "training learns: cross-entropy falls, and rewarded tokens become more probable",
    ["training"],
    async (engine) => {
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
        await engine.optimStep({ ...gradientDescent(1e-2), maxGradNorm: engine.capabilities.gradientClipping ? 1 : 0 });
        const change = total(await fingerprint(engine, [datum])) - total([samplerLogprobs!]);
        require(sign * change >
          0, `an advantage of ${sign} under ${loss.name} changed the log-probability by ${change}`);
      }
      for (let step = 0; step < 30; step++) {
        await engine.forwardBackward([datum], CROSS_ENTROPY_LOSS);
        await engine.optimStep({ ...adamFor(engine), learningRate: 0.03 });
      }
      const after = total(await fingerprint(engine, [datum]));
      require(after > 0.8 * before, `30 steps took the log-probability from ${before} to ${after} only`);
    },
  ),
];
