import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ConfigError, RunInterrupted } from "../../../src/errors.ts";
import { evaluate } from "../../../src/eval/evaluate.ts";
import { sftConfigSchema } from "../../../src/train/sft/config.ts";
import { demonstrationTokens } from "../../../src/train/sft/demonstration-stream.ts";
import { normaliseWeights, trainSft } from "../../../src/train/sft/sft.ts";
import {
  checkpointInto,
  EOS,
  lettersContext,
  lettersTask,
  lettersTokenizer,
  MemoryLog,
  newEngine,
} from "../letters.ts";

const configOf = (overrides: object = {}) =>
  sftConfigSchema.parse({ steps: 60, batchTokens: 20, learningRate: 0.1, schedule: "linear", ...overrides });

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "aha-sft-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe("trainSft", () => {
  it("teaches the demonstrations: the loss falls below 0.1 and greedy answers are all right", async () => {
    const engine = newEngine();
    const log = new MemoryLog();
    await trainSft(lettersContext(engine, log), configOf());
    expect(log.metricsRows[0]!.loss).toBeGreaterThan(1.5);
    expect(log.metricsRows.at(-1)!.loss).toBeLessThan(0.1);
    const options = { temperature: 0, samples: 1, maxCompletionTokens: 4, seed: 0 };
    const { statistics } = await evaluate(engine, lettersTokenizer, lettersTask, lettersTask.heldOut(3), options);
    expect(statistics.solveRate).toBe(1);
  });

  it("fills each step up to batchTokens, prompts counted, and goes on where the last step ended", async () => {
    const log = new MemoryLog();
    const numbers: number[] = [];
    const task = {
      ...lettersTask,
      demonstrate: (problem: ReturnType<typeof lettersTask.trainProblem>) => {
        numbers.push(problem.id);
        return lettersTask.demonstrate!(problem, 0);
      },
    };
    // A demonstration has 3 tokens: digit, letter, end. Six of them fill 18 of 20 tokens.
    await trainSft(lettersContext(newEngine(), log, { task }), configOf({ steps: 3 }));
    expect(log.metricsRows.map((row) => row.num_demonstrations)).toEqual([6, 6, 6]);
    expect(log.metricsRows.map((row) => row.num_tokens)).toEqual([18, 36, 54]);
  });

  it("resumes from a checkpoint to byte-identical metrics and weights", async () => {
    const config = configOf({ schedule: "cosine", warmupSteps: 10 });
    const whole = newEngine();
    const wholeLog = new MemoryLog();
    await trainSft(lettersContext(whole, wholeLog), config);

    const engine = newEngine();
    const log = new MemoryLog();
    const controller = new AbortController();
    const { kept, hook } = checkpointInto(directory, engine, 0);
    const context = lettersContext(engine, log, {
      signal: controller.signal,
      checkpoint: hook,
      onProgress: ({ done }) => done === 23 && controller.abort(),
    });
    await expect(trainSft(context, config)).rejects.toThrow(RunInterrupted);

    const fresh = newEngine();
    await fresh.loadState(kept.directory);
    await trainSft(lettersContext(fresh, log, { resumed: kept.state! }), config);
    expect(JSON.stringify(log.metricsRows)).toBe(JSON.stringify(wholeLog.metricsRows));
    expect(fresh.weights()).toEqual(whole.weights());
  });

  it("passes over demonstrations that do not fit and counts them", async () => {
    const task = {
      ...lettersTask,
      demonstrate: ({ id }: { id: number }) => ({ completion: "a".repeat(id === 2 ? 30 : 1), weightedSpans: [] }),
    };
    const log = new MemoryLog();
    await trainSft(lettersContext(newEngine(), log, { task }), configOf({ steps: 1 }));
    expect(log.metricsRows[0]).toMatchObject({ num_demonstrations: 6, num_too_long: 3 });
  });

  it("refuses a task without demonstrations, and one whose demonstrations are all too long", async () => {
    const { demonstrate: _, ...mute } = lettersTask;
    const refused = trainSft(lettersContext(newEngine(), new MemoryLog(), { task: mute }), configOf());
    await expect(refused).rejects.toThrow(
      new ConfigError("The task letters has no demonstrations, so there is nothing for SFT to train on."),
    );
    const long = { ...lettersTask, demonstrate: () => ({ completion: "a".repeat(30), weightedSpans: [] }) };
    const tooLong = trainSft(lettersContext(newEngine(), new MemoryLog(), { task: long }), configOf());
    await expect(tooLong).rejects.toThrow(
      /shortest of the first 256 demonstrations of letters has 32 tokens, but only 16 fit/,
    );
  });

  it("its schema refuses unknown keys and a warm-up longer than the stage", () => {
    expect(() => configOf({ batchToken: 3 })).toThrow(/batchToken/);
    expect(() => configOf({ warmupSteps: 61 })).toThrow(/warmupSteps \(61\) is more than the 60 optimizer steps/);
  });
});

describe("demonstrationTokens", () => {
  it("ends with the end token and gives each token the weight of the last span that it overlaps", () => {
    const weightedSpans = [
      { start: 0, end: 3, weight: 2 },
      { start: 2, end: 3, weight: 0.5 },
    ];
    const { completionTokens, weights } = demonstrationTokens({ completion: "abca", weightedSpans }, lettersTokenizer);
    expect([...completionTokens]).toEqual([4, 5, 6, 4, EOS]);
    expect([...weights]).toEqual([2, 2, 0.5, 1, 1]);
  });
});

describe("normaliseWeights", () => {
  it("makes the weights of all data together sum to 1, in their proportions", () => {
    const datum = (weights: number[]) => ({
      promptTokens: Int32Array.of(1),
      completionTokens: new Int32Array(weights.length),
      weights: Float32Array.from(weights),
    });
    const [first, second] = normaliseWeights([datum([1, 3]), datum([4])]);
    expect([...first!.weights, ...second!.weights]).toEqual([0.125, 0.375, 0.5]);
  });
});
