import { describe, expect, it } from "vitest";
import type { RewardModel } from "../../../src/engine/contract/reward-model.ts";
import { ConfigError } from "../../../src/errors.ts";
import { evaluatePairs } from "../../../src/eval/evaluate-pairs.ts";
import { pairStatistics } from "../../../src/losses/bradley-terry.ts";
import type { Task } from "../../../src/tasks/task.ts";
import { rewardModelConfigSchema } from "../../../src/train/reward-model/config.ts";
import { trainRewardModel } from "../../../src/train/reward-model/reward-model.ts";
import { emptyDirectory } from "../../engine/models.ts";
import { checkpointInto, lettersContext, lettersTask, lettersTokenizer, MemoryLog, newEngine } from "../letters.ts";

const configOf = (overrides: object = {}) =>
  rewardModelConfigSchema.parse({ steps: 20, batchPairs: 2, learningRate: 0.5, ...overrides });

/** A reward model with one weight per token, the reward of a text being their sum: a contract, without a network. */
class TokenSums implements RewardModel {
  readonly info = { name: "token sums", vocabSize: 7, maxContextTokens: 8, parameterCount: 7 };
  weights = new Float64Array(7);
  gradient = new Float64Array(7);
  saved = new Float64Array(7);
  seen: string[] = [];

  private sum = (tokens: Int32Array) => tokens.reduce((total, token) => total + this.weights[token]!, 0);
  score = async (sequences: readonly Int32Array[]) => Float32Array.from(sequences, this.sum);
  forwardBackward: RewardModel["forwardBackward"] = async (pairs) => {
    const chosen = Float32Array.from(pairs, (pair) => this.sum(pair.chosen));
    const rejected = Float32Array.from(pairs, (pair) => this.sum(pair.rejected));
    pairs.forEach((pair, i) => {
      this.seen.push(lettersTokenizer.decode(pair.chosen));
      const slope = -pair.weight / (1 + Math.exp(chosen[i]! - rejected[i]!));
      for (const token of pair.chosen) this.gradient[token]! += slope;
      for (const token of pair.rejected) this.gradient[token]! -= slope;
    });
    return { loss: pairStatistics(chosen, rejected).loss, chosen, rejected };
  };
  optimStep: RewardModel["optimStep"] = async ({ learningRate }) => {
    this.weights = this.weights.map((weight, i) => weight - learningRate * this.gradient[i]!);
    this.gradient = new Float64Array(7);
    return { gradNorm: 1, applied: true };
  };
  step: RewardModel["step"] = async (pairs, options, adam) => ({
    ...(await this.forwardBackward(pairs, options)),
    ...(await this.optimStep(adam)),
  });
  saveState = async () => {
    this.saved = this.weights.slice();
  };
  loadState = async () => {
    this.weights = this.saved.slice();
  };
  resetOptimizer = async () => {};
  saveWeights = async () => {};
  dispose = async () => {};
}

/** For each digit its letter is preferred to the next one; the third of six pairs has two equal answers. */
const pairsTask: Task = {
  ...lettersTask,
  name: "pairs",
  trainCount: 6,
  trainProblem: (index) => ({ ...lettersTask.trainProblem(index % 6), id: index % 6 }),
  preference: ({ id, columns }) => ({
    chosen: String(columns.letter).repeat(id === 5 ? 7 : 1),
    rejected: id === 2 ? String(columns.letter) : "1",
  }),
};

function contextOf(engine: RewardModel, log: MemoryLog, overrides: object = {}) {
  const { engine: _, ...surroundings } = lettersContext(newEngine(), log, { task: pairsTask });
  return { ...surroundings, ...overrides, engine };
}

