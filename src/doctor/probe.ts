/**
 * A few steps of each stage by its own trainer, at learning rate 0: what the policy writes now, what the rewards make of
 * it, and how fast this machine is. The prompts and draws are the run's own first ones.
 *
 * With learning rate 0 and no weight decay AdamW leaves every weight as it is, so all stages are probed at the policy that
 * the recipe starts from. A group of equal rewards would not be trained on, and the speed of training not be seen, so a
 * reward of the probe's own, different for every completion, is added, and left out of what is reported.
 */

import type { Policy } from "../engine/contract/policy.ts";
import type { RewardModel } from "../engine/contract/reward-model.ts";
import { specBeside } from "../engine/open.ts";
import { RunInterrupted } from "../errors.ts";
import { type PreparedRecipe, stageSeed } from "../recipe/pipeline.ts";
import type { StageConfig } from "../recipe/schema.ts";
import { engineSpecOf } from "../recipe/stage-programs.ts";
import type { BatchReward } from "../rewards/reward.ts";
import type { MetricsRow, RolloutRow, TrainContext } from "../train/context.ts";
import { createRewards } from "../train/grpo/config.ts";
import { trainGrpo } from "../train/grpo/grpo.ts";
import { trainRewardModel } from "../train/reward-model/reward-model.ts";
import { scorerOpener } from "../train/reward-scorer.ts";
import { trainSft } from "../train/sft/sft.ts";

/** No reward of a recipe has such a name. */
const PROBE_REWARD = "(probe)";
/** An iteration of the recipe's own size is timed where it takes no longer than this: small batches are slower a token. */
const FULL_ITERATION_SECONDS = 10;
/** Programs are compiled at their first use: a short iteration before the one that is timed. */
const WARM_UP_TOKENS = 2;
const SFT_STEPS = 3;
/** Nothing moves. */
const STANDING = { learningRate: 0, weightDecay: 0, warmupSteps: 0 } as const;

/** What a GRPO stage would begin with. */
export interface GrpoProbe {
  readonly kind: "grpo";
  readonly completions: number;
  readonly groups: number;
  readonly meanPromptTokens: number;
  readonly meanCompletionTokens: number;
  readonly truncatedShare: number;
  readonly zeroVarianceShare: number;
  readonly abstainedShare: number;
  readonly solveRate: number;
  readonly formatRate: number;
  /** Mean score by reward, and whether any two differ; null where it abstained from all. */
  readonly rewards: ReadonlyMap<string, { readonly mean: number; readonly varies: boolean } | null>;
  readonly samplerDifference: number | undefined;
  readonly samplingTokensPerSecond: number;
  /** Prompt and completion tokens of one pass of training, references and rewards included. */
  readonly trainingTokensPerSecond: number;
}

/** What an SFT stage, or that of a reward model, would begin with. */
export interface SftProbe {
  readonly kind: "sft";
  readonly tokensPerStep: number;
  readonly demonstrationsPerStep: number;
  readonly tooLongShare: number;
  readonly loss: number;
  readonly trainingTokensPerSecond: number;
}

/** How a probe is made. */
export interface ProbeOptions {
  /** Completions to sample, made up to whole groups. */
  readonly samples: number;
  readonly signal: AbortSignal;
  readonly onProgress?: ((text: string) => void) | undefined;
}

/** A stage that can be probed. Distillation is not: it would take its teacher into memory, or money at an endpoint. */
export type ProbedStage = Exclude<StageConfig, { trainer: "distill" }>;

/** Whether a stage is of that kind. */
export function isProbed(stage: StageConfig): stage is ProbedStage {
  return stage.trainer !== "distill";
}

/** Probes one stage. Throws what its trainer throws, and RunInterrupted. */
export async function probeStage(
  prepared: PreparedRecipe,
  stage: ProbedStage,
  options: ProbeOptions,
): Promise<GrpoProbe | SftProbe> {
  switch (stage.trainer) {
    case "grpo":
      return probeGrpo(prepared, stage, options);
    case "sft":
      return probeSft(prepared, stage, options);
    default:
      return probeReward(prepared, stage, options);
  }
}

