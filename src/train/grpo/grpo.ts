/**
 * Group Relative Policy Optimization: reinforcement learning from rule rewards without a value model (DeepSeekMath,
 * arXiv:2402.03300, Algorithm 1; the algorithm of R1-Zero, DeepSeek-R1, arXiv:2501.12948).
 *
 *     for each iteration:
 *       sample a group of completions for each problem and judge them
 *       score them under the policy and the reference, where a knob asks for it
 *       compare each with its group: its advantage
 *       repeat μ times: for each minibatch, one step on the policy objective
 *
 * This file is the loop. What the pieces mean stands with them: advantages in `rollout/advantages.ts`, the losses in
 * `losses/policy-objective.ts`, their means in `rollout/loss-weights.ts`, one pass or two in `policy-update.ts`.
 *
 * Departures from the paper, each a recipe key where a choice is left:
 * - The log-probabilities of the old policy are those that the sampler returned. Sampler and trainer share one set of
 *   weights, so nothing is recomputed unless `samplerCorrection` asks for it; `sampling/sampling_logp_difference` shows
 *   what they differ by. Under topP or topK both are those of the distribution over the tokens that these left, the same
 *   set for old, new and reference policy (DeepSeek-V3.2, arXiv:2512.02556, §3.1, "Keep Sampling Mask"): where sampling
 *   cannot go, there is nothing to learn.
 * - One reference, the policy at the stage's start, moved by `refSyncSteps` (the paper's outer loop over references and
 *   reward models is a recipe of several stages). With klCoef 0 there is none.
 * - The mean over tokens is DAPO's by default (`lossType`), the upper clip may be wider (`clipEpsilonHigh`).
 * - A completion whose advantage is 0, as all are in a group of equal rewards, has a gradient of exactly 0 where there
 *   is no KL term, so it is not computed; it still counts in the loss's normalisation. A step with nothing left is not
 *   taken, where AdamW would move on momentum alone.
 * - Completions cut at maxCompletionTokens are trained on like others, with whatever reward they got, unless
 *   maskTruncatedCompletions leaves them out.
 *
 * On a first update the ratio is 1 everywhere and advantages sum to about 0, so `loss` is about 0: the gradient is not.
 */

import { tokenLossOf } from "../../losses/policy-objective.ts";
import { completionAdvantages, type JudgedCompletion, mean } from "../../rollout/advantages.ts";
import {
  judgeCompletions,
  type Rollout,
  requirePromptsFit,
  sampleCompletions,
  stopTokens,
  trainProblems,
  type WeightedReward,
} from "../../rollout/collect.ts";
import { collectGroups } from "../../rollout/collect-groups.ts";
import {
  correctionMetrics,
  type Metrics,
  mergeUpdates,
  rolloutMetrics,
  samplerDifference,
  updateMetrics,
} from "../../rollout/metrics.ts";
import {
  finishUnit,
  type MetricsRow,
  requireEmbeddingNoise,
  requireLoss,
  SkippedSteps,
  startState,
  stopIfAsked,
  type TrainContext,
  type TrainOutcome,
} from "../context.ts";
import { adamParamsAt } from "../optimizer-config.ts";
import { logAbstentions, withOpenRewards, withRewardStates } from "../reward-session.ts";
import { rolloutRow } from "../rollout-row.ts";
import { createRewards, type GrpoConfig, grpoTotalSteps, objectiveOf } from "./config.ts";
import { accumulateGradient, type UpdateRow } from "./policy-update.ts";
import { judgedCompletion, type ScoredRollout, scoreRollouts, updateRows } from "./update-rows.ts";

