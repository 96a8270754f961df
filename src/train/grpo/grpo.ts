/**
 * Group Relative Policy Optimization: reinforcement learning from rule rewards without a value model (DeepSeekMath,
 * arXiv:2402.03300, Algorithm 1; the algorithm of R1-Zero, DeepSeek-R1, arXiv:2501.12948).
 *
 *     for each iteration:
 *       sample a group of completions for each problem and judge them
 *       score them under the policy and the reference, where a key asks for it
 *       compare each with its group: its advantage
 *       repeat μ times: for each minibatch, one step on the policy objective
 *
 * This file is the loop. The parts are explained in their own files: advantages in `rollout/advantages.ts`, the losses
 * in `losses/`, their means in `losses/means.ts`, one pass or two in `policy-update.ts`.
 *
 * Departures from the paper, each a recipe key where a choice is left:
 * - The log-probabilities of the old policy are those that the sampler returned. Sampler and trainer share one set of
 *   weights, so nothing is recomputed unless `samplerCorrection` asks for it; `sampling/sampling_logp_difference` shows
 *   what they differ by. With `maxStaleness` 1 the sampler's weights are those of one iteration before
 *   (`sampling-ahead.ts`): the ratio of every loss corrects for that, its denominator being what the sampler returned. With
 *   `samplerCorrection` the denominator is the policy as it is before the first step, and ρ leads there from the sampler
 *   (the decoupled objective of AReaL, arXiv:2505.24298, with ρ bounded). Under topP or topK both are those of the
 *   distribution over the tokens that these left, the same set for old, new and reference policy (DeepSeek-V3.2,
 *   arXiv:2512.02556, §3.1, "Keep Sampling Mask"): where sampling cannot go, there is nothing to learn.
 * - One reference, the policy at the stage's start, moved by `refSyncSteps` (the paper's outer loop over references and
 *   reward models is a recipe of several stages). With klCoef 0 there is none.
 * - The mean over tokens is DAPO's by default (`lossType`), the upper clip may be wider (`clipEpsilonHigh`).
 * - A completion whose advantage is 0, as all are in a group of equal rewards, has a gradient of exactly 0 where there
 *   is no KL term, so it is not computed; it still counts in the loss's normalisation. A step with nothing left is not
 *   taken, where AdamW would move on momentum alone.
 * - Completions cut at maxCompletionTokens are trained on like others, with whatever reward they got, unless
 *   maskTruncatedCompletions leaves them out.
 *
 * On a first update the ratio is 1 everywhere and advantages sum to about 0, so `loss` is about 0: the gradient is not. With
 * `maxStaleness` 1 and no `samplerCorrection` the ratio is not 1.
 */

import type { PolicyObjective } from "../../losses/policy-objective.ts";
import type { WeightedReward } from "../../rewards/reward.ts";
import { createRewards } from "../../rewards/spec.ts";
import { completionAdvantages, type GroupAdvantages } from "../../rollout/advantages.ts";
import { judgeCompletions, type Rollout, sampleCompletions, trainProblems } from "../../rollout/collect.ts";
import { type CollectedGroups, collectGroups } from "../../rollout/collect-groups.ts";
import { type Metrics, mergeUpdates, rolloutMetrics, samplerDifference, updateMetrics } from "../../rollout/metrics.ts";
import { sumOf } from "../../statistics.ts";
import type { StageLog, TrainContext, TrainOutcome, UpdatedTokens } from "../context.ts";
import { rewardDepsOf } from "../reward-scorer.ts";
import { logAbstentions, rememberedRewards, withStageRewards } from "../reward-session.ts";
import { rolloutRow } from "../rollout-row.ts";
import { StageLoop } from "../stage-loop.ts";
import { checkGrpo } from "./check.ts";
import { type GrpoConfig, grpoTotalSteps, objectiveOf, samplingOptions } from "./config.ts";
import { correctedSamplerMetrics, penaltyMetrics, stalenessMetrics } from "./metrics.ts";
import { type PolicyUpdate, policyUpdate, type UpdateRow } from "./policy-update.ts";
import { rewardModelsIn } from "./reward-paths.ts";
import { SamplingAhead } from "./sampling-ahead.ts";
import { judgedCompletion, minibatchesOf, scoreRollouts } from "./update-rows.ts";

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
  rewards: readonly WeightedReward[] = createRewards(config.rewards, rewardDepsOf(context)),
): Promise<TrainOutcome> {
  return withStageRewards(rewards, context, () => iterate(context, config, rewards));
}

