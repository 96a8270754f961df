/** Findings of deliberately bad recipes: each is there, and not in the recipe without the fault. */

import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { deviceMemoryNeed } from "../../src/doctor/device-memory.ts";
import { diagnose } from "../../src/doctor/diagnose.ts";
import type { ModelFigures } from "../../src/doctor/diagnosis.ts";
import { evaluationSeconds } from "../../src/doctor/evaluation-time.ts";
import { knownModel } from "../../src/doctor/known-models.ts";
import { usualLearningRates } from "../../src/doctor/learning-rate.ts";
import { bufferFindings, deviceMemoryFindings, dtypeFindings } from "../../src/doctor/machine-findings.ts";
import { estimatePeakBytes, peakBytesFromTrials } from "../../src/doctor/memory-estimate.ts";
import { recipeFindings } from "../../src/doctor/recipe-findings.ts";
import { firstProblems, overlapFindings } from "../../src/doctor/task-findings.ts";
import type { Finding } from "../../src/findings.ts";
import { modelSize } from "../../src/model/memory.ts";
import { checkRecipe, loadRecipe } from "../../src/recipe/load.ts";
import type { Problem, Task } from "../../src/tasks/task.ts";
import type { StageTrial } from "../../src/train/examination.ts";
import type { GrpoConfig } from "../../src/train/grpo/config.ts";
import type { GrpoTrial } from "../../src/train/grpo/trial.ts";
import { grpoTrialFindings } from "../../src/train/grpo/trial-findings.ts";
import { REWARD_MODEL_RECIPE, SMOKE_RECIPE } from "../recipe/smoke.ts";

const signal = new AbortController().signal;

const names = (findings: readonly Finding[]) => findings.map(({ severity, id }) => `${severity} ${id}`);

const MODEL: ModelFigures = {
  ...{ source: "random weights", available: true, parameters: 25_952, trainableParameters: 25_952 },
  ...{ contextTokens: 128, weights: "random", adapter: false },
};

async function staticFindings(...overrides: string[]) {
  return names(recipeFindings(await loadRecipe(SMOKE_RECIPE, overrides), MODEL));
}

const RL = "stages.r1-zero";
const ONE_STEP = [`${RL}.minibatchesPerIteration=1`, `${RL}.updatesPerIteration=1`];

describe("a device that cannot sample in the recipe's dtype", () => {
  it.each<[string, string | undefined, RegExp | undefined]>([
    ["cuda", undefined, /cuda cannot sample in float32.*engine\.dtype: bfloat16/],
    ["cuda", "bfloat16", undefined],
    ["webgpu", "bfloat16", /webgpu does not compute in bfloat16: take float32 or float16 for engine\.dtype/],
    ["webgpu", undefined, undefined],
    ["cpu", "bfloat16", undefined],
    ["auto", undefined, undefined],
  ])("%s, %s", async (device, dtype, expected) => {
    const { engine } = await loadRecipe(SMOKE_RECIPE, [
      `engine.device=${device}`,
      ...(dtype ? [`engine.dtype=${dtype}`] : []),
    ]);
    const found = dtypeFindings({ engine });
    expect(names(found)).toEqual(expected ? ["error engine"] : []);
    if (expected) expect(found[0]!.measured).toMatch(expected);
  });
});

