import { describe, expect, it } from "vitest";
import { type BatchNumbers, batchOf, runsInTrl } from "../../../src/recipe/trl/batch.ts";
import type { TrlReading } from "../../../src/recipe/trl/version.ts";
import { convert, convertKeys, fixtureText, groupsOf, stageOf } from "./conversions.ts";

const ONE: BatchNumbers = {
  perDevice: 1,
  numProcesses: 1,
  accumulation: 8,
  groupSize: 2,
  passes: 1,
  stepsPerGeneration: undefined,
  generationBatchSize: undefined,
};

const READING = { version: "0.16", because: "", defaults: {} as TrlReading["defaults"] };

describe("batch arithmetic", () => {
  it("counts completions per device in TRL since 0.15", () => {
    expect(batchOf({ ...ONE, numProcesses: 2 }, "completions")).toEqual({
      promptsPerStep: 8,
      completionsPerStep: 16,
      promptsPerIteration: 8,
      minibatchesPerIteration: 1,
      updatesPerIteration: 1,
      stepsPerIteration: 1,
    });
  });

  it("counts prompts per device in TRL 0.14: Mini-R1 has 24 prompts and 192 completions a step", () => {
    const miniR1 = { ...ONE, numProcesses: 3, groupSize: 8 };
    expect(batchOf(miniR1, "prompts")).toMatchObject({ promptsPerStep: 24, completionsPerStep: 192 });
    expect(batchOf(miniR1, "completions")).toMatchObject({ promptsPerStep: 3, completionsPerStep: 24 });
  });

  it("makes an iteration of a generation batch that several optimizer steps share", () => {
    const batch = batchOf({ ...ONE, stepsPerGeneration: 32, passes: 2 }, "completions");
    expect(batch).toMatchObject({
      promptsPerStep: 4,
      promptsPerIteration: 16,
      minibatchesPerIteration: 4,
      updatesPerIteration: 2,
      stepsPerIteration: 8,
    });
    const bySize = batchOf({ ...ONE, generationBatchSize: 32, passes: 2 }, "completions");
    expect(bySize).toEqual(batch);
  });

  it("makes an iteration of an optimizer step that has several generation batches", () => {
    const batch = batchOf({ ...ONE, stepsPerGeneration: 4 }, "completions");
    expect(batch).toMatchObject({ promptsPerStep: 4, promptsPerIteration: 4, stepsPerIteration: 1 });
  });

  it.each<[string, Partial<BatchNumbers>, RegExp]>([
    ["groups that do not fill a step", { groupSize: 3 }, /num_generations \(3\) does not divide .* = 8/],
    ["a group of one", { groupSize: 1 }, /num_generations is 1; .*at least 2/],
    [
      "a generation batch of half groups",
      { groupSize: 8, stepsPerGeneration: 4 },
      /num_generations \(8\) .*steps_per_generation \(4\) = 4/,
    ],
    [
      "steps of half groups",
      { accumulation: 1, stepsPerGeneration: 4 },
      /num_generations \(2\) .*gradient_accumulation_steps \(1\) = 1/,
    ],
    [
      "a generation batch of one step and a half",
      { stepsPerGeneration: 12 },
      /gradient_accumulation_steps \(8\) does not divide steps_per_generation \(12\)/,
    ],
    [
      "a step of two and a half generation batches",
      { accumulation: 10, stepsPerGeneration: 4 },
      /steps_per_generation \(4\) does not divide gradient_accumulation_steps \(10\)/,
    ],
    [
      "a generation batch of half micro-batches",
      { perDevice: 4, generationBatchSize: 10 },
      /per_device_train_batch_size × num_processes \(4\) does not divide generation_batch_size \(10\)/,
    ],
    ["both ways to say one thing", { stepsPerGeneration: 8, generationBatchSize: 8 }, /say the same thing/],
    ["completions that come back within one step", { stepsPerGeneration: 4, passes: 2 }, /num_iterations \(2\)/],
  ])("refuses %s, by name", (_, numbers, message) => {
    expect(() => batchOf({ ...ONE, ...numbers }, "completions")).toThrow(message);
  });

  it("of which TRL from 0.15 to 0.17 wanted whole groups in the micro-batch of all processes", () => {
    const strict = { batchCounts: "completions", wholeGroups: true } as const;
    const runs = (numbers: Partial<BatchNumbers>) => runsInTrl({ ...ONE, ...numbers }, { ...READING, ...strict });
    expect([runs({}), runs({ perDevice: 2 }), runs({ numProcesses: 2 }), runs({ groupSize: 3 })]).toEqual([
      ...[false, true, true, false],
    ]);
    expect(runsInTrl(ONE, { ...READING, batchCounts: "completions", wholeGroups: false })).toBe(true);
  });

  it("refuses for 0.14 what that had not", () => {
    expect(() => batchOf({ ...ONE, stepsPerGeneration: 8 }, "prompts")).toThrow(/younger than TRL 0\.14/);
  });
});

