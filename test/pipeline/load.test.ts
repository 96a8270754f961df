import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NO_CAPABILITIES } from "../../src/engine/contract/capabilities.ts";
import { ConfigError } from "../../src/errors.ts";
import { requireWeightFiles } from "../../src/pipeline/elsewhere.ts";
import { checkInputTypes } from "../../src/pipeline/input-types.ts";
import { loadPipeline, resolveStages } from "../../src/pipeline/load.ts";
import { mergeConfig } from "../../src/pipeline/merge.ts";
import { ingredientsOf } from "../../src/pipeline/plan.ts";
import { findReferences, replaceReferences } from "../../src/pipeline/references.ts";
import { recipePaths } from "../../src/recipe/recipe-paths.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-pipeline-load-"));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

const INIT =
  "{ tokenizer: countdown-compact, hiddenSize: 16, intermediateSize: 32, numLayers: 1, numHeads: 1, numKvHeads: 1, headDim: 16, maxContextTokens: 128 }";
const TASK = "{ name: countdown, prompt: compact, counts: [3], max: 10 }";
const BASE = `  - { name: base, train: { trainer: sft, steps: 1, learningRate: 1e-3, model: { init: ${INIT} } } }`;
const sampling = (name: string, from: string, more = "") =>
  `  - { name: ${name}, rejectionSampling: { model: { from: ${from} }, prompts: 2${more} } }`;

let count = 0;
/** The file of these stages, written. */
function pipelineFile(stages: readonly string[], top = `defaults: { task: ${TASK} }`): string {
  const path = join(root, `pipeline-${count++}.yaml`);
  writeFileSync(path, `name: test\n${top}\npipeline:\n${stages.join("\n")}\n`);
  return path;
}

async function load(stages: readonly string[], overrides: readonly string[] = [], top?: string) {
  const pipeline = await loadPipeline(pipelineFile(stages, top), overrides);
  return resolveStages(pipeline, "/out");
}

describe("a pipeline's graph", () => {
  const cases: readonly (readonly [string, readonly string[], RegExp])[] = [
    [
      "a stage that is not there",
      [BASE, sampling("data", "bas")],
      /data\.model: there is no stage "bas"; did you mean "base"\?/,
    ],
    ["a later stage", [sampling("data", "base"), BASE], /data\.model: "base" comes later in the file/],
    [
      "a circle",
      [
        sampling("a", "b"),
        "  - { name: b, train: { trainer: sft, steps: 1, learningRate: 1e-3, model: { path: x }, task: { name: conversations, data: { from: a } } } }",
      ],
      /a\.model: the stages need each other in a circle: a → b → a/,
    ],
    ["a stage that needs itself", [sampling("a", "a")], /circle: a → a/],
    [
      "a data set for a model",
      [BASE, sampling("a", "base"), sampling("b", "a")],
      /b\.model: expected a model, but "a" makes a dataset/,
    ],
    [
      "a model for a data set",
      [BASE, "  - { name: mix, combine: { data: [{ from: base }] } }"],
      /mix\.data\.0: expected a dataset, but "base" makes a model/,
    ],
    [
      "an output that the stage has not",
      [BASE, "  - { name: a, rejectionSampling: { model: { from: base, output: dataset }, prompts: 1 } }"],
      /"base" makes a model, not a dataset/,
    ],
    [
      "an output that there is none of",
      [BASE, "  - { name: a, rejectionSampling: { model: { from: base, output: weights }, prompts: 1 } }"],
      /a\.model\.output: expected model, dataset, rewardModel, got "weights"/,
    ],
    [
      "a path beside a reference",
      [BASE, "  - { name: a, rejectionSampling: { model: { from: base, path: ./x }, prompts: 1 } }"],
      /a\.model: from and path exclude each other/,
    ],
    [
      "a stage's output for an adapter",
      [
        BASE,
        "  - { name: a, train: { trainer: sft, steps: 1, learningRate: 1e-3, model: { path: x, adapter: { from: base } } } }",
      ],
      /a\.model\.adapter: a stage that trains an adapter makes a whole model/,
    ],
    ["two stages of one name", [BASE, BASE], /base\.name: "base" is taken/],
    ["a stage that does nothing", ["  - { name: a }"], /a: expected exactly one of train, coldStart.*got none/],
    ["an unknown key of a stage", ["  - { name: a, trian: {} }"], /a\.trian: unknown key; did you mean "train"\?/],
    [
      "an unknown key of a data step",
      [BASE, sampling("a", "base", ", promts: 2")],
      /a\.promts: unknown key; did you mean "prompts"\?/,
    ],
    [
      "a filter by an unknown reward",
      [BASE, sampling("a", "base", ", keep: [{ reward: eqation, min: 1 }]")],
      /a\.keep\.0: There is no reward "eqation".*Did you mean equation\?/,
    ],
    [
      "a filter of two kinds",
      [BASE, sampling("a", "base", ", keep: [{ verdict: solved, lacks: x }]")],
      /expected exactly one of verdict.*got verdict and lacks/,
    ],
    [
      "a reward without a threshold",
      [BASE, sampling("a", "base", ", keep: [{ reward: format }]")],
      /reward needs min or max/,
    ],
  ];
  it.each(cases)("refuses %s", async (_, stages, message) => {
    await expect(load(stages)).rejects.toThrow(message);
  });

  it("refuses defaults that no recipe has, and an unknown key of a recipe", async () => {
    await expect(load([BASE], [], "defaults: { taks: {} }")).rejects.toThrow(/defaults\.taks: unknown key/);
    await expect(load([BASE], ["base.learningRat=1"])).rejects.toThrow(/learningRat: unknown key; did you mean/);
  });

  it("gives each stage the paths of what it needs, the defaults, its own seed, and --set by its name", async () => {
    const [base, data] = await load([BASE, sampling("data", "base")], ["seed=7", "base.steps=3", "data.prompts=5"]);
    expect(base!.work).toMatchObject({ recipe: { name: "base", task: { name: "countdown" }, stages: [{ steps: 3 }] } });
    expect(data!.work).toMatchObject({ config: { prompts: 5, model: { path: "/out/stages/base/model" } } });
    const seeds = [base, data].map((stage) => stage!.config.seed);
    expect(new Set([...seeds, 7]).size).toBe(3);
    const again = await load([BASE, sampling("data", "base")], ["seed=7"]);
    expect(again.map(({ config }) => config.seed)).toEqual(seeds);
  });

  it("knows that a recipe whose last trainer is a reward model's makes one", async () => {
    const rewardModel = "  - { name: rm, train: { trainer: reward_model, model: { path: x } } }";
    await expect(load([rewardModel, sampling("a", "rm")])).rejects.toThrow(
      /expected a model, but "rm" makes a rewardModel/,
    );
  });
});

