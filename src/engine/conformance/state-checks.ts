/** What the contract promises about the reference policy, `saveState` and `loadState`, the order of calls, and the end. */

import { CheckpointError, EngineError } from "../../errors.ts";
import type { LossSpec } from "../../losses/loss-spec.ts";
import type { Policy, PolicyName } from "../contract/policy.ts";
import {
  adamFor,
  type ConformanceCheck,
  engineCheck,
  FREE_SAMPLING,
  fingerprint,
  gradientDescent,
  require,
  requireAllClose,
  requireClose,
  requireRejection,
  someData,
  somePrompts,
  withEngine,
} from "./subject.ts";

const CROSS_ENTROPY: LossSpec = { name: "cross_entropy" };

/** One step on data of their own for each seed; returns the gradient's norm, 0 where the engine does not tell it. */
async function step(engine: Policy, seed: number): Promise<number> {
  await engine.forwardBackward(someData(engine.info, seed), CROSS_ENTROPY);
  return (await engine.optimStep(adamFor(engine))).gradNorm ?? 0;
}

/** Freezes the reference, where the engine has one. */
async function freeze(engine: Policy): Promise<void> {
  if (engine.capabilities.reference) await engine.freezeReference();
}

/** Log-probabilities of fixed data under one policy. */
async function scores(engine: Policy, policy: PolicyName): Promise<readonly Float32Array[]> {
  if (policy === "reference" && !engine.capabilities.reference) return [];
  return (await engine.score(someData(engine.info, 9), { temperature: 1, policy })).logprobs;
}

/** Log-probabilities after one step from the weights as they are. */
async function afterStep(engine: Policy): Promise<readonly Float32Array[]> {
  await step(engine, 0);
  return scores(engine, "policy");
}

