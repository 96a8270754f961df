/**
 * Supervised fine-tuning: cross-entropy on the completions of demonstrations.
 *
 *     for each step:
 *       take demonstrations from the stream until the token budget is full
 *       minimise Σ w · −log π(token) / Σ w over their completion tokens
 *
 * Prompts carry no loss; every completion ends with the end-of-sequence token, or with the chat template's end of a turn,
 * which does. In DeepSeek-R1
 * (arXiv:2501.12948, §2.3.1) this is the cold start: enough to give reinforcement learning a policy that knows the form.
 *
 * Packing needs no care here. A step takes as many demonstrations as fit into `batchTokens` real tokens, and the engine
 * lays them out as sequences of their own: each begins at position 0 and attends to nothing of another one, so there is no
 * contamination to be masked (a test compares a step with its demonstrations one at a time).
 *
 * Noise on the embeddings (NEFTune, arXiv:2310.05914; `neftuneNoiseAlpha`) is a part of the loss that an engine is asked
 * for, so it is there in training passes alone: the loss on held-out demonstrations, samples and scores have none. Its
 * bound is α/√(L·H), L the tokens of the demonstration itself, not of what shares a step with it
 * (`engine/local/embedding-noise.ts` says why, and where TRL differs).
 */

import { requireCapability, requireLossCapability } from "../../engine/contract/capabilities.ts";
import type { Datum, Policy } from "../../engine/contract/policy.ts";
import { ConfigError } from "../../errors.ts";
import type { CrossEntropyLoss } from "../../losses/loss-spec.ts";
import { mean } from "../../statistics.ts";
import type { StageParts, TrainContext, TrainOutcome } from "../context.ts";
import { requireWarmupFits } from "../length-config.ts";
import { requireOptimizer } from "../optimizer-config.ts";
import { StageLoop } from "../stage-loop.ts";
import type { SftConfig } from "./config.ts";
import { DemonstrationStream, tokenCount } from "./demonstration-stream.ts";
import { demonstrationLengthFindings } from "./length-findings.ts";

/**
 * Trains for as long as the configuration says, or on from `context.resumed`.
 *
 * @throws ConfigError where the task has no demonstrations, or none that fits.
 * @throws RunInterrupted, DivergenceError
 */
export async function trainSft(context: TrainContext, config: SftConfig): Promise<TrainOutcome> {
  const { engine, task } = context;
  checkSft(context, config);
  const stream = new DemonstrationStream(context, config);
  if (!context.resumed) {
    for (const { measured, why, advice } of demonstrationLengthFindings(stream.survey())) {
      context.log.event("warning", { message: `${measured}: ${why}. To change that, ${advice}.` });
    }
  }
  const steps = config.steps ?? stream.countSteps();
  requireWarmupFits(config, steps);
  const heldOut = config.evalLossEvery > 0 ? requireHeldOut(stream, context) : [];
  const { neftuneNoiseAlpha: alpha } = config;
  const loss: CrossEntropyLoss = {
    name: "cross_entropy",
    ...(alpha > 0 && { embeddingNoise: { alpha, seed: context.seed } }),
  };

  // `cursor` is the index of the next demonstration.
  const loop = new StageLoop(context, config, { steps, state: ["cursor"] });
  const { state } = loop;
  let next = stream.batch(state.cursor);
  return loop.run(async (unit) => {
    const { demonstrations, cursor, tooLong, truncated } = next;
    const isLast = unit + 1 === steps;
    const [result] = await Promise.all([
      loop.step((adam) => engine.step(normaliseWeights(demonstrations), loss, adam)),
      // Made while the engine computes.
      (async () => {
        if (!isLast) next = stream.batch(cursor);
      })(),
    ]);
    state.cursor = cursor;
    state.numTokens += tokenCount(demonstrations);
    const isEvaluated = heldOut.length > 0 && (isLast || (unit + 1) % config.evalLossEvery === 0);
    return {
      loss: result.loss,
      ...(result.gradNorm !== undefined && { grad_norm: result.gradNorm }),
      learning_rate: loop.learningRate,
      num_tokens: state.numTokens,
      ...(result.entropies && { entropy: mean(result.entropies.flatMap((values) => Array.from(values))) }),
      ...(result.margins && { mean_token_accuracy: mean(result.margins.flatMap(isMostProbable)) }),
      // Passes over the data, where it is not endless.
      ...(Number.isFinite(task.trainCount) && {
        epoch: state.cursor / (config.demonstrationsPerProblem * task.trainCount),
      }),
      num_demonstrations: demonstrations.length,
      num_too_long: tooLong,
      ...(config.overlong === "truncate" && { num_truncated: truncated }),
      ...(isEvaluated && (await heldOutLoss(engine, heldOut))),
      skipped_steps: loop.takeSkipped(),
    };
  });
}

/** 1 for each token that is the most probable one at its place, else 0. */
function isMostProbable(margins: Float32Array): number[] {
  return Array.from(margins, (margin) => Number(margin === 0));
}

/**
 * Refuses, before any training, an engine without the loss or its noise, and a task that SFT cannot train on.
 *
 * @throws ConfigError where the task has no demonstrations, none of the first ones fits, or one is too long that must not
 * be; DataError for a row of its data that cannot be demonstrated.
 */
export function checkSft(parts: StageParts<"policy">, config: SftConfig): void {
  const { engine, stage } = parts;
  requireLossCapability(engine, "cross_entropy", { stage, key: "trainer" });
  requireOptimizer(engine, config, stage);
  if (config.neftuneNoiseAlpha > 0) requireCapability(engine, "embeddingNoise", { stage, key: "neftuneNoiseAlpha" });
  parts.task.requireDemonstrations?.();
  const stream = new DemonstrationStream(parts, config);
  stream.probe();
  if (config.evalLossEvery > 0) requireHeldOut(stream, parts);
}

/** The same data with weights that sum to 1: the loss is a weighted mean over the step's completion tokens. */
export function normaliseWeights(data: readonly Datum[]): Datum[] {
  let total = 0;
  for (const { weights } of data) for (const weight of weights) total += weight;
  if (total === 0) return [...data];
  return data.map((datum) => ({ ...datum, weights: datum.weights.map((weight) => weight / total) }));
}

/** The held-out demonstrations. Throws ConfigError where there are none to measure the loss on. */
function requireHeldOut(stream: DemonstrationStream, { heldOut = [] }: Pick<TrainContext, "heldOut">): Datum[] {
  const data = stream.heldOut(heldOut);
  if (data.length > 0) return data;
  throw new ConfigError(
    `evalLossEvery needs held-out demonstrations, and of ${heldOut.length} held-out problems none has one that fits. Hold ` +
      "out rows with answers (task.data), or set evalLossEvery to 0.",
  );
}

/**
 * Mean −log π of the completion tokens that carry a loss, nats (those of weights other than 1 count as one), and its
 * exponential.
 */
async function heldOutLoss(
  engine: Policy,
  data: readonly Datum[],
): Promise<{ eval_loss: number; eval_perplexity: number }> {
  const { logprobs } = await engine.score(data, { temperature: 1 });
  let [total, count] = [0, 0];
  data.forEach(({ weights }, i) => {
    weights.forEach((weight, t) => {
      if (weight === 0) return;
      total -= logprobs[i]![t]!;
      count++;
    });
  });
  return { eval_loss: total / count, eval_perplexity: Math.exp(total / count) };
}
