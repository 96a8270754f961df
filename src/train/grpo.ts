/**
 * Group Relative Policy Optimization: reinforcement learning from rule rewards without a value model (DeepSeekMath,
 * arXiv:2402.03300, Algorithm 1; the algorithm of R1-Zero, DeepSeek-R1, arXiv:2501.12948).
 *
 *     for each iteration:
 *       sample a group of completions for each problem
 *       judge them; a completion's advantage is its reward against its group's mean, over the deviation
 *       repeat μ times: for each minibatch, one step on the clipped ratio objective (+ β · KL to the reference)
 *
 * Departures from the paper, each a recipe key where a choice is left:
 * - The log-probabilities of the old policy are those that the sampler returned. Sampler and trainer share one set of
 *   weights, so nothing is recomputed; `sampling/sampling_logp_difference` shows what they differ by.
 * - One reference, the policy at the stage's start (the paper's outer loop over references and reward models is a
 *   recipe of several stages). With klCoef 0 there is none.
 * - The mean over tokens is DAPO's by default (`lossType`), the upper clip may be wider (`clipEpsilonHigh`).
 * - A completion whose advantage is 0, as all are in a group of equal rewards, has a gradient of exactly 0 where there
 *   is no KL term, so it is not computed; it still counts in the loss's normalisation. A step with nothing left is not
 *   taken, where AdamW would move on momentum alone.
 * - Completions cut at maxCompletionTokens are trained on like others, with whatever reward they got, unless
 *   maskTruncatedCompletions leaves them out.
 *
 * On a first update the ratio is 1 everywhere and advantages sum to about 0, so `loss` is about 0: the gradient is not.
 */

import type { Datum, Engine } from "../engine/engine.ts";
import type { GrpoLoss } from "../losses/loss-spec.ts";
import { groupAdvantages } from "../rollout/advantages.ts";
import {
  judgeCompletions,
  type NumberedProblem,
  type Rollout,
  requirePromptsFit,
  sampleCompletions,
  stopTokens,
  type WeightedReward,
} from "../rollout/collect.ts";
import { lossWeights } from "../rollout/loss-weights.ts";
import {
  type Metrics,
  mergeUpdates,
  rolloutMetrics,
  samplerDifference,
  type UpdateView,
  updateMetrics,
} from "../rollout/metrics.ts";
import type { Task } from "../tasks/task.ts";
import {
  type MetricsRow,
  type RolloutRow,
  requireLoss,
  runDueHooks,
  SkippedSteps,
  startState,
  stopIfAsked,
  type TrainContext,
  type TrainOutcome,
} from "./context.ts";
import { createRewards, type GrpoConfig, grpoTotalSteps } from "./grpo-config.ts";
import { adamParamsAt } from "./optimizer-config.ts";
import { logAbstentions, withOpenRewards, withRewardStates } from "./reward-session.ts";

const STATE_KEYS = ["iteration", "step", "numTokens", "skippedInARow"] as const;

/**
 * Trains for `config.iterations` iterations, or on from `context.resumed`. Interruption waits for the running iteration,
 * unless no step of it is taken yet: then its completions are dropped, and sampled again, the same, on resumption.
 * `rewards`, where given, stand in for those that the recipe names: judges of your own.
 *
 * @throws ConfigError where a prompt and its longest completion do not fit into the context.
 * @throws RunInterrupted, DivergenceError
 */
export async function trainGrpo(
  context: TrainContext,
  config: GrpoConfig,
  rewards: readonly WeightedReward[] = createRewards(config.rewards),
): Promise<TrainOutcome> {
  return withOpenRewards(rewards, context.resumed, () => iterate(context, config, rewards));
}