describe("an engine that has its models elsewhere", () => {
  const ENGINE = "{ kind: tinker, url: http://127.0.0.1:1, baseModel: m }";
  const training = (model: string) =>
    `  - { name: there, train: { trainer: sft, steps: 1, learningRate: 1e-3, engine: ${ENGINE}, model: ${model} } }`;

  it.each<[string, string[], RegExp]>([
    [
      "trains another stage's model",
      [BASE, training("{ from: base, lora: { rank: 2 } }")],
      /not the one that the stage base/,
    ],
    [
      "samples another stage's model",
      [
        BASE,
        "  - { name: data, teacherSamples: { prompts: 2, engine: ENGINE, model: { from: base } } }".replace(
          "ENGINE",
          ENGINE,
        ),
      ],
      /stage data: the engine tinker has models of its own/,
    ],
    [
      "is to have another stage's model as a teacher",
      [
        BASE,
        `  - { name: learns, train: { trainer: distill, iterations: 1, promptsPerIteration: 1, maxCompletionTokens: 4, learningRate: 1e-3, model: { path: some }, teacher: { from: base, engine: ${ENGINE} } } }`,
      ],
      /stage learns: the engine tinker has models of its own, and not the one that the stage base makes\. Name a model that is there/,
    ],
    [
      "makes an adapter that is not described",
      [training("{ path: some }")],
      /stage there: .*say its form \(model\.lora\)/,
    ],
    [
      "makes an adapter that does not come back",
      [training("{ path: some, lora: { rank: 2 } }").replace("baseModel: m", "baseModel: m, profile: tuft")],
      /stage there: .*does not give the adapter that it trains back/,
    ],
  ])("is refused where it %s", async (_, stages, message) => {
    await expect(load(stages)).rejects.toThrow(message);
  });

  it("is refused by what it is found to be, where its configuration does not say", () => {
    const found = (weightFiles: boolean) => ({
      info: { name: "tinker (hosted)" },
      capabilities: { ...NO_CAPABILITIES, weightFiles },
    });
    expect(() => requireWeightFiles(found(true))).not.toThrow();
    expect(() => requireWeightFiles(found(false))).toThrow(/tinker \(hosted\) does not give the adapter/);
  });

  it("trains and samples its own base", async () => {
    const data = `  - { name: data, teacherSamples: { prompts: 2, engine: ${ENGINE}, model: { path: some } } }`;
    expect((await load([training("{ path: some, lora: { rank: 2 } }"), data])).map(({ name }) => name)).toEqual([
      "there",
      "data",
    ]);
  });
});