describe("findings of a recipe alone", () => {
  it("has none to speak of for the smoke recipe", async () => {
    expect((await staticFindings()).filter((one) => !one.startsWith("note"))).toEqual([]);
  });

  it.each<[string, string[]]>([
    ["error reward-weights-zero", [`${RL}.rewards=[{name: format, weight: 0}]`]],
    ["note reward-weight-zero", [`${RL}.rewards=[{name: format, weight: 0}, {name: equation}]`]],
    ["warning group-size", [`${RL}.groupSize=1`, `${RL}.advantage=reinforce++`]],
    ["note group-size", [`${RL}.groupSize=2`]],
    ["warning kl-without-effect", [`${RL}.klCoef=1e-7`]],
    ["warning kl-without-effect", [`${RL}.refSyncSteps=1`, `${RL}.refSyncMixup=1`]],
    ["warning kl-without-effect", [`${RL}.klEstimator=k1`]],
    ["warning kl-without-effect", [...ONE_STEP, `${RL}.iterations=1`]],
    ["note kl-starts-at-zero", ONE_STEP],
    ["note loss-zero-by-construction", [...ONE_STEP, `${RL}.klCoef=0`]],
    ["warning clip-without-effect", [...ONE_STEP, `${RL}.clipEpsilonHigh=0.28`]],
    ["note clip-without-effect", ONE_STEP],
    ["note sampled-ahead", [`${RL}.maxStaleness=1`]],
    ["warning learning-rate", [`${RL}.learningRate=0.01`]],
    ["error learning-rate", [`${RL}.learningRate=1`]],
    ["warning learning-rate", [`${RL}.learningRate=1e-9`]],
    ["warning temperature", [`${RL}.temperature=0.1`]],
    ["warning entropy-coefficient", [`${RL}.entropyCoef=-0.1`]],
    ["note no-evaluation", [`${RL}.evaluateEvery=0`, `${RL}.iterations=200`]],
    ["warning evaluation-shorter", ["evaluation.maxCompletionTokens=32"]],
    ["error reward-tasks", [`${RL}.rewards=[{name: format}, {name: equation, tasks: [math]}]`]],
    ["warning task-without-reward", [`${RL}.rewards=[{name: format, weight: 0}, {name: equation, tasks: [math]}]`]],
    ["error context", [`${RL}.maxCompletionTokens=128`]],
  ])("%s: %j", async (expected, overrides) => {
    expect(await staticFindings()).not.toContain(expected);
    expect(await staticFindings(...overrides)).toContain(expected);
  });
});

describe("findings of a stage that samples ahead", () => {
  it("say nothing of a ratio of 1, nor of a loss of 0, unless the sampler is corrected", async () => {
    const ahead = [...ONE_STEP, `${RL}.maxStaleness=1`, `${RL}.klCoef=0`];
    const found = await staticFindings(...ahead);
    expect(found).not.toContain("note clip-without-effect");
    expect(found).not.toContain("note loss-zero-by-construction");
    const corrected = await staticFindings(...ahead, `${RL}.samplerCorrection=token_truncate`);
    expect(corrected).toContain("note clip-without-effect");
    expect(corrected).not.toContain("note loss-zero-by-construction");
  });
});

describe("a diagnosis without sampling", () => {
  it.each([
    ["error prompt-too-long", `${RL}.maxCompletionTokens=120`],
    ["error model", "model={path: ./no/such/model/here}"],
  ])("%s: %s", async (expected, override) => {
    const { findings } = await diagnose(await loadRecipe(SMOKE_RECIPE, [override]), { samples: 0, signal });
    expect(names(findings)).toContain(expected);
  });
});

describe("a model beside the trained one", () => {
  const grpo = "stages.r1-zero.rewards=[{name: format}, {name: reward_model, options: {path: ./no/reward/model}}]";
  it("is an error where it is not there", async () => {
    const { findings } = await diagnose(await loadRecipe(SMOKE_RECIPE, [grpo]), { samples: 0, signal });
    expect(names(findings)).toContain("error reward-model");
    const teacher =
      "stages.r1-zero={name: d, trainer: distill, teacher: {path: ./no/teacher}, iterations: 1, promptsPerIteration: 1, maxCompletionTokens: 8, learningRate: 1e-4}";
    const distilled = await loadRecipe(SMOKE_RECIPE, [teacher]);
    expect(names((await diagnose(distilled, { samples: 0, signal })).findings)).toContain("error teacher");
  });

  it("is an error where it is on a server that cannot be asked, and takes no memory here", async () => {
    const engine = "{kind: tinker, url: http://127.0.0.1:1, baseModel: big, patienceSeconds: 0.1}";
    const keys = "iterations: 1, promptsPerIteration: 1, maxCompletionTokens: 8, learningRate: 1e-4";
    const stage = `stages.r1-zero={name: d, trainer: distill, teacher: {path: ./no/teacher, engine: ${engine}}, ${keys}}`;
    const recipe = await loadRecipe(SMOKE_RECIPE, [stage]);
    const { findings } = await diagnose(recipe, { samples: 0, signal });
    expect(findings.find(({ id }) => id === "teacher")).toMatchObject({
      severity: "error",
      measured: expect.stringMatching(/server at http:\/\/127\.0\.0\.1:1 could not be asked/),
    });
  });

  it("takes memory", async () => {
    const recipe = await loadRecipe(SMOKE_RECIPE);
    const config = knownModel("Qwen/Qwen2.5-0.5B")!;
    const alone = estimatePeakBytes(config, recipe, 100);
    expect(estimatePeakBytes(config, recipe, 100, [config]) - alone).toBe(modelSize(config).memory.weightsBytes);
  });
});