const STATE_KEYS = ["iteration", "step", "numTokens", "skippedInARow", "nextPrompt"] as const;

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
  const { iterations, groupSize, promptsPerIteration } = config;
  const totalSteps = grpoTotalSteps(config);
  const { neftuneNoiseAlpha: alpha } = config;
  const objective = {
    ...objectiveOf(config),
    ...(alpha > 0 && { embeddingNoise: { alpha, seed: context.seed } }),
  };
  const state = startState(context, STATE_KEYS);
  const skipped = new SkippedSteps(state.skippedInARow, config.maxSkippedSteps, log);
  checkGrpo(context, config, state);
  if (config.klCoef > 0 && !context.resumed) await engine.freezeReference();

  while (state.iteration < iterations) {
    const atStart = withRewardStates(state, rewards);
    await stopIfAsked(context, state.step, atStart);
    const { iteration } = state;
    const startedAt = performance.now();
    let samplingTime = 0;

    // Sample a group of completions for each problem and judge them; where asked, again for groups that teach nothing.
    const { temperature, topP, topK, maxCompletionTokens } = config;
    const sampling = {
      ...{ temperature, topP, topK, maxCompletionTokens },
      ...{ seed: context.seed, iteration, returnKeptTokens: true },
    };
    let nextPrompt = state.nextPrompt;
    const sampleGroups = async (count: number): Promise<readonly Rollout[]> => {
      const roundStartedAt = performance.now();
      const problems = [...trainProblems(task, nextPrompt, count)];
      nextPrompt += count;
      const completions = await sampleCompletions(engine, tokenizer, problems, groupSize, sampling, (sampled) =>
        context.onProgress?.({ phase: "sampling", done: iteration, total: iterations, sampled }),
      );
      samplingTime += performance.now() - roundStartedAt;
      await stopIfAsked(context, state.step, withRewardStates(state, rewards));
      return judgeCompletions(completions, task, rewards);
    };
    const zeroVariance = (groups: readonly Rollout[]) => {
      const unscored = groups.map((rollout) => ({ rollout, trainedTokens: rollout.tokens.length }));
      return completionAdvantages(
        unscored.map((one) => judgedCompletion(one, rewards, config)),
        config,
      ).zeroVariance;
    };
    const collected = await collectGroups(
      { numGroups: promptsPerIteration, groupSize, maxRounds: config.maxSamplingRounds },
      sampleGroups,
      (group) => !zeroVariance(group)[0],
    );
    if (collected.unfilled > 0) {
      const { rounds, unfilled } = collected;
      log.event("groups-without-variance", {
        iteration,
        rounds,
        groups: unfilled,
        reason: "maxSamplingRounds reached",
      });
    }

    // Compare each completion with its group.
    const scored = await scoreRollouts(engine, collected.rollouts, config);
    const judged = scored.map((one) => judgedCompletion(one, rewards, config));
    const groups = completionAdvantages(judged, config);
    const advantages = new Map(collected.rollouts.map((rollout, i) => [rollout, groups.advantages[i]!]));
    logAbstentions(log, iteration, collected.sampled);
    log.rollouts(collected.sampled.map((rollout) => rolloutRow(rollout, advantages.get(rollout) ?? 0, iteration)));

    // Lay out the minibatches.
    const size = scored.length / config.minibatchesPerIteration;
    const tokensPerStep = sumOf(scored.map(({ trainedTokens }) => trainedTokens)) / config.minibatchesPerIteration;
    const minibatches: UpdateRow[][] = [];
    for (let start = 0; start < scored.length; start += size) {
      minibatches.push(updateRows(scored.slice(start, start + size), groups, config, { start, tokensPerStep }));
    }

    // μ passes of one optimizer step per minibatch.
    const updates: Metrics[] = [];
    let sampler = correctedSamplerMetrics(scored, minibatches, config);
    for (let pass = 0; pass < config.updatesPerIteration; pass++) {
      for (const rows of minibatches) {
        const adam = adamParamsAt(state.step, totalSteps, config);
        state.step++;
        if (rows.length === 0) continue;
        const { value, scores, hasGradient } = await accumulateGradient(engine, rows, objective);
        sampler ??= samplerDifference(
          scores.logprobs,
          rows.map((row) => row.samplerLogprobs),
        );
        const seen = updateMetrics({ objective, rows, value, scores });
        if (!hasGradient) {
          updates.push({ loss: value.loss, ...seen });
          continue;
        }
        const { gradNorm, applied } = await engine.optimStep(adam);
        skipped.record({ loss: value.loss, gradNorm, applied }, state.step);
        updates.push({
          loss: value.loss,
          ...(gradNorm !== undefined && { grad_norm: gradNorm }),
          learning_rate: adam.learningRate,
          ...seen,
        });
        if (config.refSyncSteps > 0 && state.step % config.refSyncSteps === 0) {
          await engine.freezeReference(config.refSyncMixup);
        }
      }
    }
    if (updates.length === 0)
      log.event("no-signal", { iteration, reason: "no completion has an advantage to learn from" });

    const { sampled } = collected;
    state.iteration++;
    state.nextPrompt = nextPrompt;
    state.numTokens += sumOf(sampled.map(({ promptTokens, tokens }) => promptTokens.length + tokens.length));
    state.skippedInARow = skipped.inARow;
    const row: MetricsRow = {
      step: state.step,
      iteration,
      num_tokens: state.numTokens,
      skipped_steps: skipped.takeCount(),
      ...mergeUpdates(updates),
      ...sampler,
      ...penaltyMetrics(judged, config),
      ...rolloutMetrics(sampled, zeroVariance(sampled)),
      ...(config.maxSamplingRounds > 1 && { sampling_rounds: collected.rounds }),
    };
    const endedAt = performance.now();
    const timing = {
      step_time: (endedAt - startedAt) / 1000,
      sampling_time: samplingTime / 1000,
      update_time: (endedAt - startedAt - samplingTime) / 1000,
    };
    const saved = withRewardStates(state, rewards);
    const finished = { done: state.iteration, total: iterations, step: state.step, state: saved, row, timing };
    await finishUnit(context, skipped, finished);
  }
  return { steps: state.step, numTokens: state.numTokens };
}

