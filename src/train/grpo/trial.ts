/**
 * A trial of a GRPO stage: what the policy writes now, what the rewards make of it, and how fast this machine is. The
 * prompts and draws are the run's own first ones.
 *
 * A group of equal rewards is not trained on, so the speed of training could not be measured. Therefore the trial adds
 * a reward of its own, different for every completion, and leaves it out of the report.
 */

import type { BatchReward } from "../../rewards/reward.ts";
import { createRewards } from "../../rewards/spec.ts";
import { mean, sumOf } from "../../statistics.ts";
import type { RolloutRow } from "../context.ts";
import type { StageTrial, TrialParts } from "../examination.ts";
import { rewardDepsOf } from "../reward-scorer.ts";
import { type RecordedStage, recordedStage, WITHOUT_CHANGE, writingToTheLimit } from "../trial.ts";
import type { GrpoConfig } from "./config.ts";
import { trainGrpo } from "./grpo.ts";

/** A name that no reward of a recipe can have. */
const TRIAL_REWARD = "(probe)";
/** An iteration of the recipe's own size is timed where it takes no longer than this: small batches are slower a token. */
const FULL_ITERATION_SECONDS = 10;
/** Token positions of a micro-batch, unless the recipe has others. */
const FILLED_TOKENS = 2048;
/** Programs are compiled at their first use: a short iteration before the one that is timed. */
const WARM_UP_TOKENS = 2;

/** What a stage would begin with. */
export interface GrpoTrial extends StageTrial {
  readonly completions: number;
  readonly groups: number;
  readonly meanPromptTokens: number;
  readonly truncatedShare: number;
  readonly zeroVarianceShare: number;
  readonly abstainedShare: number;
  /** null where the task cannot tell. */
  readonly solveRate: number | null;
  readonly formatRate: number;
  /** Mean score by reward, and whether any two differ; null where it abstained from all. */
  readonly rewards: ReadonlyMap<string, { readonly mean: number; readonly varies: boolean } | null>;
  readonly samplerDifference: number | undefined;
  readonly sampling: NonNullable<StageTrial["sampling"]>;
}

type Recorded = RecordedStage<"policy">;

/** Tries a stage; see the file's header. */
export async function tryGrpo(parts: TrialParts<"policy">, stage: GrpoConfig): Promise<GrpoTrial> {
  const groups = Math.max(1, Math.ceil(parts.samples / stage.groupSize));
  const config = {
    ...stage,
    ...{ iterations: 1, promptsPerIteration: groups, minibatchesPerIteration: 1, updatesPerIteration: 1 },
    ...{ ...WITHOUT_CHANGE, maxSamplingRounds: 1, maskTruncatedCompletions: false },
  };
  const rewards = createRewards(stage.rewards, rewardDepsOf(parts));
  const withProbe = [...rewards, { reward: distinct(), weight: 1 }];
  const short = Math.min(WARM_UP_TOKENS, stage.maxCompletionTokens);
  const warmUp = { ...config, promptsPerIteration: 1, maxCompletionTokens: short };
  await trainGrpo(recordedStage(parts).context, warmUp, withProbe);
  const tried = recordedStage(parts);
  await trainGrpo(tried.context, config, withProbe);

  const { rollouts } = tried;
  const row = tried.metrics[0]!;
  const timed = await timedIteration(tried, stage.promptsPerIteration / groups, async () => {
    const whole = recordedStage(parts);
    await trainGrpo(whole.context, { ...config, promptsPerIteration: stage.promptsPerIteration }, withProbe);
    return whole;
  });
  const completionTokens = sumOf(rollouts.map(({ lengthTokens }) => lengthTokens));
  const meanPromptTokens = (row.num_tokens! - completionTokens) / rollouts.length;
  const longest = await tryLongest(parts, config, withProbe, meanPromptTokens);
  const weights = rewards.map(({ reward, weight }) => [reward.name, weight] as const);
  const totals = rollouts.map((rollout) => totalOf(rollout, weights));
  const isFlat = (group: number) => {
    const own = totals.slice(group * stage.groupSize, (group + 1) * stage.groupSize).filter((total) => total !== null);
    return own.every((total) => total === own[0]);
  };
  return {
    completions: rollouts.length,
    groups,
    meanPromptTokens,
    truncatedShare: share(rollouts, ({ finishReason }) => finishReason === "length"),
    zeroVarianceShare: share(
      Array.from({ length: groups }, (_, group) => group),
      isFlat,
    ),
    abstainedShare: share(totals, (total) => total === null),
    solveRate: row.solve_rate ?? null,
    formatRate: row.format_rate!,
    rewards: new Map(
      weights.map(([name]) => {
        const scores = rollouts.map((one) => one.rewards[name]?.score ?? null).filter((score) => score !== null);
        if (scores.length === 0) return [name, null];
        return [name, { mean: mean(scores), varies: scores.some((score) => score !== scores[0]) }];
      }),
    ),
    samplerDifference: row["sampling/sampling_logp_difference/mean"],
    ...speedOf(timed, completionTokens / rollouts.length),
    ...(longest && { longest }),
  };
}