describe("memory that trials measured", () => {
  it("is that of the process, and the cache of the sequences that the trials did not sample", async () => {
    const recipe = await loadRecipe(SMOKE_RECIPE, ["evaluation.problems=20", "evaluation.maxCompletionTokens=50"]);
    const config = knownModel("Qwen/Qwen2.5-0.5B")!;
    const peak = (longest?: { sequences: number; length: number }) => {
      const trials = [{ trainingTokensPerSecond: 1, ...(longest && { longest }) }];
      return peakBytesFromTrials(config, recipe, 30, { trials, processBytes: 1000 });
    };
    // 20 evaluated sequences of 80 positions are more than the stage's 8 of 30 + 64.
    const row = 2 * config.numLayers * config.numKvHeads * config.headDim * 4;
    expect(peak()).toBe(1000 + 20 * 80 * row);
    expect(peak({ sequences: 4, length: 80 })).toBe(1000 + 16 * 80 * row);
    expect(peak({ sequences: 30, length: 80 })).toBe(1000);
    const ahead = await loadRecipe(SMOKE_RECIPE, [`${RL}.maxStaleness=1`]);
    const withSnapshot = peakBytesFromTrials(config, ahead, 30, { trials: [], processBytes: 1000 });
    const without = peakBytesFromTrials(config, await loadRecipe(SMOKE_RECIPE), 30, { trials: [], processBytes: 1000 });
    expect(withSnapshot - without).toBe(4 * modelSize(config).parameterCount);
  });
});

describe("stages in epochs", () => {
  it("have steps where the data are here, and a warm-up that must fit", async () => {
    const recipe = await loadRecipe(REWARD_MODEL_RECIPE, ["warmupSteps=20"]);
    const { stages, findings } = await diagnose(recipe, { samples: 0, signal });
    expect(stages[0]).toMatchObject({ optimizerSteps: 16, epochs: 2 });
    expect(names(findings)).toContain("error warmup");
  });
});

describe("evaluations", () => {
  it("count every pass: samples and the greedy one around stages, samples between", async () => {
    const overrides = ["evaluation.samples=3", "evaluation.problems=10", "stages.r1-zero.evaluateEvery=1"];
    const recipe = await loadRecipe(SMOKE_RECIPE, overrides);
    const sampling = { meanCompletionTokens: 2, tokensPerSecond: 4 };
    const trials = new Map([["r1-zero", { trainingTokensPerSecond: 1, sampling }]]);
    expect(evaluationSeconds(recipe, trials)).toBe((10 * (3 * 4 + 3 * 3) * 2) / 4);
    // After the cold start completions are as long as its demonstrations.
    const taught = new Map<string, StageTrial>([
      ["cold-start", { trainingTokensPerSecond: 1, taughtTokens: 6 }],
      ...trials,
    ]);
    expect(evaluationSeconds(recipe, taught)).toBe((10 * (4 * 2 + (4 + 4 + 3 * 3) * 6)) / 4);
  });
});

