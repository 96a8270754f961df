import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../src/errors.ts";
import { loadRecipe, parseRecipe } from "../../src/recipe/load.ts";
import { MAX_RECIPE_BYTES } from "../../src/recipe/yaml.ts";

const MODEL = "model: { path: m }";
const TASK = "task: { name: countdown, prompt: compact }";
const SFT = "{ name: first, trainer: sft, steps: 3, learningRate: 0.001 }";
const GRPO =
  "{ name: second, trainer: grpo, iterations: 2, promptsPerIteration: 4, maxCompletionTokens: 8, learningRate: 0.001, " +
  "rewards: [{ name: format }] }";
const TWO_STAGES = `name: x\n${MODEL}\n${TASK}\nstages:\n  - ${SFT}\n  - ${GRPO}\n`;

/** What parsing refuses, as one text. */
function refusal(text: string, overrides: readonly string[] = []): string {
  try {
    parseRecipe(text, "r.yaml", overrides);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
  throw new Error("the recipe was accepted");
}

describe("a recipe", () => {
  it("gets its defaults filled in", () => {
    const recipe = parseRecipe(TWO_STAGES, "r.yaml");
    expect(recipe).toMatchObject({ seed: 0, keepCheckpoints: 2, evaluation: { problems: 256 } });
    expect(recipe.stages[1]).toMatchObject({ groupSize: 8, klCoef: 0, checkpointEvery: 0, lossType: "dapo" });
  });

  it("is the same when the resolved form is parsed again", () => {
    const recipe = parseRecipe(TWO_STAGES, "/a/r.yaml");
    expect(parseRecipe(JSON.stringify(recipe), "/b/r.yaml")).toEqual(recipe);
  });

  it("takes paths relative to its own folder", () => {
    const text = TWO_STAGES.replace(TASK, "task: { name: countdown, prompt: compact, file: data/p.jsonl }");
    const recipe = parseRecipe(text, "/recipes/here/r.yaml");
    expect(recipe.model.path).toBe("/recipes/here/m");
    expect(recipe.task).toMatchObject({ file: "/recipes/here/data/p.jsonl" });
  });

  it("with a single stage may have its keys at the top", () => {
    const recipe = parseRecipe(`name: x\n${MODEL}\n${TASK}\ntrainer: sft\nsteps: 3\nlearningRate: 0.1`, "r.yaml");
    expect(recipe.stages).toMatchObject([{ name: "sft", trainer: "sft", steps: 3, learningRate: 0.1 }]);
  });

  for (const name of ["tiny", "small", "smoke"]) {
    it(`is valid: recipes/countdown/${name}`, async () => {
      const path = join(import.meta.dirname, `../../recipes/countdown/${name}/recipe.yaml`);
      const recipe = await loadRecipe(path);
      expect(recipe.question).not.toBe("");
      expect(recipe.stages.map(({ trainer }) => trainer)).toEqual(["sft", "grpo"]);
    });
  }
});

describe("a bad recipe", () => {
  it("names an unknown key with its path and the nearest known one", () => {
    expect(refusal(TWO_STAGES, ["stages.second.groupsize=4"])).toContain(
      'stages.second.groupsize: unknown key; did you mean "groupSize"?',
    );
    expect(refusal(TWO_STAGES, ["sede=4"])).toContain('sede: unknown key; did you mean "seed"?');
    expect(refusal(TWO_STAGES, ["task.maks=4"])).toContain('task.maks: unknown key; did you mean "max"?');
    expect(refusal(TWO_STAGES, ["stages.first.groupSize=4"])).toContain(
      "stages.first.groupSize: unknown key; known here",
    );
  });

  it("asks for another number format of an adapter, which is saved as it was trained", () => {
    const overrides = ["model.saveDtype=bfloat16"];
    expect(refusal(TWO_STAGES, [...overrides, "model.lora={}"])).toContain("model.saveDtype: saveDtype bfloat16 would");
    expect(parseRecipe(TWO_STAGES, "r.yaml", overrides).model.saveDtype).toBe("bfloat16");
  });

  it("with one stage at the top gets the nearest key of the top and of the stage", () => {
    const text = `name: x\n${MODEL}\n${TASK}\ntrainer: sft\nlearningRate: 0.1\nstepps: 3\nsede: 1`;
    const message = refusal(text);
    expect(message).toContain('stepps: unknown key; did you mean "steps"?');
    expect(message).toContain('sede: unknown key; did you mean "seed"?');
    expect(message).toContain("steps: expected exactly one of steps (optimizer steps) and epochs");
  });

  it("says what was expected and what came", () => {
    const message = refusal(TWO_STAGES, [
      "seed=ten",
      "stages.first.steps=1.5",
      "stages.first.learningRate=-1",
      "stages.second.lossType=daop",
      "evaluation=[]",
    ]);
    expect(message).toContain('seed: expected a number, got the text "ten"');
    expect(message).toContain("stages.first.steps: expected a whole number, got 1.5");
    expect(message).toContain("stages.first.learningRate: expected a number of more than 0, got -1");
    expect(message).toContain('got the text "daop"; did you mean "dapo"?');
    expect(message).toContain("evaluation: expected a mapping of keys to values, got a list");
  });

  it("names the known trainers", () => {
    expect(refusal(TWO_STAGES, ["stages.second.trainer=gppo"])).toMatch(
      /stages\.second\.trainer: expected "sft" or "grpo" or "reward_model" or "distill", got the text "gppo"; did you mean "grpo"\?/,
    );
  });

  it("names an unknown reward, task and option of a reward", () => {
    const message = refusal(TWO_STAGES, ["stages.second.rewards.format.name=fromat"]);
    expect(message.split("\n").slice(1).join("\n")).toMatch(
      /^ {2}stages\.second\.rewards\.0: There is no reward "fromat"; known: format, equation, .*\. Did you mean format\?$/,
    );
    expect(refusal(TWO_STAGES, ["stages.second.rewards.format.name=fromat"])).toMatch(/rewards.*fromat.*format/);
    expect(refusal(TWO_STAGES, ["task.name=countdwn"])).toContain("task.name: expected");
    expect(refusal(TWO_STAGES, ["stages.second.rewards.0.options.x=1"])).toContain("x");
  });

  it("says which numbers do not divide", () => {
    expect(refusal(TWO_STAGES, ["stages.second.minibatchesPerIteration=3"])).toMatch(
      /minibatchesPerIteration \(3\) does not divide promptsPerIteration \(4\)/,
    );
    const init =
      "init: { tokenizer: countdown-compact, hiddenSize: 8, intermediateSize: 8, numLayers: 1, numHeads: 6, " +
      "numKvHeads: 4, headDim: 3, maxContextTokens: 8 }";
    const message = refusal(TWO_STAGES.replace(MODEL, `model: { ${init} }`));
    expect(message).toContain("numKvHeads (4) does not divide numHeads (6)");
    expect(message).toContain("headDim (3) is odd");
  });

  it("has exactly one source of a model", () => {
    expect(refusal(TWO_STAGES.replace(MODEL, "model: {}"))).toContain("exactly one of path");
  });

  it("has stages with different names", () => {
    expect(refusal(TWO_STAGES.replace("second", "first"))).toContain("names of stages differ");
  });

  it("has no name that could lead out of its folder", () => {
    expect(refusal(TWO_STAGES.replace("name: x", "name: ../x"))).toContain("name: expected");
    expect(refusal(TWO_STAGES.replace("name: second", "name: a/b"))).toContain("name");
  });

  it("lists all of its problems at once", () => {
    expect(refusal("name: x\nsede: 1\nmodel: {}\n").split("\n")).toHaveLength(5);
  });

  it("that does not exist is a clear error", async () => {
    await expect(loadRecipe("/nowhere/r.yaml")).rejects.toThrow(/Cannot read \/nowhere\/r\.yaml: it does not exist/);
  });
});

describe("the YAML of a recipe", () => {
  const refused: Record<string, [string, RegExp]> = {
    "aliases, which could grow without end": ["a: &a [1, 1]\nb: [*a, *a]\n", /aliases/],
    "custom tags": ["a: !!js/function 'x'\n", /Unresolved tag/],
    "duplicate keys, with their line": ["a: 1\na: 2\n", /unique at line 2/],
    "broken syntax, with its line": ["a: 1\nb: [1\n", /line/],
    "several documents": ["a: 1\n---\nb: 2\n", /r\.yaml/],
    "a list instead of a mapping": ["- 1\n", /mapping/],
    "keys that are part of the language": ["__proto__: { x: 1 }\n", /__proto__/],
    "files that are too large": [`a: "${"x".repeat(MAX_RECIPE_BYTES)}"\n`, /at most 262144/],
  };
  for (const [what, [text, message]] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      expect(refusal(text)).toMatch(message);
    });
  }
});