async function iterate(
  context: TrainContext,
  config: GrpoConfig,
  rewards: readonly WeightedReward[],
): Promise<TrainOutcome> {
  const { engine, tokenizer, task, log } = context;
  const { iterations, groupSize } = config;
  const totalSteps = grpoTotalSteps(config);
  const loss: GrpoLoss = {
    name: "grpo",
    clipEpsilon: config.clipEpsilon,
    clipEpsilonHigh: config.clipEpsilonHigh ?? config.clipEpsilon,
    klCoef: config.klCoef,
    temperature: config.temperature,
  };
  const state = startState(context, STATE_KEYS);
  const skipped = new SkippedSteps(state.skippedInARow, config.maxSkippedSteps, log);
  checkGrpo(context, config, state.iteration);
  if (config.klCoef > 0 && !context.resumed) await engine.freezeReference();

  while (state.iteration < iterations) {
    await stopIfAsked(context, state.step, withRewardStates(state, rewards));
    const { iteration } = state;
    const startedAt = performance.now();

    // Sample a group of completions for each problem.
    const { promptsPerIteration } = config;
    const problems = [...numbered(task, iteration * promptsPerIteration, promptsPerIteration)];
    const { temperature, topP, topK, maxCompletionTokens } = config;
    const sampling = { temperature, topP, topK, maxCompletionTokens, seed: context.seed, iteration };
    const completions = await sampleCompletions(engine, tokenizer, problems, groupSize, sampling, (sampled) =>
      context.onProgress?.({ phase: "sampling", done: iteration, total: iterations, sampled }),
    );
    const sampledAt = performance.now();
    await stopIfAsked(context, state.step, withRewardStates(state, rewards));

    // Judge them, and compare each with its group.
    const rollouts = await judgeCompletions(completions, task, rewards);
    const groups = groupAdvantages(
      rollouts.map(({ reward }) => reward),
      groupSize,
      config.scaleRewards,
    );
    logAbstentions(log, iteration, rollouts);
    log.rollouts(rollouts.map((rollout, i) => rolloutRow(rollout, groups.advantages[i]!, iteration)));

    // Lay out the minibatches; where there is a KL term, score them under the reference, once for all passes.
    const size = rollouts.length / config.minibatchesPerIteration;
    const minibatches: Datum[][] = [];
    for (let start = 0; start < rollouts.length; start += size) {
      const data = updateData(
        rollouts.slice(start, start + size),
        groups.advantages.slice(start, start + size),
        config,
      );
      minibatches.push(config.klCoef > 0 ? await withReference(engine, data, temperature) : data);
    }

    // μ passes of one optimizer step per minibatch.
    const updates: Metrics[] = [];
    let firstUpdate: Metrics | undefined;
    for (let pass = 0; pass < config.updatesPerIteration; pass++) {
      for (const data of minibatches) {
        const adam = adamParamsAt(state.step, totalSteps, config);
        state.step++;
        if (data.length === 0) continue;
        const result = await engine.forwardBackward(data, loss);
        const { gradNorm, applied } = await engine.optimStep(adam);
        skipped.record({ loss: result.loss, gradNorm, applied }, state.step);
        const view = viewOf(data, result.logprobs, result.entropies);
        firstUpdate ??= samplerDifference(view);
        updates.push({
          loss: result.loss,
          grad_norm: gradNorm,
          learning_rate: adam.learningRate,
          ...updateMetrics(view, loss),
        });
      }
    }
    if (updates.length === 0)
      log.event("no-signal", { iteration, reason: "no completion has an advantage to learn from" });

    state.iteration++;
    state.numTokens += rollouts.reduce((sum, rollout) => sum + rollout.promptTokens.length + rollout.tokens.length, 0);
    state.skippedInARow = skipped.inARow;
    const row: MetricsRow = {
      step: state.step,
      iteration,
      num_tokens: state.numTokens,
      skipped_steps: skipped.takeCount(),
      ...mergeUpdates(updates),
      ...firstUpdate,
      ...rolloutMetrics(rollouts, groups),
    };
    log.metrics(row);
    const endedAt = performance.now();
    log.timing({
      step: state.step,
      step_time: (endedAt - startedAt) / 1000,
      sampling_time: (sampledAt - startedAt) / 1000,
      update_time: (endedAt - sampledAt) / 1000,
    });
    context.onProgress?.({ phase: "training", done: state.iteration, total: iterations, metrics: row });
    const saved = withRewardStates(state, rewards);
    await skipped.stopIfLost(context, state.step, saved);
    await runDueHooks(context, state.iteration, iterations, state.step, saved);
  }
  return { steps: state.step, numTokens: state.numTokens };
}