describe("the number of processes", () => {
  const text = fixtureText("seed-002.yaml");
  const launcher = { path: "accelerate.yaml", text: fixtureText("seed-002-accelerate.yaml") };

  it("is one where nobody says, and that is said", async () => {
    const { batch } = await convert(text);
    expect(batch).toMatchObject({ numbers: { numProcesses: 1 } });
    expect(batch.numProcessesFrom).toMatch(/does not say/);
  });

  it("is of accelerate's file, or of the training file, or of the command line, the last first", async () => {
    const own = `${text}\nnum_processes: 4\n`;
    expect((await convert(own)).batch).toMatchObject({ promptsPerStep: 32, numProcessesFrom: "recipe.yaml" });
    expect((await convert(own, { launcher })).batch).toMatchObject({
      promptsPerStep: 16,
      completionsPerStep: 32,
      numProcessesFrom: "accelerate.yaml",
    });
    expect((await convert(own, { launcher, numProcesses: 3 })).batch).toMatchObject({
      promptsPerStep: 24,
      numProcessesFrom: "--num-processes",
    });
  });

  it("comes with lines for ZeRO's settings", async () => {
    const { launcherKeys } = await convert(text, { launcher });
    expect(launcherKeys.find(({ key }) => key === "deepspeed_config.zero_stage")).toMatchObject({
      value: 3,
      path: null,
      note: expect.stringMatching(/^ZeRO/) as string,
    });
    expect(launcherKeys.find(({ key }) => key === "num_processes")!.path).toBe("stages.grpo.promptsPerIteration");
  });

  it("is refused together with numbers that contradict the training file", async () => {
    const other = { path: "a.yaml", text: "deepspeed_config: {gradient_accumulation_steps: 4}" };
    await expect(convert(text, { launcher: other })).rejects.toThrow(/gradient_accumulation_steps is 4, .* 8/);
    const auto = {
      path: "a.yaml",
      text: "deepspeed_config: {gradient_accumulation_steps: auto, gradient_clipping: 0.5}",
    };
    expect(stageOf(await convert(text, { launcher: auto })).maxGradNorm).toBe(0.5);
    await expect(convert(`${text}\nmax_grad_norm: 1.0\n`, { launcher: auto })).rejects.toThrow(
      /max_grad_norm is 1, deepspeed_config\.gradient_clipping 0\.5/,
    );
  });

  it("does not make a training file of accelerate's", async () => {
    await expect(convert(launcher.text)).rejects.toThrow(/only keys of accelerate.*--accelerate recipe\.yaml/);
  });
});

describe("a batch in the recipe", () => {
  it("is prompts per iteration, groups, minibatches and passes", async () => {
    const conversion = await convertKeys(
      "per_device_train_batch_size: 4\ngradient_accumulation_steps: 2\nnum_generations: 4\nsteps_per_generation: 6\nnum_iterations: 2\nmax_steps: 12",
    );
    expect(stageOf(conversion)).toMatchObject({
      promptsPerIteration: 6,
      groupSize: 4,
      minibatchesPerIteration: 3,
      updatesPerIteration: 2,
      iterations: 2,
    });
    expect(conversion.batch).toMatchObject({ steps: 12, iterations: 2, completionsPerStep: 8, promptsPerStep: 2 });
  });

  it("refuses max_steps that end within an iteration", async () => {
    await expect(convertKeys("num_iterations: 4\nmax_steps: 10")).rejects.toThrow(
      /max_steps \(10\) is not a whole number of iterations: each takes 4/,
    );
  });

  it("says what the other reading of the file comes to", async () => {
    const old = await convert(fixtureText("mini-r1.yaml"), { numProcesses: 3 });
    expect(groupsOf(old).otherReading).toEqual({ version: "1.16", promptsPerStep: 3, completionsPerStep: 24 });
    const young = await convert(fixtureText("mini-r1.yaml"), { numProcesses: 3, version: "1.16" });
    expect(young.batch).toMatchObject({ promptsPerStep: 3, completionsPerStep: 24 });
    expect(groupsOf(young).otherReading).toEqual({ version: "0.14", promptsPerStep: 24, completionsPerStep: 192 });
    const odd = await convertKeys(
      "per_device_train_batch_size: 3\nvllm_device: auto\nnum_generations: 2\ngradient_accumulation_steps: 1",
    );
    expect(groupsOf(odd).otherReading).toBeNull();
  });
});
