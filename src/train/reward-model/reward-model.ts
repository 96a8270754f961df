/**
 * The reward model: a number for every text, learned from pairs of answers of which one was preferred (InstructGPT,
 * arXiv:2203.02155, §3.5; the reward models of DeepSeek-R1, arXiv:2501.12948, §2.3.4, judge helpfulness and harmlessness).
 *
 *     for each step:
 *       take pairs from the data until the batch is full
 *       minimise the mean of −ln σ(r_chosen − r_rejected)
 *
 * A pair of equal answers contains no preference and is skipped. So is a pair with a sequence longer than `maxTokens`,
 * unless the recipe makes that an error. Both are counted. Metrics have the names of TRL's RewardTrainer. Pair i is a
 * function of (seed, i), so the whole data state is one integer.
 */

import { ConfigError } from "../../errors.ts";
import { pairStatistics } from "../../losses/bradley-terry.ts";
import { type TokenizedPair, tokenizedPair } from "../../rollout/preference.ts";
import type { StageContext, StageParts, TrainOutcome } from "../context.ts";
import { endOfData, requireWarmupFits } from "../length-config.ts";
import { StageLoop } from "../stage-loop.ts";
import type { RewardModelConfig } from "./config.ts";

/** The surroundings of a stage that trains a reward model. */
export type RewardModelContext = StageContext<"rewardModel">;

/**
 * Trains for as long as the configuration says, or on from `context.resumed`.
 *
 * @throws ConfigError where the task has no pairs to learn from.
 * @throws RunInterrupted, DivergenceError
 */
export async function trainRewardModel(context: RewardModelContext, config: RewardModelConfig): Promise<TrainOutcome> {
  const { engine, log, task } = context;
  const pairs = new PairStream(context, config);
  // `cursor` is the index of the next pair.
  const loop = new StageLoop(context, config, { steps: checkedSteps(pairs, config), state: ["cursor"] });
  const { state } = loop;
  if (!context.resumed) log.event("pairs", { ...pairs.counts });

  return loop.run(async () => {
    const batch = pairs.batch(state.cursor, config.batchPairs);
    const weight = 1 / batch.pairs.length;
    const data = batch.pairs.map((pair) => ({ ...pair, weight }));
    const { loss, gradNorm, chosen, rejected } = await loop.step((adam) =>
      engine.step(data, { centering: config.centerRewardsCoefficient }, adam),
    );
    state.cursor = batch.cursor;
    state.numTokens += data.reduce((sum, pair) => sum + pair.chosen.length + pair.rejected.length, 0);
    const { accuracy, margin, meanReward, minReward, maxReward } = pairStatistics(chosen, rejected);
    return {
      loss,
      accuracy,
      margin,
      mean_reward: meanReward,
      min_reward: minReward,
      max_reward: maxReward,
      ...(gradNorm !== undefined && { grad_norm: gradNorm }),
      learning_rate: loop.learningRate,
      num_tokens: state.numTokens,
      ...(Number.isFinite(task.trainCount) && { epoch: state.cursor / task.trainCount }),
      num_pairs: batch.pairs.length,
      num_equal: batch.equal,
      num_too_long: batch.tooLong,
      skipped_steps: loop.takeSkipped(),
    };
  });
}

/**
 * Refuses, before any training, a task without pairs to learn from.
 *
 * @throws ConfigError; DataError for a row that is no pair.
 */
export function checkRewardModel(parts: PairParts, config: RewardModelConfig): void {
  checkedSteps(new PairStream(parts, config), config);
}

/** The optimizer steps of the stage. */
function checkedSteps(pairs: PairStream, config: RewardModelConfig): number {
  if (config.steps !== undefined) return config.steps;
  const steps = Math.ceil((config.epochs! * pairs.counts.usable) / config.batchPairs);
  requireWarmupFits(config, steps);
  return steps;
}

/** What pairs are made from. */
type PairParts = Pick<StageParts<"rewardModel">, "engine" | "tokenizer" | "task">;

/** How many pairs a pass over the data has, and how many are passed over, why. */
interface PairCounts {
  readonly usable: number;
  readonly equal: number;
  readonly tooLong: number;
}

/** How many problems of a task without end are looked at before the first step. */
const PROBED_PROBLEMS = 256;

/** The pairs of a task, as the engine takes them. */
class PairStream {
  /** Of a pass over the data, or of the first problems of a task without end. */
  readonly counts: PairCounts;
  private readonly parts: PairParts;
  private readonly maxTokens: number;
  private readonly end: number;

  constructor(parts: PairParts, config: RewardModelConfig) {
    const { task, engine } = parts;
    if (!task.preference) {
      throw new ConfigError(
        `The task ${task.name} has no pairs of answers, so there is nothing for a reward model to learn from. Take the ` +
          "task preferences, over a data set with the columns prompt, chosen and rejected.",
      );
    }
    this.parts = parts;
    this.maxTokens = Math.min(config.maxTokens ?? Number.POSITIVE_INFINITY, engine.info.maxContextTokens);
    this.end = endOfData(config, task);
    this.counts = this.count(config.overlong);
  }

  /** Pairs from `cursor` on until the batch is full or the data ends; what was passed over is counted. */
  batch(cursor: number, batchPairs: number) {
    const pairs: TokenizedPair[] = [];
    const passed = { equal: 0, tooLong: 0 };
    let index = cursor;
    for (; pairs.length < batchPairs && index < this.end; index++) {
      const pair = this.at(index);
      if (typeof pair === "string") passed[pair]++;
      else pairs.push(pair);
    }
    return { pairs, cursor: index, ...passed };
  }

  private at(index: number): TokenizedPair | "equal" | "tooLong" {
    const { task, tokenizer } = this.parts;
    const pair = tokenizedPair(task, task.trainProblem(index), tokenizer);
    if (pair === "equal") return pair;
    return Math.max(pair.chosen.length, pair.rejected.length) > this.maxTokens ? "tooLong" : pair;
  }

  /** @throws ConfigError where no pair is left, or one is too long that must not be. */
  private count(overlong: RewardModelConfig["overlong"]): PairCounts {
    const { task } = this.parts;
    const counts = { usable: 0, equal: 0, tooLong: 0 };
    const total = Number.isFinite(task.trainCount) ? task.trainCount : PROBED_PROBLEMS;
    for (let index = 0; index < total; index++) {
      const pair = this.at(index);
      if (pair === "tooLong" && overlong === "error") {
        const { id, place = `problem ${id}` } = task.trainProblem(index);
        throw new ConfigError(
          `${place}: this pair has a sequence of more than ${this.maxTokens} tokens (the smaller of maxTokens and the ` +
            "model's context). Raise maxTokens, leave the row out, or set overlong: drop.",
        );
      }
      counts[typeof pair === "string" ? pair : "usable"]++;
    }
    if (counts.usable > 0) return counts;
    throw new ConfigError(
      `None of ${total} pairs of the task ${task.name} can be learned from: ${counts.equal} have two equal answers, ` +
        `${counts.tooLong} a sequence of more than ${this.maxTokens} tokens.`,
    );
  }
}