/**
 * Refuses, before any training, an engine without the loss, and problems that do not fit: every one that the stage will
 * sample for from `fromIteration` on (of a data set, each once).
 *
 * @throws ConfigError
 */
export function checkGrpo(
  parts: Pick<TrainContext, "engine" | "tokenizer" | "task">,
  config: Pick<GrpoConfig, "iterations" | "promptsPerIteration" | "maxCompletionTokens">,
  fromIteration = 0,
): void {
  const { iterations, promptsPerIteration } = config;
  const first = fromIteration * promptsPerIteration;
  const count = Math.min(iterations * promptsPerIteration - first, parts.task.trainCount);
  requireLoss(parts.engine, "grpo");
  stopTokens(parts.engine, parts.tokenizer);
  requirePromptsFit(parts.engine, parts.tokenizer, numbered(parts.task, first, count), config.maxCompletionTokens);
}

/** `count` problems of the task's endless stream, from number `first` on. */
function* numbered(task: Task, first: number, count: number): Generator<NumberedProblem> {
  for (let promptId = first; promptId < first + count; promptId++) {
    yield { promptId, problem: task.trainProblem(promptId) };
  }
}

/** The data of one optimizer step, weights normalised over all its rollouts; those that cannot move it are left out. */
export function updateData(
  rollouts: readonly Rollout[],
  advantages: Float64Array,
  config: Pick<GrpoConfig, "lossType" | "maxCompletionTokens" | "maskTruncatedCompletions" | "klCoef">,
): Datum[] {
  const trainedTokens = rollouts.map(({ tokens, finishReason }) =>
    config.maskTruncatedCompletions && finishReason === "length" ? 0 : tokens.length,
  );
  const weights = lossWeights(config.lossType, trainedTokens, config.maxCompletionTokens);
  return rollouts.flatMap((rollout, i) => {
    if (weights[i] === 0 || (advantages[i] === 0 && config.klCoef === 0)) return [];
    const perToken = (value: number) => new Float32Array(rollout.tokens.length).fill(value);
    return {
      promptTokens: rollout.promptTokens,
      completionTokens: rollout.tokens,
      weights: perToken(weights[i]!),
      advantages: perToken(advantages[i]!),
      samplerLogprobs: rollout.samplerLogprobs,
    };
  });
}

/** The same data with the log-probabilities of the frozen reference. */
async function withReference(engine: Engine, data: readonly Datum[], temperature: number): Promise<Datum[]> {
  if (data.length === 0) return [];
  const { logprobs } = await engine.forward(data, { temperature, policy: "reference" });
  return data.map((datum, i) => ({ ...datum, refLogprobs: logprobs[i]! }));
}

function viewOf(
  data: readonly Datum[],
  policyLogprobs: readonly Float32Array[],
  entropies: readonly Float32Array[],
): UpdateView {
  const refLogprobs = data.map((datum) => datum.refLogprobs).filter((logprobs) => logprobs !== undefined);
  return {
    advantages: data.map((datum) => datum.advantages!),
    samplerLogprobs: data.map((datum) => datum.samplerLogprobs!),
    policyLogprobs,
    entropies,
    ...(refLogprobs.length > 0 ? { refLogprobs } : {}),
  };
}

function rolloutRow(rollout: Rollout, advantage: number, iteration: number): RolloutRow {
  return {
    iteration,
    promptId: rollout.promptId,
    prompt: rollout.problem.prompt,
    completion: rollout.text,
    rewards: rollout.rewards,
    reward: rollout.reward,
    advantage,
    finishReason: rollout.finishReason,
    lengthTokens: rollout.tokens.length,
  };
}
