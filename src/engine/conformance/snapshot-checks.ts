/** What the contract promises about snapshots: frozen copies of a policy's weights that sample. */

import { EngineError } from "../../errors.ts";
import type { LossSpec } from "../../losses/loss-spec.ts";
import type { Policy } from "../contract/policy.ts";
import type { Sampler } from "../contract/sampler.ts";
import {
  adamFor,
  type ConformanceCheck,
  engineCheck,
  FREE_SAMPLING,
  fingerprint,
  LOGPROB_TOLERANCE,
  require,
  requireAllClose,
  requireRejection,
  requireScoreAgrees,
  someData,
  somePrompts,
} from "./subject.ts";

const CROSS_ENTROPY: LossSpec = { name: "cross_entropy" };

/** One step on data of their own for each seed, large enough to be seen in every log-probability. */
async function step(engine: Policy, seed: number): Promise<void> {
  await engine.step(someData(engine.info, seed), CROSS_ENTROPY, { ...adamFor(engine), learningRate: 0.1 });
}

/** Log-probabilities of fixed data. */
async function scores(sampler: Sampler): Promise<readonly Float32Array[]> {
  const data = someData(sampler.info, 9).map(({ promptTokens, completionTokens }) => ({
    promptTokens,
    completionTokens,
  }));
  return (await sampler.score(data, { temperature: 1 })).logprobs;
}

const sampled = (sampler: Sampler) => sampler.sample(somePrompts(sampler.info), FREE_SAMPLING);

/** Does `work` with a snapshot, which is disposed of afterwards. */
async function withSnapshot(engine: Policy, work: (snapshot: Sampler) => Promise<void>): Promise<void> {
  const snapshot = await engine.snapshot!();
  try {
    await work(snapshot);
  } finally {
    await snapshot.dispose();
  }
}

/** The promises about snapshots. */
export const SNAPSHOT_CHECKS: readonly ConformanceCheck[] = [
  engineCheck(
    "a snapshot samples and scores with the weights as they were, whatever the policy is trained to",
    ["snapshots", "training"],
    async (engine) => {
      await step(engine, 0);
      const before = await fingerprint(engine, someData(engine.info, 9));
      await withSnapshot(engine, async (snapshot) => {
        requireAllClose("datum", await scores(snapshot), before, LOGPROB_TOLERANCE);
        await step(engine, 1);
        const moved = await fingerprint(engine, someData(engine.info, 9));
        require(moved.some((row, i) => Math.abs(row[0]! - before[i]![0]!) > 0.01), "a step changed hardly anything");
        requireAllClose("datum after a step", await scores(snapshot), before, LOGPROB_TOLERANCE);
        // The policy's own samples are of its own weights, and do not change the snapshot's.
        const prompts = somePrompts(engine.info);
        await requireScoreAgrees("of the policy", engine, { prompts, samples: await sampled(engine) });
        const samples = await sampled(snapshot);
        const data = samples.map(({ promptIndex, tokens }) => ({
          promptTokens: prompts[promptIndex]!.tokens,
          completionTokens: tokens,
        }));
        const own = (await snapshot.score(data, { temperature: 1 })).logprobs;
        requireAllClose(
          "log-probability of the snapshot's sample",
          samples.map(({ logprobs }) => logprobs),
          own,
          LOGPROB_TOLERANCE,
        );
      });
    },
  ),

  engineCheck(
    "a snapshot samples what the policy sampled when it was made",
    ["snapshots", "training", "seededDraws"],
    async (engine) => {
      await step(engine, 0);
      const before = await sampled(engine);
      await withSnapshot(engine, async (snapshot) => {
        await step(engine, 1);
        const after = await sampled(snapshot);
        requireAllClose(
          "sample",
          after.map(({ tokens }) => tokens),
          before.map(({ tokens }) => tokens),
          0,
        );
        requireAllClose(
          "log-probability of sample",
          after.map(({ logprobs }) => logprobs),
          before.map(({ logprobs }) => logprobs),
          0,
        );
      });
    },
  ),

  engineCheck(
    "snapshots of different weights are there at the same time, and the end of one is that of no other",
    ["snapshots", "training"],
    async (engine) => {
      const expected: (readonly Float32Array[])[] = [];
      const snapshots: Sampler[] = [];
      try {
        for (const seed of [0, 1, 2]) {
          await step(engine, seed);
          expected.push(await fingerprint(engine, someData(engine.info, 9)));
          snapshots.push(await engine.snapshot!());
        }
        await snapshots[1]!.dispose();
        await requireRejection("sampling from a snapshot that was disposed of", EngineError, () =>
          sampled(snapshots[1]!),
        );
        for (const i of [0, 2]) {
          requireAllClose(`datum of snapshot ${i}`, await scores(snapshots[i]!), expected[i]!, LOGPROB_TOLERANCE);
        }
        // A place that has become free is taken by the next one.
        await step(engine, 3);
        await withSnapshot(engine, async (next) => {
          const now = await fingerprint(engine, someData(engine.info, 9));
          requireAllClose("datum of the next snapshot", await scores(next), now, LOGPROB_TOLERANCE);
          requireAllClose("datum of the first", await scores(snapshots[0]!), expected[0]!, LOGPROB_TOLERANCE);
        });
      } finally {
        for (const snapshot of snapshots) await snapshot.dispose();
      }
      await step(engine, 4);
    },
  ),

  engineCheck(
    "what a snapshot samples and what the policy is trained to do not depend on each other where they overlap",
    ["snapshots", "training", "seededDraws"],
    async (engine, subject) => {
      const alone = await subject.open();
      try {
        await step(alone, 0);
        const expected = await sampled(alone);
        await step(alone, 1);
        const trained = await fingerprint(alone, someData(alone.info, 9));
        await step(engine, 0);
        await withSnapshot(engine, async (snapshot) => {
          const [samples] = await Promise.all([sampled(snapshot), step(engine, 1)]);
          const logprobs = (list: typeof samples) => list.map((one) => one.logprobs);
          requireAllClose("log-probability of sample", logprobs(samples), logprobs(expected), 0);
          requireAllClose("datum", await fingerprint(engine, someData(engine.info, 9)), trained, 0);
        });
      } finally {
        await alone.dispose();
      }
    },
  ),

  engineCheck("a snapshot is sampled from, not trained", ["snapshots", "training"], async (engine) => {
    await withSnapshot(engine, async ({ capabilities }) => {
      require(capabilities.training === "none", `the snapshot says that it trains: ${capabilities.training}`);
      require(capabilities.losses.length === 0, `the snapshot has losses: ${capabilities.losses.join(", ")}`);
    });
  }),
];