async function iterate(
  context: TrainContext,
  config: GrpoConfig,
  rewards: readonly WeightedReward[],
): Promise<TrainOutcome> {
  const { engine, log } = context;
  const { iterations, updatesPerIteration, refSyncSteps, refSyncMixup } = config;
  const ahead = new SamplingAhead(context, config);
  // `nextPrompt` is the index of the next problem.
  const loop: StageLoop<"nextPrompt"> = new StageLoop(context, config, {
    iterations,
    steps: grpoTotalSteps(config),
    state: ["nextPrompt"],
    remember: () => rememberedRewards(rewards),
    files: () => ahead.files(loop.state.nextPrompt),
  });
  const { state } = loop;
  checkGrpo(context, config, { iteration: loop.done, nextPrompt: state.nextPrompt });
  await ahead.restore(loop.done, state.nextPrompt);
  const objective = trainedObjective(config, context.seed);
  if (config.klCoef > 0 && !context.resumed) await engine.freezeReference();

  const oneIteration = async (iteration: number) => {
    // Sample a group of completions for each problem and judge them; where asked, again for groups that teach nothing.
    const collected = await sampledGroups(context, config, rewards, { loop, ahead });

    // Compare each completion with its group.
    loop.begins("updating");
    const scored = await loop.timed("reference", () => scoreRollouts(engine, collected.rollouts, config));
    // Scoring waits for what is sampled ahead where both are computed by one engine.
    await stopIfAsked(context, loop, ahead);
    const judged = scored.map((one) => judgedCompletion(one, rewards, config));
    const groups = completionAdvantages(judged, config);
    logAbstentions(log, iteration, collected.sampled);

    // μ passes of one optimizer step on each minibatch.
    const minibatches = minibatchesOf(scored, groups, config);
    const updates: Metrics[] = [];
    const tokens = new Map<Rollout, UpdatedTokens>();
    let sampler = correctedSamplerMetrics(scored, minibatches, config);
    try {
      for (let pass = 0; pass < updatesPerIteration; pass++) {
        for (const rows of minibatches) {
          const update = await loop.step(async (adam) => {
            if (rows.length === 0) return undefined;
            return policyUpdate(engine, rows, objective, (data, loss) => engine.step(data, loss, adam));
          });
          if (refSyncSteps > 0 && state.step % refSyncSteps === 0) await engine.freezeReference(refSyncMixup);
          if (update === undefined) continue;
          const { loss, gradNorm, hasGradient, scores } = update;
          updates.push({
            loss,
            ...(gradNorm !== undefined && { grad_norm: gradNorm }),
            ...(hasGradient && { learning_rate: loop.learningRate }),
            ...updateMetrics({ objective, rows, ...update }),
          });
          for (const [i, row] of rows.entries()) tokens.set(row.rollout, updatedTokens(row, update, i));
          sampler ??= samplerDifference(
            scores.logprobs,
            rows.map((row) => row.samplerLogprobs),
          );
        }
      }
    } finally {
      // Where a step fails too: then its completions are what somebody wants to see.
      logCompletions(log, iteration, collected, groups, tokens);
    }
    if (updates.length === 0)
      log.event("no-signal", { iteration, reason: "no completion has an advantage to learn from" });

    const { sampled, rounds } = collected;
    await loop.timed("sampling", () => ahead.finish(loop.sampling));
    state.nextPrompt += collected.prompts;
    state.numTokens += sumOf(sampled.map(({ promptTokens, tokens }) => promptTokens.length + tokens.length));
    return {
      iteration,
      num_tokens: state.numTokens,
      skipped_steps: loop.takeSkipped(),
      ...mergeUpdates(updates),
      ...sampler,
      ...penaltyMetrics(judged, config),
      ...rolloutMetrics(sampled, zeroVariance(sampled, rewards, config)),
      ...(config.maxSamplingRounds > 1 && { sampling_rounds: rounds }),
      ...(config.maxStaleness > 0 &&
        stalenessMetrics(collected.rollouts, new Set(sampled.slice(0, collected.sampledAhead)))),
    };
  };
  return loop.run((iteration) => ahead.during(() => oneIteration(iteration)));
}

/** What an iteration is trained on. */
interface SampledGroups extends CollectedGroups {
  /** How many problems were asked. */
  readonly prompts: number;
  /** How many of `sampled`, the first ones, were sampled ahead. */
  readonly sampledAhead: number;
}