/** The promises about state. */
export const STATE_CHECKS: readonly ConformanceCheck[] = [
  engineCheck(
    "there is no reference before it is frozen, and afterwards it stays while the policy moves",
    ["training", "reference"],
    async (engine) => {
      await requireRejection("scoring with no reference", EngineError, () => scores(engine, "reference"));
      await step(engine, 0);
      await engine.freezeReference();
      const frozen = await scores(engine, "policy");
      requireAllClose("reference of datum", await scores(engine, "reference"), frozen, 0);
      await step(engine, 1);
      requireAllClose("reference of datum after a step", await scores(engine, "reference"), frozen, 0);
      const moved = await scores(engine, "policy");
      require(moved.some((row, i) => row[0] !== frozen[i]![0]), "a step changed no log-probability of the policy");
      await engine.freezeReference();
      requireAllClose("reference of datum, frozen again", await scores(engine, "reference"), moved, 0);
    },
  ),

  engineCheck(
    "a reference is moved towards the policy by the share that is asked for",
    ["training", "referenceMixing", "gradientClipping"],
    async (engine) => {
      await requireRejection("mixing with no reference", EngineError, () => engine.freezeReference(0.5));
      await engine.freezeReference();
      const start = await scores(engine, "reference");
      // A step so small that log-probabilities follow weights along a line.
      await engine.forwardBackward(someData(engine.info, 0), CROSS_ENTROPY);
      await engine.optimStep({ ...gradientDescent(1), maxGradNorm: 1e-2 });
      const moved = await scores(engine, "policy");
      let behind = 1;
      for (const share of [0.25, 0.5]) {
        await engine.freezeReference(share);
        behind *= 1 - share;
        const reference = await scores(engine, "reference");
        const distance = (from: readonly Float32Array[], to: readonly Float32Array[]) =>
          Math.hypot(...from.flatMap((row, i) => Array.from(row, (value, t) => value - to[i]![t]!)));
        const left = distance(reference, moved) / distance(start, moved);
        requireClose(`what is left of the way after a share of ${share}, relative`, left / behind, 1, 0.02);
      }
      for (const share of [0, -1, 1.5, Number.NaN]) {
        await requireRejection(`a share of ${share}`, EngineError, () => engine.freezeReference(share));
      }
    },
  ),

  engineCheck(
    "a state restores weights, moments, step count and reference: training goes on bit for bit",
    ["training", "seededDraws"],
    async (engine, subject) => {
      await step(engine, 0);
      await freeze(engine);
      await step(engine, 1);
      const directory = await subject.emptyDirectory();
      await engine.saveState(directory);
      const goOn = async (own: Policy) => ({
        norms: [await step(own, 2), await step(own, 3)],
        policy: await scores(own, "policy"),
        reference: await scores(own, "reference"),
        samples: await own.sample(somePrompts(own.info), FREE_SAMPLING),
      });
      const expected = await goOn(engine);
      const compare = async (what: string, own: Policy) => {
        await own.loadState(directory);
        const found = await goOn(own);
        requireAllClose(`${what}: gradient norms`, [found.norms], [expected.norms], 0);
        requireAllClose(`${what}: policy of datum`, found.policy, expected.policy, 0);
        requireAllClose(`${what}: reference of datum`, found.reference, expected.reference, 0);
        const tokens = ({ samples }: typeof expected) => samples.map((sample) => sample.tokens);
        requireAllClose(`${what}: sample`, tokens(found), tokens(expected), 0);
      };
      await compare("the same engine, gone back", engine);
      await withEngine(subject, (fresh) => compare("a fresh engine", fresh));
    },
  ),

  engineCheck(
    "a state of an engine that never trained restores that: no reference, no gradient",
    ["training"],
    async (engine, subject) => {
      const directory = await subject.emptyDirectory();
      await engine.saveState(directory);
      const untrained = await fingerprint(engine, someData(engine.info));
      const first = await step(engine, 0);
      await freeze(engine);
      await engine.forwardBackward(someData(engine.info, 5), CROSS_ENTROPY);
      await engine.loadState(directory);
      requireAllClose("datum", await fingerprint(engine, someData(engine.info)), untrained, 0);
      if (engine.capabilities.reference) {
        await requireRejection("scoring with the reference", EngineError, () => scores(engine, "reference"));
      }
      await requireRejection("a step on the gradient from before", EngineError, () =>
        engine.optimStep(adamFor(engine)),
      );
      requireClose("norm of the first gradient, again", await step(engine, 0), first, 0);
    },
  ),

  engineCheck("a reset optimizer has no moments, no steps and no gradient", ["training"], async (engine, subject) => {
    // A rate of 0 fills the moments and counts a step, and leaves the weights as they are.
    await engine.forwardBackward(someData(engine.info, 1), CROSS_ENTROPY);
    await engine.optimStep({ ...adamFor(engine), learningRate: 0 });
    await engine.forwardBackward(someData(engine.info, 2), CROSS_ENTROPY);
    await engine.resetOptimizer();
    await requireRejection("a step on the gradient from before", EngineError, () => engine.optimStep(adamFor(engine)));
    const expected = await withEngine(subject, afterStep);
    requireAllClose("datum after a first step", await afterStep(engine), expected, 0);
  }),

  engineCheck("saving changes nothing", ["training"], async (engine, subject) => {
    await engine.forwardBackward(someData(engine.info), CROSS_ENTROPY);
    const before = await scores(engine, "policy");
    await engine.saveState(await subject.emptyDirectory());
    await engine.saveWeights(await subject.emptyDirectory());
    requireAllClose("datum", await scores(engine, "policy"), before, 0);
    require((await engine.optimStep(adamFor(engine))).applied, "the gradient was lost by saving");
  }),

  engineCheck(
    "calls that overlap are carried out one after another, in their order",
    ["training", "seededDraws"],
    async (engine, subject) => {
      const data = someData(engine.info);
      const calls = (own: Policy, directory: string): (() => Promise<readonly ArrayLike<number>[]>)[] => [
        () => own.forwardBackward(data, CROSS_ENTROPY).then(({ logprobs }) => logprobs),
        () => own.optimStep(adamFor(own)).then(({ gradNorm }) => [[gradNorm ?? 0]]),
        () => freeze(own).then(() => []),
        () =>
          own.sample(somePrompts(own.info), FREE_SAMPLING).then((samples) => samples.map(({ logprobs }) => logprobs)),
        // This step is refused, because there is no gradient. The calls after it go on.
        () =>
          own.optimStep(adamFor(own)).then(
            () => [],
            () => [[-1]],
          ),
        () => own.saveState(directory).then(() => []),
        () => own.resetOptimizer().then(() => []),
        () => own.loadState(directory).then(() => []),
        () => scores(own, "policy"),
        () => scores(own, "reference"),
      ];
      const expected = await withEngine(subject, async (own) => {
        const results: (readonly ArrayLike<number>[])[] = [];
        for (const call of calls(own, await subject.emptyDirectory())) results.push(await call());
        return results;
      });
      const found = await Promise.all(calls(engine, await subject.emptyDirectory()).map((call) => call()));
      expected.forEach((rows, i) => {
        requireAllClose(`call ${i}: result`, found[i]!, rows, 0);
      });
    },
  ),

  {
    name: "disposing waits for what is under way, and what comes after it is refused",
    needs: [],
    run: async (subject) => {
      const engine = await subject.open();
      const data = someData(engine.info);
      const [scored] = await Promise.all([fingerprint(engine, data), engine.dispose()]);
      require(scored.length === data.length, `${scored.length} data of ${data.length} were scored`);
      await requireRejection("scoring afterwards", EngineError, () => fingerprint(engine, data));
      await engine.dispose();
    },
  },

  engineCheck(
    "a directory without a state is refused, and the engine stays as it was",
    ["training"],
    async (engine, subject) => {
      await step(engine, 0);
      await freeze(engine);
      const [policy, reference] = [await scores(engine, "policy"), await scores(engine, "reference")];
      const empty = await subject.emptyDirectory();
      await requireRejection("loading from an empty directory", CheckpointError, () => engine.loadState(empty));
      requireAllClose("policy of datum", await scores(engine, "policy"), policy, 0);
      requireAllClose("reference of datum", await scores(engine, "reference"), reference, 0);
    },
  ),
];
