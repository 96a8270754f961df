import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { convert, convertKeys, fixtureText, lineOf, stageOf, taskOf } from "./conversions.ts";

let root: string;
let file: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-trl-"));
  file = join(root, "problems.jsonl");
  const rows = Array.from({ length: 100 }, (_, i) => JSON.stringify({ nums: [i + 1, 2, 3], target: i + 6 }));
  writeFileSync(file, `${rows.join("\n")}\n`);
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

/** The knobs of GRPO that TRL 0.14 did not have, off. */
const OFF = {
  advantage: "group",
  rewardAggregation: "sum_then_normalize",
  normalizeAdvantages: false,
  maxSamplingRounds: 1,
  maxStaleness: 0,
  importanceSamplingLevel: "token",
  sapoTemperaturePos: 1,
  sapoTemperatureNeg: 1.05,
  vespoKPos: 2,
  vespoLambdaPos: 3,
  vespoKNeg: 3,
  vespoLambdaNeg: 2,
  topEntropyQuantile: 1,
  entropyCoef: 0,
  neftuneNoiseAlpha: 0,
  samplerCorrection: "none",
  samplerCorrectionMax: 3,
  klEstimator: "k3",
  klPlacement: "loss",
  refSyncSteps: 0,
  refSyncMixup: 0.6,
};

