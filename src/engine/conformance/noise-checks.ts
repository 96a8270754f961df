/**
 * What the contract promises about noise on embeddings (`EmbeddingNoise`): an engine without noise refuses a loss that
 * asks for it. An engine with noise adds it in training passes only. The noise does not depend on how the data are cut
 * up, it is new in each step, and it is the same again after a state is restored.
 */

import { EngineError } from "../../errors.ts";
import type { LossSpec } from "../../losses/loss-spec.ts";
import type { Datum, Policy } from "../contract/policy.ts";
import {
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

const SILENT: LossSpec = { name: "cross_entropy" };
const NOISY = { ...SILENT, embeddingNoise: { alpha: 5, seed: 3 } } as const;
/** Sums in f32, in another order. */
const ROUNDING = 1e-5;

/** Loss and gradient norm of calls with noise, without a change of weights. */
async function noisyPass(engine: Policy, loss: LossSpec, ...calls: (readonly Datum[])[]) {
  let total = 0;
  for (const data of calls) total += (await engine.forwardBackward(data, loss)).loss;
  return { loss: total, gradNorm: (await engine.optimStep(gradientDescent(0))).gradNorm };
}

/** A check of engines that have the noise. */
function noiseCheck(name: string, work: Parameters<typeof engineCheck>[2]): ConformanceCheck {
  return engineCheck(name, ["training", "embeddingNoise", "gradientNorm"], work);
}

/** The promises about noise on embeddings. */
export const NOISE_CHECKS: readonly ConformanceCheck[] = [
  engineCheck(
    "noise on embeddings is refused where the engine has none, and where it makes no sense",
    ["training"],
    async (engine) => {
      const data = someData(engine.info);
      const refused = (loss: LossSpec) =>
        requireRejection(JSON.stringify(loss), EngineError, () => engine.forwardBackward(data, loss));
      if (!engine.capabilities.embeddingNoise) await refused(NOISY);
      for (const alpha of [0, -1, Number.NaN]) await refused({ ...SILENT, embeddingNoise: { alpha, seed: 0 } });
      await refused({ ...SILENT, embeddingNoise: { alpha: 5, seed: 0.5 } });
      await requireRejection("a step without a gradient", EngineError, () => engine.optimStep(gradientDescent(0)));
    },
  ),

  noiseCheck("noise on embeddings changes what training computes, by its size, and no score", async (engine) => {
    const data = someData(engine.info);
    const before = await fingerprint(engine, data);
    const silent = (await noisyPass(engine, SILENT, data)).loss;
    const changeBy = async (alpha: number) => {
      const { logprobs } = await engine.forwardBackward(data, { ...SILENT, embeddingNoise: { alpha, seed: 3 } });
      await engine.optimStep(gradientDescent(0)); // uses the gradient up
      return Math.max(...logprobs.flatMap((row, i) => Array.from(row, (value, t) => Math.abs(value - before[i]![t]!))));
    };
    require((await changeBy(5)) > 1e-2, "noise of alpha 5 leaves the loss as it is");
    requireClose("what noise of next to nothing changes", await changeBy(1e-6), 0, ROUNDING);
    requireAllClose("datum scored after noise", await fingerprint(engine, data), before, 0);
    requireClose("the loss without noise after noise", (await noisyPass(engine, SILENT, data)).loss, silent, ROUNDING);
  }),

  {
    name: "noise on embeddings is each datum's own: whatever else is in the call, and in one call or two",
    needs: ["training", "embeddingNoise", "gradientNorm"],
    run: async (subject) => {
      const passOf = (...calls: (readonly number[])[]) =>
        withEngine(subject, async (engine) => {
          const data = someData(engine.info);
          return noisyPass(engine, NOISY, ...calls.map((indices) => indices.map((i) => data[i]!)));
        });
      const whole = await passOf([0, 1, 2, 3]);
      const parts = await passOf([0, 1], [2, 3]);
      requireClose("the loss in two calls", parts.loss, whole.loss, ROUNDING);
      requireClose("gradient norm in two calls, relative", parts.gradNorm! / whole.gradNorm!, 1, ROUNDING);
      const first = await passOf([0]);
      const [both, second] = [await passOf([0, 1]), await passOf([1])];
      // Datum 1 alone is the first of its step, and not the second.
      require(Math.abs(both.loss - first.loss - second.loss) > 1e-4, "two data of a step have the same noise");
    },
  },

  noiseCheck(
    "noise on embeddings is new in each step, and the same again after a restored state",
    async (engine, { emptyDirectory }) => {
      const data = someData(engine.info);
      const first = await noisyPass(engine, NOISY, data);
      const directory = await emptyDirectory();
      await engine.saveState(directory);
      const second = await noisyPass(engine, NOISY, data);
      require(Math.abs(second.loss - first.loss) > 1e-4, "two steps have the same noise");
      await engine.loadState(directory);
      const again = await noisyPass(engine, NOISY, data);
      require(again.loss === second.loss && again.gradNorm === second.gradNorm, "a restored state has other noise");
      await engine.loadState(directory);
      const other = await noisyPass(engine, { ...SILENT, embeddingNoise: { alpha: 5, seed: 4 } }, data);
      require(Math.abs(other.loss - second.loss) > 1e-4, "two seeds have the same noise");
    },
  ),
];