describe("overrides", () => {
  it("set values as YAML reads them, stages by name or number", () => {
    const recipe = parseRecipe(TWO_STAGES, "r.yaml", [
      "seed=7",
      "stages.second.iterations=9",
      "stages.0.steps=11",
      "task.counts=[3, 4]",
      "engine.threads=2",
      "question=is a=b?",
    ]);
    expect(recipe).toMatchObject({ seed: 7, engine: { threads: 2 }, question: "is a=b?", task: { counts: [3, 4] } });
    expect(recipe.stages).toMatchObject([{ steps: 11 }, { iterations: 9 }]);
  });

  const refused: Record<string, [string, RegExp]> = {
    "without a value": ["seed", /--set expects key=value.*"seed"/],
    "without a key": ["=3", /--set expects key=value/],
    "with an empty part": ["a..b=3", /--set expects key=value/],
    "of a stage that is not there": ["stages.secnd.iterations=1", /no item "secnd".*Did you mean "second"/],
    "of a stage by a number that is not there": ["stages.5.steps=1", /no item "5"; it has 0 to 1/],
    "below a plain value": ["seed.x=1", /seed is .*no key "x"|no key "x"/],
    "of an object's prototype": ["__proto__.x=1", /--set expects/],
    "that is not YAML": ["seed=[", /--set seed=\[/],
  };
  for (const [what, [override, message]] of Object.entries(refused)) {
    it(`are refused ${what}`, () => {
      expect(refusal(`seed: 1\n${TWO_STAGES}`, [override])).toMatch(message);
    });
  }

  it("do not change the recipe that they are applied to", () => {
    const first = parseRecipe(TWO_STAGES, "r.yaml", ["seed=7"]);
    expect(parseRecipe(TWO_STAGES, "r.yaml").seed).toBe(0);
    expect(first.seed).toBe(7);
  });
});