describe("the seeds' recipes", () => {
  it("seed 000 becomes what it says, with TRL 0.14's defaults where it says nothing", async () => {
    const conversion = await convert(fixtureText("seed-000.yaml"));
    expect(conversion.version).toBe("0.14");
    expect(stageOf(conversion)).toEqual({
      name: "grpo",
      trainer: "grpo",
      iterations: 450,
      promptsPerIteration: 8,
      groupSize: 2,
      updatesPerIteration: 1,
      minibatchesPerIteration: 1,
      rewards: [
        { name: "format", weight: 1, options: {} },
        { name: "equation", weight: 1, options: {} },
      ],
      temperature: 0.9,
      topP: 1,
      topK: 50,
      maxCompletionTokens: 1024,
      maskTruncatedCompletions: false,
      lossType: "grpo",
      scaleRewards: "group",
      clipEpsilon: 0.2,
      klCoef: 0.001,
      klBiasCorrection: false,
      ...OFF,
      learningRate: 5e-7,
      schedule: "cosine",
      warmupSteps: 14,
      warmupRatio: 0,
      minLearningRateRatio: 0,
      beta1: 0.9,
      beta2: 0.999,
      adamEpsilon: 1e-8,
      weightDecay: 0,
      maxGradNorm: 1,
      maxSkippedSteps: 3,
      checkpointEvery: 100,
      evaluateEvery: 0,
    });
    expect(conversion.recipe).toMatchObject({
      seed: 2025,
      task: { name: "countdown", prompt: "chinese", heldOutShare: 0.1 },
      evaluation: { maxCompletionTokens: 1024 },
      keepCheckpoints: 5,
    });
  });

  it.each([
    ["seed-000.yaml", "chinese", 2, 8],
    ["seed-002.yaml", "chinese", 2, 8],
    ["mini-r1.yaml", "english", 8, 8],
  ] as const)("%s asks in %s, %d answers to each of %d prompts a step", async (name, prompt, groupSize, prompts) => {
    const conversion = await convert(fixtureText(name));
    expect(taskOf(conversion, "countdown").prompt).toBe(prompt);
    expect(stageOf(conversion)).toMatchObject({ groupSize, promptsPerIteration: prompts, iterations: 450 });
  });

  it.each(["seed-000.yaml", "seed-002.yaml", "mini-r1.yaml"])(
    "%s: every key has one line, in the file's order",
    async (name) => {
      const { keys } = await convert(fixtureText(name));
      const written = fixtureText(name).match(/^[a-z]\w*(?=:)/gm);
      expect(keys.map(({ key }) => key)).toEqual(written);
      expect(keys.filter(({ path, note }) => path === null && note === "")).toEqual([]);
    },
  );

  it("say why vLLM's device, ZeRO's friends and precision have no meaning", async () => {
    const conversion = await convert(fixtureText("mini-r1.yaml"));
    for (const key of ["vllm_device", "use_vllm", "gradient_checkpointing_kwargs", "bf16", "push_to_hub"]) {
      expect(lineOf(conversion, key)).toMatchObject({ path: null });
      expect(lineOf(conversion, key)!.note.length).toBeGreaterThan(10);
    }
  });

  it("report where they say: to TensorBoard, to SwanLab under its names", async () => {
    const mini = await convert(fixtureText("mini-r1.yaml"));
    expect(mini.recipe.track).toEqual([{ name: "tensorboard", completions: 8 }]);
    expect(lineOf(mini, "report_to")).toMatchObject({ path: "track", recipeValue: ["tensorboard"] });
    const seed = await convert(fixtureText("seed-002.yaml"));
    const names = { project: "Try_r1", experimentName: "qingyun-4090-jupyter" };
    expect(seed.recipe.track).toEqual([{ name: "swanlab", ...names, completions: 8 }]);
    expect(lineOf(seed, "swanlab")).toMatchObject({ path: "track" });
    expect(lineOf(seed, "project")).toMatchObject({ path: "track.swanlab.project", recipeValue: "Try_r1" });
    expect(lineOf(seed, "experiment_name")).toMatchObject({ path: "track.swanlab.experimentName" });
    expect(lineOf(seed, "workspace")).toMatchObject({ path: null, note: expect.stringContaining("the user's own") });
  });

  it("report to what there is here, and say what is not", async () => {
    const text = fixtureText("mini-r1.yaml").replace("report_to:\n- tensorboard\n", "");
    const here = { output: (directory: string) => !directory.startsWith("/no/") };
    const tracked = async (lines: string) => (await convert(`${text}\n${lines}\n`, {}, here)).recipe.track;
    expect(await tracked("")).toBeUndefined();
    expect(await tracked("report_to: none")).toBeUndefined();
    expect(await tracked("swanlab: false")).toBeUndefined();
    expect(await tracked("report_to: [wandb, tensorboard]\nlogging_dir: logs")).toEqual([
      { name: "tensorboard", logdir: "logs", completions: 8 },
    ]);
    expect(await tracked("report_to: trackio\nproject: toys")).toEqual([
      { name: "trackio", project: "toys", completions: 8 },
    ]);
    const away = await convert(`${text}\nreport_to: tensorboard\nlogging_dir: /no/such/place/logs\n`);
    expect(away.recipe.track).toEqual([{ name: "tensorboard", completions: 8 }]);
    expect(lineOf(away, "logging_dir")).toMatchObject({
      path: null,
      note: expect.stringContaining("not on this machine"),
    });
    const others = await convert(`${text}\nreport_to: [comet_ml, mlflow]\nproject: toys\nwandb_project: w\n`);
    expect(others.recipe.track).toBeUndefined();
    expect(lineOf(others, "report_to")!.note).toMatch(/does not report to comet_ml; mlflow needs a server/);
    expect(lineOf(others, "project")!.note).toMatch(/of trackio and swanlab, which the recipe does not report to/);
    expect(lineOf(others, "wandb_project")!.note).toMatch(/wandb sync/);
  });

  it("have no top-k where vLLM sampled, and transformers' 50 where generate() did", async () => {
    expect(stageOf(await convert(fixtureText("mini-r1.yaml"))).topK).toBe(0);
    expect(stageOf(await convert(fixtureText("seed-002.yaml"))).topK).toBe(50);
  });

  it("seed 001's notebook trains an adapter on four bits", async () => {
    const text = fixtureText("notebook.yaml");
    const conversion = await convert(text);
    expect(conversion).toMatchObject({ version: "0.14", versionBecause: "only so does its batch work out" });
    expect(conversion.recipe.model).toMatchObject({
      lora: { rank: 16, alpha: 32, dropout: 0.05, targets: ["q_proj", "v_proj"] },
      quantization: "nf4",
    });
    expect(conversion.batch).toMatchObject({ promptsPerStep: 1, completionsPerStep: 2 });
    await expect(convert(text, { version: "1.16" })).rejects.toThrow(
      /num_generations \(2\) does not divide .* with --trl-version 0\.14 it would be 1 prompts and 2 completions/,
    );
  });

  it("name what is not on this machine", async () => {
    const conversion = await convert(fixtureText("seed-002.yaml"));
    expect(conversion.missing).toEqual([
      expect.stringMatching(/Qwen2___5-3B-Instruct is not on this machine; --model/),
    ]);
    expect(conversion.choices.find(({ what }) => what === "data")!.chosen).toMatch(
      /countdown-tasks-3to4 is not on this/,
    );
    expect(conversion.outputDirectory).toBeUndefined();
    const model = join(root, "model");
    expect((await convert(fixtureText("seed-002.yaml"), { model })).missing).toEqual([]);
  });
});