type Trained<Name extends StageConfig["trainer"]> = Extract<StageConfig, { trainer: Name }>;

async function probeGrpo(prepared: PreparedRecipe, stage: Trained<"grpo">, options: ProbeOptions): Promise<GrpoProbe> {
  const groups = Math.max(1, Math.ceil(options.samples / stage.groupSize));
  const config = {
    ...stage,
    ...{ iterations: 1, promptsPerIteration: groups, minibatchesPerIteration: 1, updatesPerIteration: 1 },
    ...{ maxSamplingRounds: 1, learningRate: 0, weightDecay: 0, warmupSteps: 0, maskTruncatedCompletions: false },
  };
  const rewards = createRewards(stage.rewards, {
    openScorer: scorerOpener(prepared.compute, specBeside(engineSpecOf(prepared.recipe))),
  });
  const withProbe = [...rewards, { reward: distinct(), weight: 1 }];
  const short = Math.min(WARM_UP_TOKENS, stage.maxCompletionTokens);
  const warmUp = { ...config, promptsPerIteration: 1, maxCompletionTokens: short };
  await trainGrpo(listen(prepared, stage, options).context, warmUp, withProbe);
  const heard = listen(prepared, stage, options);
  await trainGrpo(heard.context, config, withProbe);

  const { rollouts } = heard;
  const row = heard.metrics[0]!;
  const timed = await timedIteration(heard, stage.promptsPerIteration / groups, async () => {
    const whole = listen(prepared, stage, options);
    await trainGrpo(whole.context, { ...config, promptsPerIteration: stage.promptsPerIteration }, withProbe);
    return whole;
  });
  const completionTokens = sum(rollouts.map(({ lengthTokens }) => lengthTokens));
  const weights = rewards.map(({ reward, weight }) => [reward.name, weight] as const);
  const totals = rollouts.map((rollout) => totalOf(rollout, weights));
  const isFlat = (group: number) => {
    const own = totals.slice(group * stage.groupSize, (group + 1) * stage.groupSize).filter((total) => total !== null);
    return own.every((total) => total === own[0]);
  };
  return {
    kind: "grpo",
    completions: rollouts.length,
    groups,
    meanPromptTokens: (row.num_tokens! - completionTokens) / rollouts.length,
    meanCompletionTokens: completionTokens / rollouts.length,
    truncatedShare: share(rollouts, ({ finishReason }) => finishReason === "length"),
    zeroVarianceShare: share(
      Array.from({ length: groups }, (_, group) => group),
      isFlat,
    ),
    abstainedShare: share(totals, (total) => total === null),
    solveRate: row.solve_rate!,
    formatRate: row.format_rate!,
    rewards: new Map(
      weights.map(([name]) => {
        const scores = rollouts.map((one) => one.rewards[name]?.score ?? null).filter((score) => score !== null);
        if (scores.length === 0) return [name, null];
        return [name, { mean: sum(scores) / scores.length, varies: scores.some((score) => score !== scores[0]) }];
      }),
    ),
    samplerDifference: row["sampling/sampling_logp_difference/mean"],
    ...speedOf(timed),
  };
}

/** The iteration whose speed counts: one of the recipe's size, where the probe's is smaller and it takes seconds only. */
async function timedIteration(probed: Heard, ratio: number, whole: () => Promise<Heard>): Promise<Heard> {
  const { sampling_time: sampling, update_time: updating } = probed.timings[0]!;
  return ratio > 1 && ratio * (sampling! + updating!) <= FULL_ITERATION_SECONDS ? whole() : probed;
}

function speedOf({ rollouts, metrics, timings }: Heard) {
  const { sampling_time: sampling, update_time: updating } = timings[0]!;
  return {
    samplingTokensPerSecond: sum(rollouts.map(({ lengthTokens }) => lengthTokens)) / sampling!,
    trainingTokensPerSecond: metrics[0]!.num_tokens! / updating!,
  };
}