describe("a model that is not on this machine", () => {
  it("gets every static check, memory from its known shape, and a list of what was not checked", async () => {
    const base = await loadRecipe(SMOKE_RECIPE);
    const recipe = checkRecipe(
      { ...base, model: { path: "Qwen/Qwen2.5-3B" } },
      join(import.meta.dirname, "recipe.yaml"),
    );
    process.env.HF_HUB_OFFLINE = "1";
    const { model, findings, unchecked, estimatedPeakBytes } = await diagnose(recipe, { samples: 32, signal });
    expect(model).toMatchObject({ available: false, parameters: 3_085_938_688, contextTokens: 32_768 });
    expect(findings.map(({ id }) => id)).toContain("learning-rate");
    expect(unchecked.join(" ")).toContain("Qwen/Qwen2.5-3B is not on this machine");
    expect(estimatedPeakBytes).toBeGreaterThan(16 * 3_085_938_688);
  });

  it.each([
    ["Qwen/Qwen2.5-0.5B-Instruct", 494_032_768],
    ["Qwen/Qwen2.5-1.5B", 1_543_714_304],
    ["Qwen/Qwen2.5-7B", 7_615_616_512],
    ["Qwen/Qwen3-0.6B@main", 596_049_920],
    ["meta-llama/Llama-3.2-1B", 1_235_814_400],
    ["HuggingFaceTB/SmolLM2-135M", 134_515_008],
  ])("%s has its published size", (name, parameters) => {
    expect(modelSize(knownModel(name)!).parameterCount).toBe(parameters);
  });

  it("is not guessed where its name is not known", () => {
    expect(knownModel("someone/else")).toBeUndefined();
  });
});

describe("usual learning rates", () => {
  it("are TRL's for pretrained models, ten times as high for adapters, higher for small models", () => {
    const large = { method: "reinforcement", parameters: 3e9, random: false, adapter: false } as const;
    expect(usualLearningRates(large)).toEqual([1e-7, 1e-5]);
    expect(usualLearningRates({ ...large, adapter: true })[1]).toBeCloseTo(1e-4, 10);
    expect(usualLearningRates({ ...large, parameters: 5e6 })[1]).toBeCloseTo(1e-4, 10);
    const [low, high] = usualLearningRates({ ...large, method: "supervised", parameters: 2.5e5, random: true });
    expect(low).toBeLessThan(1e-3);
    expect(high).toBeGreaterThan(4e-3);
  });
});

describe("the memory estimate", () => {
  it("falls with an adapter, packed weights and gradient checkpointing, and grows with a reference and a snapshot", async () => {
    const recipe = await loadRecipe(SMOKE_RECIPE, [`${RL}.klCoef=0`]);
    const config = knownModel("Qwen/Qwen2.5-0.5B")!;
    const bytes = (model: object, engine = {}, more = recipe) =>
      estimatePeakBytes(
        config,
        { ...more, model: { ...more.model, ...model }, engine: { ...more.engine, ...engine } },
        64,
      );
    const lora = { lora: { rank: 16, alpha: 32, dropout: 0, rsLora: false, targets: "all-linear" as const } };
    const whole = bytes({});
    expect(bytes(lora)).toBeLessThan(whole);
    expect(bytes({ ...lora, quantization: "nf4" })).toBeLessThan(bytes(lora));
    expect(bytes({}, { gradientCheckpointing: true })).toBeLessThan(whole);
    // On the CPU, which emulates them, 16 bits take more: rounded projections come on top.
    const half = { dtype: "bfloat16" };
    expect(bytes({}, half)).toBeGreaterThan(whole);
    expect(bytes(lora, half)).toBeLessThan(bytes(lora));
    const copy = 4 * modelSize(config).parameterCount;
    expect(bytes({}, {}, await loadRecipe(SMOKE_RECIPE)) - whole).toBe(copy);
    const ahead = await loadRecipe(SMOKE_RECIPE, [`${RL}.klCoef=0`, `${RL}.maxStaleness=1`]);
    expect(bytes({}, {}, ahead) - whole).toBe(copy);
    expect(bytes(lora, {}, ahead)).toBe(bytes(lora));
  });
});

