/** The tables of TRL's keys against the names that TRL, transformers and the scripts have had (`make_trl_keys.py`). */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { DISTILLATION_KEYS } from "../../../src/recipe/trl/keys/distillation.ts";
import { EVERY_TRAINER, LAUNCHER_KEYS } from "../../../src/recipe/trl/keys/every-trainer.ts";
import { grpoKeys, rlooKeys } from "../../../src/recipe/trl/keys/grpo.ts";
import { DEEPSPEED_KEYS } from "../../../src/recipe/trl/keys/launcher.ts";
import { REWARD_MODEL_KEYS } from "../../../src/recipe/trl/keys/reward-model.ts";
import { SFT_KEYS } from "../../../src/recipe/trl/keys/sft.ts";
import { type TrlTrainerName, trlTrainers } from "../../../src/recipe/trl/trainers.ts";
import { convertKeys, fixtureText, lineOf, stageOf } from "./conversions.ts";

interface Golden {
  readonly classes: Readonly<Record<string, { readonly keys: Readonly<Record<string, readonly [string, string]>> }>>;
  readonly TrainingArguments: readonly string[];
  readonly scripts: Readonly<Record<string, readonly string[]>>;
}

const golden = JSON.parse(readFileSync(join(import.meta.dirname, "../../golden/trl-keys.json"), "utf8")) as Golden;
const keysOf = (name: string) => Object.keys(golden.classes[name]!.keys);

const CLASSES: readonly (readonly [TrlTrainerName, readonly string[]])[] = [
  ["grpo", ["GRPOConfig", "open-r1 GRPOConfig", "open-r1 GRPOScriptArguments"]],
  ["rloo", ["RLOOConfig"]],
  ["sft", ["SFTConfig", "open-r1 SFTConfig", "handbook SFTConfig"]],
  ["reward", ["RewardConfig"]],
  ["distillation", ["DistillationConfig", "GKDConfig"]],
];

const OWN = {
  grpo: grpoKeys(),
  rloo: rlooKeys(),
  sft: SFT_KEYS,
  reward: REWARD_MODEL_KEYS,
  distillation: DISTILLATION_KEYS,
};

describe("the tables of TRL's keys", () => {
  it.each(CLASSES)("of %s have every key that its classes have had", (name, classes) => {
    const { keys } = trlTrainers().get(name)!;
    const names = classes.flatMap((one) => (one in golden.classes ? keysOf(one) : golden.scripts[one]!));
    const all = new Set([
      ...names,
      ...golden.TrainingArguments,
      ...keysOf("ModelConfig"),
      ...keysOf("ScriptArguments"),
    ]);
    expect(all.size).toBeGreaterThan(150);
    expect([...all].filter((key) => !keys.has(key))).toEqual([]);
  });

  it("have TRL's and open-r1's keys for mixtures of data sets", () => {
    const keys = [...keysOf("DatasetMixtureConfig"), ...golden.scripts["open-r1 ScriptArguments"]!];
    expect(keys).toContain("dataset_mixture");
    expect(keys.filter((key) => !trlTrainers().get("sft")!.keys.has(key))).toEqual([]);
  });

  it("have no key twice", () => {
    for (const entries of [EVERY_TRAINER, ...Object.values(OWN)]) {
      const keys = entries.map(([key]) => key);
      expect(keys.filter((key, i) => keys.indexOf(key) !== i)).toEqual([]);
    }
  });

  it("tell a trainer by keys of its own classes, and by none that every trainer has", () => {
    for (const [name, classes] of CLASSES) {
      const { signs } = trlTrainers().get(name)!;
      const own = new Set(classes.filter((one) => one in golden.classes).flatMap(keysOf));
      const common = new Set([...golden.TrainingArguments, ...keysOf("ModelConfig"), ...keysOf("ScriptArguments")]);
      const told = [...own].filter((key) => !common.has(key) && signs.has(key));
      expect(told.length).toBeGreaterThan(name === "reward" ? 3 : 10);
      expect([...signs].filter((key) => common.has(key))).toEqual([]);
    }
  });

  it("give a reason of a few words for every key that is not converted", () => {
    const tables = [...[...trlTrainers().values()].map(({ keys }) => keys), LAUNCHER_KEYS, DEEPSPEED_KEYS];
    const reasons = tables.flatMap((keys) =>
      [...keys.values()].flatMap((rule) => (rule.effect === "becomes" ? [] : [rule.why])),
    );
    expect(reasons.length).toBeGreaterThan(600);
    expect(reasons.filter((why) => why.length < 10 || why.length > 120 || /[.]$/.test(why))).toEqual([]);
  });

  it.each(["seed-000.yaml", "seed-002.yaml", "mini-r1.yaml", "notebook.yaml"])("have every key of %s", (name) => {
    const keys = Object.keys(parse(fixtureText(name)) as object);
    expect(keys.length).toBeGreaterThan(15);
    expect(keys.filter((key) => !trlTrainers().get("grpo")!.keys.has(key))).toEqual([]);
  });

  it.each(["seed-000-accelerate.yaml", "seed-002-accelerate.yaml"])("have every key of %s", (name) => {
    const { deepspeed_config, ...keys } = parse(fixtureText(name)) as Record<string, object>;
    expect(Object.keys(keys).filter((key) => !LAUNCHER_KEYS.has(key))).toEqual([]);
    expect(Object.keys(deepspeed_config!).filter((key) => !DEEPSPEED_KEYS.has(key))).toEqual([]);
  });
});

