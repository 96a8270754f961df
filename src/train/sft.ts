/**
 * Supervised fine-tuning: cross-entropy on the completions of demonstrations.
 *
 *     for each step:
 *       take demonstrations from the endless stream until the token budget is full
 *       minimise Σ w · −log π(token) / Σ w over their completion tokens
 *
 * Prompts carry no loss; every completion ends with the end-of-sequence token, which does. In DeepSeek-R1
 * (arXiv:2501.12948, §2.3.1) this is the cold start: enough to give reinforcement learning a policy that knows the form.
 *
 * What it is not: packing. The engine lays out ragged data as it likes; the budget counts real tokens, no padding.
 * Demonstration i is a function of (seed, i), so the whole data state is one integer.
 */

import type { Datum } from "../engine/engine.ts";
import { ConfigError } from "../errors.ts";
import { hashString, philox } from "../random.ts";
import { mean } from "../rollout/advantages.ts";
import { endOfSequence } from "../rollout/collect.ts";
import type { Demonstration } from "../tasks/task.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import {
  type MetricsRow,
  requireLoss,
  runDueHooks,
  SkippedSteps,
  startState,
  stopIfAsked,
  type TrainContext,
  type TrainOutcome,
} from "./context.ts";
import { adamParamsAt } from "./optimizer-config.ts";
import type { SftConfig } from "./sft-config.ts";

/** How many demonstrations are looked at before the first step. */
const PROBED_DEMONSTRATIONS = 256;

/** `cursor` is the index of the next demonstration. */
const STATE_KEYS = ["step", "cursor", "numTokens", "skippedInARow"] as const;

/**
 * Trains for `config.steps` optimizer steps, or on from `context.resumed`.
 *
 * @throws ConfigError where the task has no demonstrations, or none that fits.
 * @throws RunInterrupted, DivergenceError
 */
export async function trainSft(context: TrainContext, config: SftConfig): Promise<TrainOutcome> {
  const { engine, log } = context;
  const stream = streamOf(context, config);
  const state = startState(context, STATE_KEYS);
  const skipped = new SkippedSteps(state.skippedInARow, config.maxSkippedSteps, log);
  checkSft(context, config);

  let batch = stream.batch(state.cursor, config.batchTokens);
  while (state.step < config.steps) {
    await stopIfAsked(context, state.step, state);
    const startedAt = performance.now();

    const { demonstrations, cursor, tooLong } = batch;
    const isLast = state.step + 1 === config.steps;
    const [result, next] = await Promise.all([
      engine.forwardBackward(normaliseWeights(demonstrations), { name: "cross_entropy" }),
      // Made while the engine computes.
      (async () => (isLast ? batch : stream.batch(cursor, config.batchTokens)))(),
    ]);
    batch = next;
    const adam = adamParamsAt(state.step, config.steps, config);
    const { gradNorm, applied } = await engine.optimStep(adam);

    state.step++;
    state.cursor = cursor;
    state.numTokens += tokenCount(demonstrations);
    skipped.record({ loss: result.loss, gradNorm, applied }, state.step);
    state.skippedInARow = skipped.inARow;
    const row: MetricsRow = {
      step: state.step,
      loss: result.loss,
      grad_norm: gradNorm,
      learning_rate: adam.learningRate,
      num_tokens: state.numTokens,
      entropy: mean(result.entropies.flatMap((values) => Array.from(values))),
      ...(result.margins && { mean_token_accuracy: mean(result.margins.flatMap(isMostProbable)) }),
      // Passes over the data, where it is not endless.
      ...(Number.isFinite(context.task.trainCount) ? { epoch: state.cursor / context.task.trainCount } : {}),
      num_demonstrations: demonstrations.length,
      num_too_long: tooLong,
      skipped_steps: skipped.takeCount(),
    };
    log.metrics(row);
    log.timing({ step: state.step, step_time: (performance.now() - startedAt) / 1000 });
    context.onProgress?.({ phase: "training", done: state.step, total: config.steps, metrics: row });
    await skipped.stopIfLost(context, state.step, state);
    await runDueHooks(context, state.step, config.steps, state.step, state);
  }
  return { steps: state.step, numTokens: state.numTokens };
}

/** 1 for each token that is the most probable one at its place, else 0. */
function isMostProbable(margins: Float32Array): number[] {
  return Array.from(margins, (margin) => Number(margin === 0));
}

/**
 * Refuses, before any training, an engine without the loss, and a task that SFT cannot train on.
 *
 * @throws ConfigError where the task has no demonstrations, or none of the first ones fits; DataError for a row of its
 * data that cannot be demonstrated.
 */