describe("the memory of a GPU", () => {
  const config = knownModel("Qwen/Qwen2.5-3B")!;
  const GROUPS = ["promptsPerIteration=24", "groupSize=8", "maxCompletionTokens=1024"].map((key) => `${RL}.${key}`);
  const need = async (...more: string[]) => {
    const engine = ["cacheMib=18000", "microBatchTokens=8192", "gradientCheckpointing=true", "device=cuda", ...more];
    const overrides = [...GROUPS, ...engine.map((key) => `engine.${key}`)];
    return deviceMemoryNeed(config, await loadRecipe(SMOKE_RECIPE, overrides), 256)!;
  };

  it("is that of the plan in docs/gpu.md, part by part", async () => {
    const { parts, bytes, largestBufferBytes, largestBuffer } = await need();
    const of = Object.fromEntries(parts.map((part) => [part.what, part.bytes / 1e9]));
    const parameters = (3_085_938_688 * 4) / 1e9;
    for (const what of ["weights", "gradients", "gradients of further micro-batches", "reference policy"]) {
      expect(of[what], what).toBeCloseTo(parameters, 6);
    }
    expect(of["moments of AdamW"]).toBeCloseTo(2 * parameters, 6);
    expect(of["key-value cache"]).toBeCloseTo((192 * 1280 * 2 * 36 * 2 * 128 * 4) / 1e9, 6);
    expect([largestBufferBytes, largestBuffer]).toEqual([151_936 * 2048 * 4, "the largest weight"]);
    const finding = bufferFindings({ largestBuffer, largestBufferBytes }, "webgpu");
    expect(names(finding)).toEqual(["note device-buffer"]);
    expect(finding[0]!.measured).toContain("(the largest weight) takes 1.2 GiB");
    expect(bufferFindings({ largestBuffer, largestBufferBytes }, "cuda")).toEqual([]);
    expect(bufferFindings({ largestBuffer, largestBufferBytes: 2 ** 28 }, "webgpu")).toEqual([]);
    expect(bytes / 1e9).toBeGreaterThan(100);
    expect(bytes / 1e9).toBeLessThan(125);
  });

  it("is less in 16 bits, and much less with an adapter; the host keeps a few tensors", async () => {
    const [whole, half] = [await need(), await need("dtype=bfloat16")];
    const cache = ({ parts }: typeof whole) => parts.find(({ what }) => what === "key-value cache")!.bytes;
    expect(cache(half)).toBe(cache(whole) / 2);
    const recipe = await loadRecipe(SMOKE_RECIPE, [...GROUPS, "engine.device=webgpu"]);
    const lora = { rank: 16, alpha: 32, dropout: 0, rsLora: false, targets: "all-linear" as const };
    const adapted = { ...recipe, model: { ...recipe.model, lora } };
    expect(deviceMemoryNeed(config, adapted, 256)!.bytes).toBeLessThan(whole.bytes / 2);
    expect(estimatePeakBytes(config, recipe, 256)).toBeLessThan(4 * 2 ** 30);
    expect(estimatePeakBytes(config, await loadRecipe(SMOKE_RECIPE, GROUPS), 256)).toBeGreaterThan(40 * 2 ** 30);
  });

  it("is compared with what a driver says, and is only told where none does", async () => {
    const { bytes, ...rest } = await need();
    const found = (memory: number, freeBytes?: number) =>
      names(
        deviceMemoryFindings({ bytes, ...rest }, [{ name: "a GPU", bytes: memory, ...(freeBytes && { freeBytes }) }]),
      );
    expect(found(141e9 * 1.1)).toEqual([]);
    expect(found(bytes * 1.05)).toEqual(["warning device-memory"]);
    expect(found(141e9 * 1.1, bytes / 2)).toEqual(["warning device-memory"]);
    expect(found(80e9)).toEqual(["error device-memory"]);
    expect(deviceMemoryFindings({ bytes, ...rest }, [])).toEqual([]);
    // The one that comes first is computed on, whatever the others have.
    const two = [80e9, 141e9 * 1.1].map((memory, i) => ({ name: `GPU ${i}`, bytes: memory }));
    expect(names(deviceMemoryFindings({ bytes, ...rest }, two))).toEqual(["error device-memory"]);
  });

  it("is a part of the diagnosis where the recipe names a GPU", async () => {
    const { deviceMemory } = await diagnose(await loadRecipe(SMOKE_RECIPE, ["engine.device=webgpu"]), {
      samples: 0,
      signal,
    });
    expect(deviceMemory).toMatchObject({ device: "webgpu" });
    expect((await diagnose(await loadRecipe(SMOKE_RECIPE), { samples: 0, signal })).deviceMemory).toBeNull();
  });
});