describe("a key that is not TRL's", () => {
  it("is refused with the nearest one", async () => {
    await expect(convertKeys("num_generation: 8")).rejects.toThrow(
      /num_generation: not a key of TRL's .*Did you mean "num_generations"\?/,
    );
  });

  it("is listed beside all other findings", async () => {
    await expect(convertKeys("learning_rte: 1\nbeta: low\nmin_p: 0.1")).rejects.toThrow(
      /learning_rte: .*"learning_rate"\?\n.*beta: expected a number of at least 0, got "low"\.\n.*min_p: 0\.1 is not supported/,
    );
  });

  it("is refused below deepspeed_config and in accelerate's file too", async () => {
    await expect(convertKeys("deepspeed_config: {zero_stge: 3}")).rejects.toThrow(
      /deepspeed_config\.zero_stge: .*"zero_stage"/,
    );
    const launcher = { path: "accelerate.yaml", text: "num_proceses: 2" };
    await expect(convertKeys("beta: 0", { launcher })).rejects.toThrow(/accelerate\.yaml.*\n.*"num_processes"/);
  });
});

describe("a key for what Aha has not", () => {
  it.each([
    ["load_in_4bit: true", /load_in_4bit: weights in 4 bits cannot be trained; set use_peft: true/],
    ["load_in_8bit: true", /load_in_8bit: true is not supported: .*in 4 bits/],
    ["use_peft: true\nlora_modules_to_save: [lm_head]", /lora_modules_to_save: \["lm_head"\] is not supported/],
    ["use_peft: true\nlora_target_modules: [q_prj]", /"q_prj" cannot be adapted; .*Did you mean q_proj\?/],
    ["use_peft: true\nlora_task_type: SEQ_CLS", /lora_task_type: "SEQ_CLS" is not supported/],
    ["use_peft: true\nuse_dora: true", /use_dora: true is not supported/],
    ["use_peft: true\nload_in_4bit: true\nbnb_4bit_quant_type: fp4", /"fp4" is not supported: .*nf4/],
    ["use_adaptive_entropy: true", /use_adaptive_entropy: true is not supported: .*entropy_coef/],
    [
      "importance_sampling_level: word",
      /importance_sampling_level: "word" is not supported; there are token, sequence/,
    ],
    ["multi_objective_aggregation: sum", /"sum" is not supported; there are sum_then_normalize, normalize_then_sum/],
    ["sync_ref_model: true", /sync_ref_model: true needs a beta above 0/],
    ["repetition_penalty: 1.1", /repetition_penalty: 1\.1 is not supported/],
    ["shuffle_dataset: no", /shuffle_dataset/],
    ["loss_type: rloo", /loss_type: "rloo" is not supported; there are grpo, bnpo, dr_grpo, dapo, cispo, sapo/],
    ["optim: lion_32bit", /optim: "lion_32bit" is not supported/],
    ["lr_scheduler_type: polynomial", /lr_scheduler_type: "polynomial" is not supported\. There are cosine/],
    ["system_prompt: You are", /names no data \(dataset_name, dataset_mixture\); give some with --data/],
    [
      "reward_funcs: [accuracy]",
      /reward_funcs: accuracy compares answers as mathematics, and a Countdown problem has none/,
    ],
    ["reward_funcs: [format, code]", /execute the code of completions \(reward_funcs: code\)/],
    ["reward_funcs: [my.rewards.best]", /no reward "my.rewards.best".*a TypeScript file here/],
    ["dataset_name: any/countdown\ndataset_splits: train[100:]", /split such as "train\[100:\]"/],
    ["reward_funcs: [cosine]", /cosine_min_value_wrong \(0\) is above cosine_max_value_wrong \(-0.5\), as open-r1's/],
    ["reward_funcs: repetition_penalty\nrepetition_max_penalty: 1", /rewards.*maxPenalty.*0, got 1/],
    ["tokenizer_name_or_path: other", /tokenizer_name_or_path: "other" is not the model's/],
    ["save_strategy: best", /save_strategy: "best" is not supported/],
    ["eval_strategy: steps", /eval_steps does not say how many/],
  ])("is refused by name: %s", async (keys, message) => {
    await expect(convertKeys(keys)).rejects.toThrow(message);
  });

  it("for noise on embeddings becomes that of the stage, and is refused where two passes would be needed", async () => {
    const conversion = await convertKeys("neftune_noise_alpha: 5");
    expect(stageOf(conversion)).toMatchObject({ neftuneNoiseAlpha: 5 });
    expect(lineOf(conversion, "neftune_noise_alpha")!.path).toBe("stages.grpo.neftuneNoiseAlpha");
    expect(stageOf(await convertKeys("neftune_noise_alpha: null"))).toMatchObject({ neftuneNoiseAlpha: 0 });
    const twoPasses = convertKeys("neftune_noise_alpha: 5\nimportance_sampling_level: sequence");
    await expect(twoPasses).rejects.toThrow(/neftuneNoiseAlpha needs an objective whose terms read one token each/);
    await expect(convertKeys("neftune_noise_alpha: -1")).rejects.toThrow(/neftune_noise_alpha: expected a number/);
  });

  it("is let pass where it asks for nothing", async () => {
    const keys = ["use_peft: false", "load_in_4bit: off", "delta: null", "repetition_penalty: 1.0", "vespo_k_pos: 1"];
    const conversion = await convertKeys(keys.join("\n"));
    expect(conversion.keys.slice(2).map(({ path }) => path)).toEqual([null, null, null, null, null]);
    expect(lineOf(conversion, "delta")!.note).toBe("null is TRL's own default");
    expect(lineOf(conversion, "use_peft")!.note).toBe("all weights are trained");
  });
});

describe("the loss", () => {
  it.each([
    ["loss_type: bnpo", { lossType: "bnpo" }],
    ["loss_type: cispo", { lossType: "cispo", clipEpsilonHigh: 0.2 }],
    ["loss_type: cispo\nepsilon_high: 5", { lossType: "cispo", clipEpsilonHigh: 5 }],
    ["loss_type: sapo\nsapo_temperature_neg: 1.2", { lossType: "sapo", sapoTemperatureNeg: 1.2 }],
    ["loss_type: vespo\nvespo_lambda_pos: 1.5", { lossType: "vespo", vespoLambdaPos: 1.5 }],
    [
      "loss_type: luspo\nimportance_sampling_level: sequence",
      { lossType: "luspo", importanceSamplingLevel: "sequence" },
    ],
    ["delta: 4", { delta: 4 }],
    ["off_policy_mask_threshold: 0.5", { offPolicyMaskThreshold: 0.5 }],
    ["top_entropy_quantile: 0.2", { topEntropyQuantile: 0.2 }],
    ["entropy_coef: -0.01", { entropyCoef: -0.01 }],
    ["multi_objective_aggregation: normalize_then_sum", { rewardAggregation: "normalize_then_sum" }],
    ["beta: 0.1", { klCoef: 0.1, klBiasCorrection: true }],
    ["beta: 0.1\nuse_bias_correction_kl: false", { klCoef: 0.1, klBiasCorrection: false }],
    ["beta: 0.1\nsync_ref_model: true", { refSyncSteps: 512, refSyncMixup: 0.6 }],
    [
      "beta: 0.1\nsync_ref_model: true\nref_model_sync_steps: 8\nref_model_mixup_alpha: 1",
      { refSyncSteps: 8, refSyncMixup: 1 },
    ],
  ])("%s becomes what it says", async (keys, expected) => {
    expect(stageOf(await convertKeys(keys))).toMatchObject(expected);
  });

  it("has TRL 0.14's KL term and reference where the file is of that time", async () => {
    const old = await convertKeys("beta: 0.1\nsync_ref_model: true", { version: "0.14" });
    expect(stageOf(old)).toMatchObject({ klBiasCorrection: false, refSyncSteps: 64, refSyncMixup: 0.9 });
  });

  it.each([
    ["loss_type: cispo\ndelta: 4\nepsilon: 0.3\nepsilon_high: 5", ["delta", "epsilon"]],
    ["loss_type: sapo\nepsilon: 0.3\nepsilon_high: 0.4\ndelta: 4", ["epsilon", "epsilon_high", "delta"]],
    ["loss_type: vespo\nepsilon: 0.3\nimportance_sampling_level: sequence", ["epsilon", "importance_sampling_level"]],
    ["multi_objective_aggregation: normalize_then_sum\nscale_rewards: none", ["scale_rewards"]],
  ])("%j: says what TRL reads and never uses", async (keys, idle) => {
    const conversion = await convertKeys(keys);
    for (const key of idle)
      expect(lineOf(conversion, key)).toMatchObject({ path: null, note: expect.stringMatching(/./) });
  });

  it("takes epsilon for cispo's cap where that is all there is, as TRL does", async () => {
    const conversion = await convertKeys("loss_type: cispo\nepsilon: 0.3");
    expect(stageOf(conversion)).toMatchObject({ clipEpsilonHigh: 0.3, clipEpsilon: 0.2 });
    expect(lineOf(conversion, "epsilon")!.path).toBe("stages.grpo.clipEpsilonHigh");
  });

  it("refuses a delta within the clip", async () => {
    await expect(convertKeys("delta: 1.1")).rejects.toThrow(/delta \(1.1\) must be at least 1 \+ clipEpsilon/);
  });

  it("says of another loss's numbers that they have no effect", async () => {
    const conversion = await convertKeys("loss_type: grpo\nsapo_temperature_pos: 2\nvespo_k_neg: 1");
    expect(lineOf(conversion, "sapo_temperature_pos")!.note).toBe("of a loss_type that was not chosen");
    expect(lineOf(conversion, "vespo_k_neg")!.path).toBeNull();
    expect(lineOf(await convertKeys("ref_model_sync_steps: 9"), "ref_model_sync_steps")!.note).toMatch(
      /sync_ref_model/,
    );
  });
});

describe("adapters", () => {
  it("become model.lora and model.quantization, with TRL's and PEFT's defaults", async () => {
    const plain = await convertKeys("use_peft: true");
    expect(plain.recipe.model).toMatchObject({
      lora: { rank: 16, alpha: 32, dropout: 0.05, rsLora: false, targets: ["q_proj", "v_proj"] },
    });
    expect(plain.recipe.model.quantization).toBeUndefined();
    expect(lineOf(plain, "lora_target_modules")).toMatchObject({
      path: "model.lora.targets",
      note: expect.stringContaining("PEFT's default") as string,
    });
    const keys = ["use_peft: true", "load_in_4bit: true", "lora_r: 8", "lora_alpha: 4", "lora_dropout: 0"];
    keys.push("use_rslora: true", "lora_target_modules: [all-linear]", "use_bnb_nested_quant: true");
    const full = await convertKeys(keys.join("\n"));
    expect(full.recipe.model).toMatchObject({
      lora: { rank: 8, alpha: 4, dropout: 0, rsLora: true, targets: "all-linear" },
      quantization: "nf4",
    });
    expect(lineOf(full, "use_bnb_nested_quant")).toMatchObject({ path: null });
    expect(lineOf(full, "load_in_4bit")).toMatchObject({ path: "model.quantization", recipeValue: "nf4" });
  });

  it("have no effect without use_peft, which is said", async () => {
    const conversion = await convertKeys("lora_r: 8\nbnb_4bit_quant_type: nf4");
    expect(conversion.recipe.model.lora).toBeUndefined();
    expect(lineOf(conversion, "lora_r")).toMatchObject({ path: null, note: "of use_peft, which is off" });
    expect(lineOf(conversion, "bnb_4bit_quant_type")!.note).toBe("of load_in_4bit, which is off");
  });

  it("go with gradient checkpointing, where the file asks for it", async () => {
    expect((await convertKeys("gradient_checkpointing: true")).recipe.engine.gradientCheckpointing).toBe(true);
    expect((await convertKeys("use_peft: true")).recipe.engine.gradientCheckpointing).toBe(false);
  });

  it("refuse a reference that is a mixture", async () => {
    await expect(convertKeys("use_peft: true\nbeta: 0.1\nsync_ref_model: true")).rejects.toThrow(/refSyncMixup/);
  });
});

describe("the rewards", () => {
  const rewardsOf = async (keys: string) => stageOf(await convertKeys(keys)).rewards;

  it.each([
    [
      "[cosine]\ncosine_min_value_wrong: -1\ncosine_max_len: 600",
      "cosine",
      { minWrong: -1, maxWrong: -0.5, minCorrect: 0.5, maxCorrect: 1, maxLength: 600 },
    ],
    [
      "repetition_penalty\nrepetition_n_grams: 4",
      "repetition_penalty",
      { ngramSize: 4, maxPenalty: -1, unit: "words" },
    ],
    ["get_soft_overlong_punishment", "soft_overlong", { maxTokens: 1280, cacheTokens: 256 }],
    ["soft_overlong_punishment\nsoft_punish_cache: 8", "soft_overlong", { maxTokens: 16384, cacheTokens: 8 }],
    ["length", "length", {}],
  ])("%j has open-r1's options", async (keys, name, options) => {
    expect(await rewardsOf(`reward_funcs: ${keys}`)).toEqual([{ name, weight: 1, options }]);
  });

  it("have a line for each option, given or not, and for those of rewards that were not chosen", async () => {
    const conversion = await convertKeys(
      "reward_funcs: [format, repetition_penalty]\nrepetition_n_grams: 2\ncosine_max_len: 9",
    );
    expect(lineOf(conversion, "repetition_n_grams")).toMatchObject({
      path: "stages.grpo.rewards.1.options.ngramSize",
      recipeValue: 2,
    });
    expect(conversion.defaults.find(({ key }) => key === "repetition_max_penalty")).toMatchObject({ recipeValue: -1 });
    expect(lineOf(conversion, "cosine_max_len")).toMatchObject({ path: null, note: "of a reward that was not chosen" });
  });

  it("that run code are refused, their keys at open-r1's defaults are not", async () => {
    const keys = [
      "code_language: python",
      "code_provider: e2b",
      "parallel_code_exec_per_proc: 2",
      "ioi_provider: piston",
    ];
    const conversion = await convertKeys(keys.join("\n"));
    expect(keys.map((key) => lineOf(conversion, key.split(":")[0]!)!.path)).toEqual([null, null, null, null]);
  });
});