export function checkSft(parts: DemonstrationParts, config: Pick<SftConfig, "batchTokens">): void {
  requireLoss(parts.engine, "cross_entropy");
  parts.task.requireDemonstrations?.();
  streamOf(parts, config).probe();
}

/**
 * The token weights of a completion and its end token: 1, or the weight of the last listed span that the token overlaps.
 * The text is encoded apart from its prompt, as the sampler will produce it.
 */
export function demonstrationTokens(
  demonstration: Demonstration,
  tokenizer: Tokenizer,
): { completionTokens: Int32Array; weights: Float32Array } {
  const { completion, weightedSpans } = demonstration;
  if (weightedSpans.length === 0) {
    const tokens = tokenizer.encode(completion);
    const weights = new Float32Array(tokens.length + 1).fill(1);
    return { completionTokens: Int32Array.from([...tokens, endOfSequence(tokenizer)]), weights };
  }
  const { tokens, spans } = tokenizer.tokenSpans(completion);
  const weights = spans.map(([start, end]) => {
    const covering = weightedSpans.findLast((span) => span.start < end && start < span.end);
    return covering?.weight ?? 1;
  });
  return {
    completionTokens: Int32Array.from([...tokens, endOfSequence(tokenizer)]),
    weights: Float32Array.from([...weights, 1]),
  };
}

/** The same data with weights that sum to 1: the loss is a weighted mean over the step's completion tokens. */
export function normaliseWeights(data: readonly Datum[]): Datum[] {
  let total = 0;
  for (const { weights } of data) for (const weight of weights) total += weight;
  if (total === 0) return [...data];
  return data.map((datum) => ({ ...datum, weights: datum.weights.map((weight) => weight / total) }));
}

/** What demonstrations are made from. */
type DemonstrationParts = Pick<TrainContext, "engine" | "tokenizer" | "task" | "seed">;

function streamOf(parts: DemonstrationParts, { batchTokens }: Pick<SftConfig, "batchTokens">): DemonstrationStream {
  return new DemonstrationStream(parts, Math.min(batchTokens, parts.engine.info.maxContextTokens));
}

/** The endless stream of demonstrations of a task, as the engine takes them. */
class DemonstrationStream {
  private readonly parts: DemonstrationParts;
  /** Longer demonstrations are left out. */
  private readonly maxTokens: number;

  constructor(parts: DemonstrationParts, maxTokens: number) {
    this.parts = parts;
    this.maxTokens = maxTokens;
  }

  /** Demonstration number `index`, weights not yet normalised. */
  private at(index: number): Datum {
    const { task, tokenizer, seed } = this.parts;
    if (!task.demonstrate) {
      throw new ConfigError(`The task ${task.name} has no demonstrations, so there is nothing for SFT to train on.`);
    }
    const problem = task.trainProblem(index);
    const demonstrationSeed = philox(seed, hashString("demonstration"), [index])[0];
    const demonstration = task.demonstrate(problem, demonstrationSeed);
    return { promptTokens: tokenizer.encode(problem.prompt), ...demonstrationTokens(demonstration, tokenizer) };
  }

  /** @throws ConfigError where none of the first demonstrations fits: training would search them for ever. */
  probe(): void {
    let shortest = Number.POSITIVE_INFINITY;
    for (let index = 0; index < PROBED_DEMONSTRATIONS; index++) {
      shortest = Math.min(shortest, tokenCount([this.at(index)]));
      if (shortest <= this.maxTokens) return;
    }
    throw new ConfigError(
      `The shortest of the first ${PROBED_DEMONSTRATIONS} demonstrations of ${this.parts.task.name} has ${shortest} ` +
        `tokens, but only ${this.maxTokens} fit (the smaller of batchTokens and the model's context, ` +
        `${this.parts.engine.info.maxContextTokens}). Raise batchTokens, or take a model with a longer context.`,
    );
  }

  /**
   * Demonstrations from `cursor` on until the next would exceed `batchTokens`; those longer than `maxTokens` are passed
   * over and counted.
   */
  batch(cursor: number, batchTokens: number): { demonstrations: Datum[]; cursor: number; tooLong: number } {
    const demonstrations: Datum[] = [];
    let tokens = 0;
    let tooLong = 0;
    for (let index = cursor; ; index++) {
      const next = this.at(index);
      const length = tokenCount([next]);
      if (length > this.maxTokens) {
        tooLong++;
        continue;
      }
      if (tokens + length > batchTokens) return { demonstrations, cursor: index, tooLong };
      demonstrations.push(next);
      tokens += length;
    }
  }
}

function tokenCount(data: readonly Datum[]): number {
  return data.reduce(
    (sum, { promptTokens, completionTokens }) => sum + promptTokens.length + completionTokens.length,
    0,
  );
}