/** Saves and throws where the user asked to stop. */
async function stopIfAsked({ signal }: TrainContext, loop: StageLoop<"nextPrompt">, ahead: SamplingAhead) {
  // A checkpoint does not wait for what is sampled again on resumption.
  if (signal.aborted) await ahead.end();
  await loop.stopIfAsked();
}

/** The groups of the iteration at hand. Where sampling runs ahead, the next iteration's is begun on the way. */
async function sampledGroups(
  context: TrainContext,
  config: GrpoConfig,
  rewards: readonly WeightedReward[],
  { loop, ahead }: { readonly loop: StageLoop<"nextPrompt">; readonly ahead: SamplingAhead },
): Promise<SampledGroups> {
  const { engine, tokenizer, task, seed, log } = context;
  const { promptsPerIteration, groupSize } = config;
  const iteration = loop.done;
  const sampling = samplingOptions(config, seed, iteration);
  let prompts = 0;
  let sampledAhead = 0;
  const beginAhead = () => ahead.begin(iteration + 1, loop.state.nextPrompt + prompts);
  const sampleRound = async (count: number): Promise<readonly Rollout[]> => {
    const problems = [...trainProblems(task, loop.state.nextPrompt + prompts, count)];
    prompts += count;
    const waiting = ahead.take();
    if (waiting) sampledAhead = prompts;
    const completions =
      waiting ??
      (await loop.timed("sampling", () =>
        sampleCompletions(engine, tokenizer, problems, groupSize, sampling, loop.sampling),
      ));
    await stopIfAsked(context, loop, ahead);
    // Of a single round it is known which problems come next. A reward model computes where the policy does, one at a time.
    if (config.maxSamplingRounds === 1 && rewardModelsIn(config).length === 0) await beginAhead();
    loop.begins("judging");
    const judged = await loop.timed("rewards", () => judgeCompletions(completions, task, rewards));
    // Scores of rewards that were interrupted are not used.
    await stopIfAsked(context, loop, ahead);
    return judged;
  };
  const collected = await collectGroups(
    { numGroups: promptsPerIteration, groupSize, maxRounds: config.maxSamplingRounds },
    sampleRound,
    (group) => !zeroVariance(group, rewards, config)[0],
  );
  await beginAhead();
  const { rounds, unfilled } = collected;
  if (unfilled > 0) {
    const reason = "maxSamplingRounds reached";
    log.event("groups-without-variance", { iteration, rounds, groups: unfilled, reason });
  }
  return { ...collected, prompts, sampledAhead: sampledAhead * groupSize };
}

/** Of each group, whether its rewards are all equal. */
function zeroVariance(groups: readonly Rollout[], rewards: readonly WeightedReward[], config: GrpoConfig) {
  const judged = groups.map((rollout) =>
    judgedCompletion({ rollout, trainedTokens: rollout.tokens.length }, rewards, config),
  );
  return completionAdvantages(judged, config).zeroVariance;
}

/** What an update saw of the tokens of its row `index`. */
function updatedTokens({ advantages }: UpdateRow, { value, scores }: PolicyUpdate, index: number): UpdatedTokens {
  const isShared = Array.from(advantages).every((advantage) => advantage === advantages[0]);
  const entropies = scores.entropies?.[index];
  return {
    ...(!isShared && { tokenAdvantages: advantages }),
    ratios: value.rows[index]!.logRatios.map(Math.exp),
    ...(entropies && { entropies }),
  };
}

/** Logs every completion that was sampled, with the advantage that it was learned from; 0 of those that were not. */
function logCompletions(
  log: StageLog,
  iteration: number,
  { rollouts, sampled }: CollectedGroups,
  { advantages }: GroupAdvantages,
  tokens: ReadonlyMap<Rollout, UpdatedTokens>,
): void {
  const advantageOf = new Map(rollouts.map((rollout, i) => [rollout, advantages[i]!]));
  const row = (rollout: Rollout) => rolloutRow(rollout, advantageOf.get(rollout) ?? 0, iteration, tokens.get(rollout));
  log.rollouts(sampled.map(row));
}

/** What the optimizer steps minimise, with noise on the embeddings where the recipe asks for it. */
function trainedObjective(config: GrpoConfig, seed: number): PolicyObjective {
  const { neftuneNoiseAlpha: alpha } = config;
  return { ...objectiveOf(config), ...(alpha > 0 && { embeddingNoise: { alpha, seed } }) };
}