describe("trainRewardModel", () => {
  it("learns to rank: the loss falls from ln 2 and every usable pair ends in order", async () => {
    const [engine, log] = [new TokenSums(), new MemoryLog()];
    await trainRewardModel(contextOf(engine, log), configOf());
    expect(log.metricsRows[0]).toMatchObject({ step: 1, loss: Math.LN2, accuracy: 0.5, margin: 0, mean_reward: 0 });
    expect(log.metricsRows.at(-1)!.loss).toBeLessThan(0.2);
    expect(log.metricsRows.at(-1)!.accuracy).toBe(1);
    const { statistics, intervals, completions } = await evaluatePairs(
      engine,
      lettersTokenizer,
      pairsTask,
      [0, 1, 2, 5].map((index) => pairsTask.trainProblem(index)),
    );
    expect(statistics).toMatchObject({ accuracy: 1, skippedPairs: 2 });
    expect(intervals.accuracy![1]).toBe(1);
    expect(completions).toHaveLength(2);
    expect(completions[0]!.completion).toMatch(/^\[chosen, reward .*\]\na\n\[rejected, reward .*\]\n1$/);
  });

  it("passes over equal answers and pairs that are too long, and counts them", async () => {
    const [engine, log] = [new TokenSums(), new MemoryLog()];
    await trainRewardModel(contextOf(engine, log), configOf({ steps: undefined, epochs: 2 }));
    // Four of six pairs are usable: two passes are eight pairs, four steps of two.
    expect(log.metricsRows.map((row) => row.num_pairs)).toEqual([2, 2, 2, 2]);
    expect(log.metricsRows.map((row) => row.num_equal)).toEqual([0, 1, 0, 1]);
    expect(log.metricsRows.map((row) => row.num_too_long)).toEqual([0, 0, 1, 0]);
    expect(log.events).toContainEqual({ name: "pairs", details: { usable: 4, equal: 1, tooLong: 1 } });
    expect(engine.seen).toEqual(["1a", "2b", "1a", "2b", "1a", "2b", "1a", "2b"]);
  });

  it("goes on from a checkpoint to the same metrics and weights", async () => {
    const [whole, wholeLog] = [new TokenSums(), new MemoryLog()];
    await trainRewardModel(contextOf(whole, wholeLog), configOf());
    const [engine, log] = [new TokenSums(), new MemoryLog()];
    const { kept, hook } = checkpointInto(await emptyDirectory(), engine as never, 0);
    const controller = new AbortController();
    const overrides = {
      signal: controller.signal,
      checkpoint: hook,
      onProgress: ({ done }: { done: number }) => done === 7 && controller.abort(),
    };
    await expect(trainRewardModel(contextOf(engine, log, overrides), configOf())).rejects.toThrow(/--resume/);
    await engine.loadState();
    await trainRewardModel(contextOf(engine, log, { resumed: kept.state }), configOf());
    expect(log.metricsRows).toEqual(wholeLog.metricsRows);
    expect(engine.weights).toEqual(whole.weights);
  });

  it("refuses a task without pairs, pairs that all say nothing, and overlong ones where that is an error", async () => {
    const run = (task: Task, config: object = {}) =>
      trainRewardModel(contextOf(new TokenSums(), new MemoryLog(), { task }), configOf(config));
    await expect(run(lettersTask)).rejects.toThrow(/The task letters has no pairs of answers.*preferences/);
    const equal = { ...pairsTask, preference: () => ({ chosen: "a", rejected: "a" }) };
    await expect(run(equal)).rejects.toThrow(/None of 6 pairs.*6 have two equal answers/);
    await expect(run(pairsTask, { overlong: "error" })).rejects.toThrow(ConfigError);
    await expect(run(pairsTask, { overlong: "error" })).rejects.toThrow(
      /problem 5: .*more than 8 tokens.*overlong: drop/,
    );
    await expect(
      run({ ...pairsTask, trainCount: Number.POSITIVE_INFINITY }, { steps: undefined, epochs: 1 }),
    ).rejects.toThrow(/makes its problems without end. Give steps/);
    expect(() => configOf({ epochs: 1 })).toThrow(/exactly one of steps/);
  });
});

describe("pairStatistics", () => {
  it("is the mean of −ln σ(difference), finite for any difference, equal rewards counting half", () => {
    const { loss, accuracy, margin, minReward, maxReward } = pairStatistics([1, 0, -2000], [0, 0, 0]);
    expect(loss).toBeCloseTo((Math.log(1 + Math.exp(-1)) + Math.LN2 + 2000) / 3, 10);
    expect([accuracy, margin, minReward, maxReward]).toEqual([0.5, -1999 / 3, -2000, 1]);
  });
});