/**
 * One group in which every completion is as long as the recipe lets it be, with so many completions as fill a micro-batch of
 * the usual size; undefined where the engine cannot be asked for a length.
 */
async function tryLongest(
  parts: TrialParts<"policy">,
  config: GrpoConfig,
  rewards: Parameters<typeof trainGrpo>[2],
  promptTokens: number,
): Promise<StageTrial["longest"]> {
  if (!parts.engine.capabilities.minimumLength) return undefined;
  const { groupSize, maxCompletionTokens } = config;
  const filling = Math.ceil((FILLED_TOKENS - promptTokens) / maxCompletionTokens);
  const sequences = Math.min(groupSize, Math.max(2, filling));
  const { context, metrics } = recordedStage<"policy">({ ...parts, engine: writingToTheLimit(parts.engine) });
  await trainGrpo(context, { ...config, promptsPerIteration: 1, groupSize: sequences }, rewards);
  return { sequences, length: metrics[0]!.num_tokens! / sequences };
}

/** The iteration whose speed counts: one of the recipe's size, where the probe's is smaller and it takes seconds only. */
async function timedIteration(probed: Recorded, ratio: number, whole: () => Promise<Recorded>): Promise<Recorded> {
  return ratio > 1 && ratio * probed.timings[0]!.step_time! <= FULL_ITERATION_SECONDS ? whole() : probed;
}

function speedOf({ rollouts, metrics, timings }: Recorded, meanCompletionTokens: number) {
  const { sampling_time: sampling, step_time: seconds } = timings[0]!;
  return {
    sampling: {
      meanCompletionTokens,
      tokensPerSecond: sumOf(rollouts.map(({ lengthTokens }) => lengthTokens)) / sampling!,
    },
    trainingTokensPerSecond: metrics[0]!.num_tokens! / (seconds! - sampling!),
  };
}

/** A score of its own for every completion. */
function distinct(): BatchReward {
  const judgeBatch: BatchReward["judgeBatch"] = async (inputs) =>
    inputs.map((_, i) => ({ score: 1000 + i, reason: "probe" }));
  return { name: TRIAL_REWARD, judgeBatch };
}

/** The weighted sum of the recipe's own rewards; null where all abstained. */
function totalOf({ rewards }: RolloutRow, weights: readonly (readonly [string, number])[]): number | null {
  const judged = weights.flatMap(([name, weight]) => {
    const score = rewards[name]?.score ?? null;
    return score === null ? [] : [weight * score];
  });
  return judged.length === 0 ? null : sumOf(judged);
}

const share = <T>(values: readonly T[], isSo: (value: T) => boolean) => values.filter(isSo).length / values.length;