async function probeSft(prepared: PreparedRecipe, stage: Trained<"sft">, options: ProbeOptions): Promise<SftProbe> {
  const heard = listen(prepared, stage, options);
  await trainSft(heard.context, { ...stage, ...STANDING, epochs: undefined, steps: SFT_STEPS, evalLossEvery: 0 });
  return stepsProbe(heard, "num_demonstrations");
}

/** Of a reward model: pairs are its demonstrations. */
async function probeReward(
  prepared: PreparedRecipe,
  stage: Trained<"reward_model">,
  options: ProbeOptions,
): Promise<SftProbe> {
  const { context, ...heard } = listen(prepared, stage, options);
  // The schema lets a recipe with such a stage have no other kind.
  const engine = prepared.engine as RewardModel;
  await trainRewardModel({ ...context, engine }, { ...stage, ...STANDING, epochs: undefined, steps: SFT_STEPS });
  return stepsProbe({ context, ...heard }, "num_pairs");
}

/** What a few steps on given data told. */
function stepsProbe({ metrics, timings }: Heard, counted: string): SftProbe {
  const last = metrics.at(-1)!;
  const measured = last.num_tokens! - metrics[0]!.num_tokens!;
  const demonstrations = sum(metrics.map((row) => row[counted] ?? 0));
  const tooLong = sum(metrics.map((row) => row.num_too_long ?? 0));
  return {
    kind: "sft",
    tokensPerStep: last.num_tokens! / metrics.length,
    demonstrationsPerStep: demonstrations / metrics.length,
    tooLongShare: tooLong / Math.max(1, demonstrations + tooLong),
    loss: metrics[0]!.loss!,
    // The first step compiles.
    trainingTokensPerSecond: measured / sum(timings.slice(1).map((row) => row.step_time!)),
  };
}

/** What a stage told. */
interface Heard {
  readonly context: TrainContext;
  readonly metrics: MetricsRow[];
  readonly timings: MetricsRow[];
  readonly rollouts: RolloutRow[];
}

/** The surroundings of a stage that keep what it tells. */
function listen(prepared: PreparedRecipe, stage: ProbedStage, options: ProbeOptions): Heard {
  const { tokenizer, task, heldOut, recipe } = prepared;
  // The schema lets no policy stage into a recipe that trains a reward model.
  const engine = prepared.engine as Policy;
  const metrics: MetricsRow[] = [];
  const timings: MetricsRow[] = [];
  const rollouts: RolloutRow[] = [];
  const context: TrainContext = {
    ...{ engine, tokenizer, task, heldOut, signal: options.signal },
    seed: stageSeed(recipe.seed, stage.name),
    log: {
      metrics: (row) => metrics.push(row),
      rollouts: (rows) => rollouts.push(...rows),
      timing: (row) => timings.push(row),
      event: () => {},
    },
    onProgress: ({ sampled, phase }) => {
      if (options.signal.aborted) throw new RunInterrupted("Stopped; nothing was written.");
      const what = sampled ? `${sampled.finished}/${sampled.total} completions, ${sampled.tokens} tokens` : phase;
      options.onProgress?.(`${stage.name}: ${what}`);
    },
  };
  return { context, metrics, timings, rollouts };
}

/** A score of its own for every completion. */
function distinct(): BatchReward {
  const judgeBatch: BatchReward["judgeBatch"] = async (inputs) =>
    inputs.map((_, i) => ({ score: 1000 + i, reason: "probe" }));
  return { name: PROBE_REWARD, judgeBatch };
}

/** The weighted sum of the recipe's own rewards; null where all abstained. */
function totalOf({ rewards }: RolloutRow, weights: readonly (readonly [string, number])[]): number | null {
  const judged = weights.flatMap(([name, weight]) => {
    const score = rewards[name]?.score ?? null;
    return score === null ? [] : [weight * score];
  });
  return judged.length === 0 ? null : sum(judged);
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);

const share = <T>(values: readonly T[], isSo: (value: T) => boolean) => values.filter(isSo).length / values.length;