describe("values", () => {
  it("may be text that reads as a number or a truth value, as argparse takes them", async () => {
    const conversion = await convertKeys(
      'learning_rate: "2e-6"\nmask_truncated_completions: yes\nscale_rewards: false',
    );
    expect(stageOf(conversion)).toMatchObject({
      learningRate: 2e-6,
      maskTruncatedCompletions: true,
      scaleRewards: "none",
    });
  });

  it.each([
    ["max_steps: ten", /max_steps: expected a whole number, got "ten"/],
    ["num_generations: 2.5", /num_generations: expected a whole number of at least 1, got 2\.5/],
    ["learning_rate: 0", /learning_rate: expected a number of more than 0, got 0/],
    ["warmup_ratio: 3", /warmup_ratio: expected a number from 0 to 1, got 3/],
    ["mask_truncated_completions: maybe", /mask_truncated_completions: expected true or false/],
    ["scale_rewards: mean", /scale_rewards: expected true, false, group, batch or none/],
    ["reward_weights: [1, x]", /reward_weights: expected a list of numbers/],
    ["reward_weights: [1, 2, 3]", /reward_weights has 3 numbers for 2 rewards \(format, equation\)/],
    ["epsilon: 2", /epsilon: expected a number between 0 and 1, got 2/],
    ["top_p: 0", /top_p: expected a number above 0 of at most 1, got 0/],
    ["adam_beta2: 1", /adam_beta2: expected a number of at least 0 and below 1, got 1/],
    ["seed: 4294967296", /seed: expected a whole number from 0 to 4294967295/],
    ["warmup_steps: 20", /warmup_steps: expected a whole number of at most the run's 12/],
  ])("that cannot be are refused by name: %s", async (keys, message) => {
    await expect(convertKeys(keys)).rejects.toThrow(message);
  });

  it("of a file that is empty or a list are refused", async () => {
    await expect(convert("")).rejects.toThrow(/expected a mapping/);
    await expect(convert("- max_steps: 3")).rejects.toThrow(/expected a mapping/);
  });
});

describe("schedules", () => {
  it.each([
    ["lr_scheduler_type: constant\nwarmup_ratio: 0.5", { schedule: "constant", warmupSteps: 0 }],
    ["lr_scheduler_type: constant_with_warmup\nwarmup_ratio: 0.5", { schedule: "constant", warmupSteps: 6 }],
    ["lr_scheduler_type: linear\nwarmup_steps: 3\nwarmup_ratio: 0.5", { schedule: "linear", warmupSteps: 3 }],
    ["warmup_steps: 0.1", { schedule: "linear", warmupSteps: 2 }],
    [
      "lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr_rate: 0.1}",
      { schedule: "cosine", minLearningRateRatio: 0.1 },
    ],
    [
      "learning_rate: 1e-5\nlr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr: 5e-6}",
      { schedule: "cosine", minLearningRateRatio: 0.5 },
    ],
  ])("%s", async (keys, expected) => {
    expect(stageOf(await convertKeys(keys))).toMatchObject(expected);
  });

  it("refuse arguments that they do not have", async () => {
    await expect(convertKeys("lr_scheduler_type: cosine\nlr_scheduler_kwargs: {num_cycles: 2}")).rejects.toThrow(
      /lr_scheduler_kwargs: .* cosine takes none here/,
    );
    await expect(convertKeys("lr_scheduler_type: cosine_with_min_lr")).rejects.toThrow(/min_lr_rate, from 0 to 1/);
  });
});

describe("checkpoints and evaluations", () => {
  it("come after steps, rounded up to iterations, shares of the run, epochs, or never", async () => {
    const steps = await convertKeys("num_iterations: 2\nsave_steps: 3\neval_strategy: steps\neval_steps: 0.5");
    expect(stageOf(steps)).toMatchObject({ iterations: 6, checkpointEvery: 2, evaluateEvery: 3 });
    expect(steps.recipe.keepCheckpoints).toBe(3);
    const never = await convertKeys("save_strategy: no\nsave_total_limit: 4");
    expect(stageOf(never).checkpointEvery).toBe(0);
    expect(never.recipe.keepCheckpoints).toBe(4);
    const epochs = await convertKeys("save_strategy: epoch\nevaluation_strategy: epoch\nnum_generations: 4", {
      data: file,
    });
    expect(stageOf(epochs).checkpointEvery).toBe(stageOf(epochs).evaluateEvery);
    await expect(convertKeys("save_strategy: epoch")).rejects.toThrow(/epoch needs data that end/);
  });
});

describe("the length", () => {
  it("is epochs over the file where there is no max_steps", async () => {
    const conversion = await convert("model_name_or_path: m\nnum_generations: 2\nnum_train_epochs: 2\n", {
      data: file,
    });
    // Of 100 rows a tenth is held out; generation batches of 4 are whole: 22 in an epoch.
    expect(stageOf(conversion).iterations).toBe(44);
    expect(conversion.recipe.evaluation.problems).toBe(10);
    expect(taskOf(conversion, "countdown").data).toMatchObject({ path: file, shuffle: true, seed: 42, testShare: 0.1 });
    expect(taskOf(conversion, "countdown").data!.select).toBeUndefined();
    expect(lineOf(conversion, "num_train_epochs")!.note).toBe("90 problems to train on, 4 an iteration");
  });

  it("needs max_steps where problems are generated", async () => {
    await expect(convert("model_name_or_path: m\nbeta: 0\n", { trainer: "grpo" })).rejects.toThrow(/Give max_steps/);
    await expect(convert("model_name_or_path: m\nnum_generations: 8\nmax_steps: -1\n")).rejects.toThrow(
      /Give max_steps/,
    );
  });
});

describe("overrides", () => {
  it("replace TRL's keys in the file, and recipe's keys in what it becomes", async () => {
    const conversion = await convertKeys("beta: 0.5", {
      overrides: ["beta=0.1", "evaluation.problems=3", "engine.threads=1"],
    });
    expect(stageOf(conversion).klCoef).toBe(0.1);
    expect(conversion.recipe).toMatchObject({ evaluation: { problems: 3 }, engine: { threads: 1 } });
    expect(conversion.choices.filter(({ what }) => what === "--set")).toHaveLength(2);
  });

  it("are refused where they are neither, or say what a key of the file says", async () => {
    await expect(convertKeys("beta: 0", { overrides: ["max_step=3"] })).rejects.toThrow(/Did you mean "max_steps"/);
    await expect(convertKeys("beta: 0", { overrides: ["stages.grpo.klCoef=1"] })).rejects.toThrow(
      /stages\.grpo\.klCoef comes from the file's beta; set that instead/,
    );
    await expect(convertKeys("beta: 0", { overrides: ["stages.grpo.klCof=1"] })).rejects.toThrow(
      /did you mean "klCoef"/,
    );
  });
});

describe("what a file names", () => {
  it("is taken where it is on this machine", async () => {
    const places = {
      model: async () => join(root, "here"),
      data: async () => ({ path: file, directory: file }),
      output: () => true,
    };
    const conversion = await convert(fixtureText("mini-r1.yaml"), {}, places);
    expect(conversion.recipe).toMatchObject({ model: { path: join(root, "here") }, task: { data: { path: file } } });
    expect([conversion.missing, conversion.outputDirectory]).toEqual([[], "runs/qwen-2.5-3b-r1-countdown"]);
    expect(lineOf(conversion, "dataset_id_or_path")).toMatchObject({ path: "task.data.path", recipeValue: file });
  });

  it("has 50,000 of its rows taken, with the file's split and configuration", async () => {
    const folder = join(root, "hub");
    mkdirSync(folder);
    const row = (i: number) => `{"nums": [${i}, 2], "target": ${i + 2}}\n`;
    writeFileSync(join(folder, "games.jsonl"), Array.from({ length: 50_010 }, (_, i) => row(i)).join(""));
    writeFileSync(
      join(folder, "README.md"),
      "---\nconfigs:\n- config_name: three\n  data_files:\n  - split: games\n    path: games.jsonl\n---\n",
    );
    const data = async () => ({ path: "any/countdown", directory: folder });
    const keys = "model_name_or_path: m\nnum_train_epochs: 1\nvllm_device: auto\ndataset_name: any/countdown";
    const parts = "dataset_train_split: games\ndataset_config: three";
    const conversion = await convert(`${keys}\n${parts}`, {}, { data });
    expect(taskOf(conversion, "countdown").data).toMatchObject({
      ...{ path: "any/countdown", config: "three", split: "games" },
      ...{ shuffle: true, select: 50_000, seed: 42, testShare: 0.1 },
    });
    expect(lineOf(conversion, "num_train_epochs")!.note).toBe("45000 problems to train on, 8 an iteration");
    expect(conversion.choices.find(({ what }) => what === "data")!.chosen).toMatch(
      /^50000 of 50010 rows, shuffled, a tenth/,
    );
  });

  it("is refused where a row is no problem, by file and row", async () => {
    const bad = join(root, "bad.jsonl");
    writeFileSync(bad, '{"nums": [1, 2], "target": 3}\n{"numbers": [1, 2], "target": 3}\n');
    await expect(convertKeys("beta: 0", { data: bad })).rejects.toThrow(
      /bad\.jsonl:2: expected a Countdown problem .*numbers, target/,
    );
  });

  it("is the name of the run", async () => {
    expect((await convertKeys("run_name: Qwen2.5 on Countdown!")).recipe.name).toBe("Qwen2-5-on-Countdown-");
    expect((await convertKeys("run_name: 2025")).recipe.name).toBe("trl-2025");
    expect((await convertKeys("beta: 0")).recipe.name).toBe("recipe");
  });

  it("and its prompt can be chosen", async () => {
    const text = fixtureText("seed-002.yaml");
    expect(taskOf(await convert(text, { prompt: "english" }), "countdown").prompt).toBe("english");
    await expect(convert(text, { prompt: "chines" })).rejects.toThrow(/Did you mean chinese/);
  });
});

describe("on a Tinker server", () => {
  const accelerate = { path: "accelerate.yaml", text: fixtureText("seed-000-accelerate.yaml") };

  it("unlock-deepseek's files become an adapter there, and accelerate's keys those of SkyRL", async () => {
    const engine = { kind: "tinker" };
    const conversion = await convert(fixtureText("seed-000.yaml"), { engine, launcher: accelerate });
    const { recipe, launcherKeys, server, choices } = conversion;
    expect(recipe.engine).toMatchObject({
      ...{ kind: "tinker", url: "http://127.0.0.1:8000", profile: "skyrl-fsdp" },
      baseModel: "/root/epfs/ascend_r1_turtorial/models/Qwen/Qwen2___5-3B-Instruct",
    });
    expect(recipe.model.lora).toMatchObject({ rank: 32, alpha: 32 });
    expect(stageOf(conversion)).toMatchObject({
      maxGradNorm: 0,
      temperature: 1,
      topP: 1,
      topK: 0,
      klCoef: 0.001,
      groupSize: 2,
    });
    expect(choices.map(({ what }) => what)).toEqual(expect.arrayContaining(["the server", "the adapter"]));
    const became = Object.fromEntries(launcherKeys.map(({ key, path, recipeValue }) => [key, [path, recipeValue]]));
    expect(became).toMatchObject({
      "deepspeed_config.offload_param_device": ["the server: trainer.policy.fsdp_config.cpu_offload", true],
      "deepspeed_config.offload_optimizer_device": ["the server: trainer.policy.fsdp_config.cpu_offload", true],
      "deepspeed_config.zero_stage": ["the server: trainer.policy.fsdp_config.reshard_after_forward", true],
      "deepspeed_config.gradient_clipping": ["the server: trainer.policy.optimizer_config.max_grad_norm", 1],
      num_processes: ["the server: trainer.placement.policy_num_gpus_per_node", 2],
      mixed_precision: ["the server: generator.inference_engine.model_dtype", "bfloat16"],
    });
    const command = server.join("\n");
    expect(command).toMatch(/--backend fsdp .*\n.*--port 8000 --backend-config '\{/);
    const config = JSON.parse(command.slice(command.indexOf("'{") + 1, -1)) as object;
    expect(config).toMatchObject({
      "trainer.placement.colocate_all": true,
      "trainer.placement.policy_num_gpus_per_node": 2,
      "generator.inference_engine.num_engines": 2,
    });
  });

  it("Mini-R1's keep vLLM on a GPU of its own", async () => {
    const engine = { kind: "tinker", url: "http://gpus:9000", profile: "skyrl-fsdp", baseModel: "qwen" };
    const conversion = await convert(fixtureText("mini-r1.yaml"), { engine, numProcesses: 3 });
    const command = conversion.server.join("\n");
    expect(command).toContain("--base-model qwen");
    expect(JSON.parse(command.slice(command.indexOf("'{") + 1, -1))).toMatchObject({
      "trainer.placement.colocate_all": false,
      "trainer.placement.policy_num_gpus_per_node": 3,
      "generator.inference_engine.num_engines": 1,
      "generator.inference_engine.gpu_memory_utilization": 0.5,
    });
    const hostile = { ...engine, baseModel: "a; touch 'owned' $(id)" };
    const { server } = await convert(fixtureText("mini-r1.yaml"), { engine: hostile, numProcesses: 3 });
    expect(server[0]).toContain(`--base-model 'a; touch '\\''owned'\\'' $(id)' --backend`);
    expect(server.slice(1)).toEqual(conversion.server.slice(1));
    expect(lineOf(conversion, "vllm_device")?.path).toBe("the server: trainer.placement.colocate_all");
    expect(lineOf(conversion, "temperature")).toMatchObject({ value: 0.9, recipeValue: 1 });
  });

  it("keeps what Aha's own server has", async () => {
    const engine = { kind: "tinker", url: "http://127.0.0.1:8000", profile: "aha" };
    const conversion = await convert(fixtureText("mini-r1.yaml"), { engine });
    expect(stageOf(conversion)).toMatchObject({ maxGradNorm: 1, temperature: 0.9 });
    expect(conversion.server).toEqual([]);
  });

  it.each<[string, object, string, RegExp]>([
    [
      "a disk to offload to",
      { kind: "tinker" },
      "deepspeed_config: {offload_param_device: nvme}",
      /offload_param_device: "nvme" is not supported/,
    ],
    [
      "a profile that there is not",
      { kind: "tinker", profile: "other" },
      "num_processes: 2",
      /no profile "other"; there are aha/,
    ],
    ["an unknown key of the launcher", { kind: "tinker" }, "zero: 3", /"zero"|zero: not a key of accelerate/],
    ["keys without an address", { kind: "tinker", baseModel: "m" }, "num_processes: 2", /url/],
  ])("refuses %s by name", async (_, engine, text, message) => {
    const launcher = { path: "accelerate.yaml", text };
    const asked = engine as { readonly kind: string };
    await expect(convert(fixtureText("mini-r1.yaml"), { engine: asked, launcher })).rejects.toThrow(message);
  });
});