describe("held-out problems", () => {
  const problem = (id: number): Problem => ({ id, prompt: `problem ${id}`, columns: {} });
  const task = (first: number): Task => ({
    ...{ name: "numbers", trainCount: 10, trainProblem: (i) => problem(first + (i % 10)) },
    ...{ heldOut: (count) => Array.from({ length: count }, (_, i) => problem(i)), judge: () => expect.fail() },
  });

  it("that training sees too are an error", () => {
    expect(overlapFindings(firstProblems(task(3)), task(3).heldOut(5))).toMatchObject([
      { severity: "error", id: "evaluation-overlap" },
    ]);
    expect(overlapFindings(firstProblems(task(5)), task(5).heldOut(5))).toEqual([]);
  });
});

describe("findings of a trial", () => {
  const grpoStage = async (...overrides: string[]): Promise<GrpoConfig> => {
    const stage = (await loadRecipe(SMOKE_RECIPE, overrides)).stages[1]!;
    expect(stage.trainer).toBe("grpo");
    return stage as typeof stage & GrpoConfig;
  };
  const good: GrpoTrial = {
    ...{ completions: 64, groups: 8, meanPromptTokens: 9 },
    ...{ truncatedShare: 0.1, zeroVarianceShare: 0.2, abstainedShare: 0, solveRate: 0.3, formatRate: 0.5 },
    rewards: new Map([["format", { mean: 0.5, varies: true }]]),
    ...{ samplerDifference: 1e-6, trainingTokensPerSecond: 100 },
    sampling: { meanCompletionTokens: 30, tokensPerSecond: 100 },
  };

  it.each<[string, Partial<GrpoTrial>]>([
    ["warning truncation", { truncatedShare: 0.6 }],
    ["error zero-variance", { zeroVarianceShare: 1 }],
    ["warning zero-variance", { zeroVarianceShare: 0.9 }],
    ["warning reward-never-fires", { rewards: new Map([["format", { mean: 0, varies: false }]]) }],
    ["warning reward-abstains", { rewards: new Map([["format", null]]) }],
    ["error rewards-abstain", { abstainedShare: 1 }],
    ["warning sampler-difference", { samplerDifference: 0.1 }],
  ])("%s", async (expected, fault) => {
    const stage = await grpoStage();
    const told = (trial: GrpoTrial, before?: string) =>
      grpoTrialFindings(stage, trial, before).map(({ severity, id }) => `${severity} ${id}`);
    expect(told(good)).toEqual([]);
    expect(told({ ...good, ...fault })).toEqual([expected]);
    // Another stage trains the policy first.
    expect(told({ ...good, ...fault }, "cold-start")).toEqual([expected.replace(/^\w+/, "note")]);
  });

  it("make truncation an error where what is cut is masked", async () => {
    const stage = await grpoStage(`${RL}.maskTruncatedCompletions=true`);
    expect(grpoTrialFindings(stage, { ...good, truncatedShare: 1 }, undefined)).toMatchObject([
      { severity: "error", id: "truncation" },
    ]);
  });
});