/**
 * Refuses, before any training, an engine without the loss, and problems that do not fit: every one that the stage may
 * sample for from `state` on (of a data set, each once).
 *
 * @throws ConfigError
 */
export function checkGrpo(
  parts: Pick<TrainContext, "engine" | "tokenizer" | "task">,
  config: GrpoConfig,
  state: { readonly iteration: number; readonly nextPrompt: number } = { iteration: 0, nextPrompt: 0 },
): void {
  const { promptsPerIteration, maxSamplingRounds, maxCompletionTokens } = config;
  const most = (config.iterations - state.iteration) * promptsPerIteration * maxSamplingRounds;
  const count = Math.min(most, parts.task.trainCount);
  const loss = tokenLossOf(objectiveOf(config));
  const isNoisy = config.neftuneNoiseAlpha > 0;
  if (isNoisy) requireEmbeddingNoise(parts.engine, "neftuneNoiseAlpha");
  // Whatever has no loss of its own is computed by cross-entropy, from a pass that no noise is added in.
  const isOwn = loss !== undefined && (isNoisy || parts.engine.capabilities.losses.includes(loss.name));
  requireLoss(parts.engine, isOwn ? loss.name : "cross_entropy");
  stopTokens(parts.engine, parts.tokenizer);
  requirePromptsFit(
    parts.engine,
    parts.tokenizer,
    trainProblems(parts.task, state.nextPrompt, count),
    maxCompletionTokens,
  );
}

/** Of a corrected sampler: how far it is from the trainer over all completions, and the corrections. */
function correctedSamplerMetrics(
  scored: readonly ScoredRollout[],
  minibatches: readonly (readonly UpdateRow[])[],
  { samplerCorrection }: GrpoConfig,
): Metrics | undefined {
  if (samplerCorrection === "none") return undefined;
  const corrections = minibatches.flat().map(({ correction }) => correction!);
  return {
    ...samplerDifference(
      scored.map(({ oldLogprobs }) => oldLogprobs!),
      scored.map(({ rollout }) => rollout.samplerLogprobs),
    ),
    ...correctionMetrics(corrections, samplerCorrection.startsWith("sequence")),
  };
}

/** `kl`, the mean over trained tokens, where it is taken from the rewards. */
function penaltyMetrics(judged: readonly JudgedCompletion[], { klCoef }: GrpoConfig): Metrics {
  const penalties = judged.flatMap((completion) => Array.from(completion.penalties ?? []));
  return penalties.length === 0 ? {} : { kl: mean(penalties) / klCoef };
}

const sumOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0);