describe("paths in a pipeline", () => {
  it("to something of another kind are refused, all at once, before any stage is run", async () => {
    const folder = (name: string, config?: object) => {
      const path = join(root, name);
      mkdirSync(path, { recursive: true });
      if (config) writeFileSync(join(path, "config.json"), JSON.stringify(config));
      return path;
    };
    const model = folder("lm", { architectures: ["Qwen3ForCausalLM"] });
    const judge = folder("rm", { architectures: ["Qwen3ForSequenceClassification"] });
    const data = folder("data");
    const grpo =
      "trainer: grpo, iterations: 1, promptsPerIteration: 1, groupSize: 2, maxCompletionTokens: 8, learningRate: 1e-3";
    const stages = await load([
      `  - { name: a, rejectionSampling: { model: { path: ${judge} }, prompts: 1 } }`,
      `  - { name: b, combine: { data: [{ path: ${data} }, { path: ${model} }] } }`,
      `  - { name: c, train: { ${grpo}, model: { path: ${data} }, rewards: [{ name: reward_model, options: { path: ${model} } }] } }`,
      `  - { name: d, train: { ${grpo}, model: { path: ${model} }, rewards: [{ name: reward_model, options: { path: ${judge} } }] } }`,
    ]);
    const refused = checkInputTypes(stages, "/out");
    await expect(refused).rejects.toThrow(ConfigError);
    const message = String(await refused.catch((error: Error) => error.message));
    expect(message.split("\n").slice(1)).toEqual([
      expect.stringMatching(/ a\.model\.path: expected a model .*, but .*rm is a reward model\.$/),
      expect.stringMatching(/ b\.data\.1\.path: expected a data set, but .*lm is a language model\.$/),
      expect.stringMatching(/ c\.model\.path: expected a model .*, but .*data has no config\.json\.$/),
      expect.stringMatching(
        / c\.stages\.0\.rewards\.0\.options\.path: expected a reward model .*lm is a language model\.$/,
      ),
    ]);
  });
});

describe("the files of a stage", () => {
  it("are those of rewards too, also of the one that says which of two completions is better", async () => {
    const [reward, filter] = [join(root, "reward.ts"), join(root, "filter.ts")];
    for (const path of [reward, filter]) writeFileSync(path, "export const score = () => 1;\n");
    const model = join(root, "a-model");
    mkdirSync(model, { recursive: true });
    const keep = "keep: [{ reward: ./filter.ts#score, min: 1 }]";
    const pairs = `  - { name: a, preferences: { model: { path: ${model} }, prompts: 1, reward: ./reward.ts#score, ${keep} } }`;
    const [stage] = await load([pairs]);
    const lineage = { stages: {}, superseded: {}, threads: 1 };
    const inputs = { stages: [], directory: "/out", source: join(root, "p.yaml"), lineage, hashes: new Map() };
    const { files } = await ingredientsOf(inputs, stage!);
    expect(Object.keys(files).sort()).toEqual(["a-model", "filter.ts", "reward.ts"]);
  });
});

describe("references", () => {
  it("become mappings with a path where these stand, and paths elsewhere", () => {
    const config = {
      model: { from: "a", saveDtype: "float16" },
      task: { name: "math", data: { from: "b", testSplit: "test", more: [{ from: "d", share: 0.5 }] } },
      stages: [
        {
          trainer: "grpo",
          rewards: [{ name: "reward_model", options: { path: { from: "c", output: "rewardModel" } } }],
        },
      ],
    };
    const references = findReferences(config, recipePaths);
    expect(references.map(({ from, expected }) => [from, expected])).toEqual([
      ["a", "model"],
      ["b", "dataset"],
      ["d", "dataset"],
      ["c", "rewardModel"],
    ]);
    expect(replaceReferences(config, references, (stage) => `/${stage}`)).toEqual({
      model: { path: "/a", saveDtype: "float16" },
      task: { name: "math", data: { path: "/b", testSplit: "test", more: [{ path: "/d", share: 0.5 }] } },
      stages: [{ trainer: "grpo", rewards: [{ name: "reward_model", options: { path: "/c" } }] }],
    });
  });
});

describe("merging", () => {
  it("lays mappings over each other, replaces sources and other names, and meets items by name", () => {
    const lower = {
      model: { init: { a: 1 }, saveDtype: "float16" },
      task: { name: "countdown", max: 10 },
      stages: [{ name: "x", steps: 1, lr: 2 }, { name: "y" }],
    };
    const upper = { model: { path: "p" }, task: { name: "conversations" }, stages: { x: { steps: 5 } } };
    expect(mergeConfig(lower, upper, "stage")).toEqual({
      model: { path: "p", saveDtype: "float16" },
      task: { name: "conversations" },
      stages: [{ name: "x", steps: 5, lr: 2 }, { name: "y" }],
    });
    expect(() => mergeConfig(lower, { stages: { z: {} } }, "stage")).toThrow(
      /stage\.stages has no item "z": there are x, y|meant/,
    );
  });
});
