/** `aha init`: what it writes runs, whatever the answers; what it must not write, it does not. */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { PassThrough } from "node:stream";
import { Ajv } from "ajv";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { type Choices, LENGTHS, type Length, offeredTrainers, trainersFor } from "../../src/cli/init/choices.ts";
import { lookAtData, type OwnData } from "../../src/cli/init/own-data.ts";
import { schemaFor } from "../../src/cli/init/project.ts";
import { recipeText } from "../../src/cli/init/recipe-text.ts";
import { initCommand as init, runInit } from "../../src/cli/init.ts";
import { runCommand as run } from "../../src/cli/run.ts";
import { ConfigError, RunInterrupted } from "../../src/errors.ts";
import { recipeJsonSchema } from "../../src/recipe/json-schema.ts";
import { loadRecipe, parseRecipe } from "../../src/recipe/load.ts";
import { trainers } from "../../src/train/trainers.ts";
import { readRollouts } from "../run/read-rollouts.ts";
import { recordedConsole } from "./console.ts";
import { requireProgram, runProgram } from "./program.ts";

const ROOT = join(import.meta.dirname, "../..");
const PREFERENCES = join(ROOT, "recipes/data/preferences");
const NO_ANSWERS = { input: new PassThrough().end(), output: undefined };

let root: string;
/** 30 questions with answers. */
let questions: string;
beforeAll(() => {
  requireProgram();
  root = mkdtempSync(join(tmpdir(), "aha-init-"));
  questions = join(root, "questions.jsonl");
  const rows = Array.from({ length: 30 }, (_, i) => ({ question: `What is ${i} + ${i}?`, result: String(2 * i) }));
  writeFileSync(questions, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

let folders = 0;
const fresh = () => join(root, `project-${folders++}`);
const own = () => ["--task", "own", "--data", questions, "--answer-column", "result"];

async function answered(args: readonly string[], lines: readonly string[] = []) {
  const console = recordedConsole();
  const input = new PassThrough();
  input.end(lines.map((line) => `${line}\n`).join(""));
  const code = await runInit(args, console, { input, output: undefined });
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

describe("what aha init writes", () => {
  const look = (path: string, answer?: string) => lookAtData(path, { answer }, async (name) => name);
  const goals: readonly (readonly [Choices["goal"], () => Promise<OwnData | undefined>])[] = [
    ["countdown", async () => undefined],
    ["math", async () => undefined],
    ["own", () => look(questions, "result")],
    ["own", () => look(PREFERENCES)],
  ];
  const all = goals.flatMap(([goal, data]) =>
    offeredTrainers().flatMap((trainer) =>
      [undefined, "org/name"].map((model) => [goal, data, trainer, model] as const),
    ),
  );

  it("is a recipe and fits the schema, whatever is chosen", async () => {
    const validate = new Ajv({ strict: false, formats: { date: true } }).compile(recipeJsonSchema());
    let recipes = 0;
    for (const [goal, dataOf, trainer, model] of all) {
      const data = await dataOf();
      if (!trainersFor(goal, data).some(({ name }) => name === trainer.name)) continue;
      for (const { name: length } of LENGTHS) {
        const choices = { goal, data, model, trainer, teacher: "org/teacher", directory: "x", length, threads: 2 };
        const paths = { schema: "./s.json", model, teacher: "org/teacher", data: "./d.jsonl" };
        const text = recipeText(choices, paths);
        expect(parseRecipe(text, "/x/recipe.yaml").stages.length).toBeGreaterThan(0);
        expect([validate(parse(text)), validate.errors]).toEqual([true, null]);
        recipes++;
      }
    }
    expect(recipes).toBe((3 * 4 + 2) * 2 * 3);
  });

  it.each([
    ["short", "tiny"],
    ["long", "small"],
  ] as const)("of Countdown, %s: what was measured as countdown/%s", async (length: Length, recipe) => {
    const trainer = offeredTrainers().find(({ name }) => name === "r1")!;
    const choices = {
      ...({ goal: "countdown", data: undefined, model: undefined, trainer, teacher: undefined } as const),
      ...{ directory: "x", length, threads: undefined },
    };
    const text = recipeText(choices, { schema: "x", model: undefined, teacher: undefined, data: undefined });
    const { name: _, question: __, stages, ...written } = parseRecipe(text, "/x/recipe.yaml");
    const measured = await loadRecipe(join(ROOT, "recipes/countdown", recipe, "recipe.yaml"));
    const { name: ___, question: ____, stages: measuredStages, ...rest } = measured;
    expect(written).toEqual(rest);
    const unnamed = (list: typeof stages) => list.map(({ name, evaluateEvery, ...stage }) => stage);
    expect(unnamed(stages)).toEqual(unnamed(measuredStages));
  });

  it("offers each trainer of the registry that says how one begins, the usual one first", async () => {
    const names = (list: readonly { readonly name: string }[]) => list.map(({ name }) => name);
    expect(names(trainersFor("countdown", undefined))).toEqual(["r1", "grpo", "sft", "distill"]);
    expect(names(trainersFor("own", await look(PREFERENCES)))).toEqual(["reward_model", "sft"]);
    const asked = join(root, "asked.jsonl");
    writeFileSync(asked, '{"question": "Why?"}\n');
    expect(names(trainersFor("own", await look(asked)))).toEqual(["grpo", "distill"]);
    expect(names(offeredTrainers()).filter((name) => name !== "r1" && !trainers.names.includes(name))).toEqual([]);
  });

  it("names the schema in the package above, and copies it where there is none", () => {
    expect(schemaFor(join(ROOT, "mine/first"))).toEqual({
      reference: "../../schema/recipe.schema.json",
      copyFrom: undefined,
    });
    const project = fresh();
    mkdirSync(join(project, "node_modules/aha-rl/schema"), { recursive: true });
    writeFileSync(join(project, "node_modules/aha-rl/schema/recipe.schema.json"), "{}");
    expect(schemaFor(join(project, "first")).reference).toBe("../node_modules/aha-rl/schema/recipe.schema.json");
    const { reference, copyFrom } = schemaFor(fresh());
    expect([reference, existsSync(copyFrom!)]).toEqual(["./recipe.schema.json", true]);
  });
});

describe("aha init, then aha run", () => {
  const trained = async (directory: string, ...sets: readonly string[]) => {
    const console = recordedConsole();
    const out = join(directory, "run");
    const changes = sets.flatMap((set) => ["--set", set]);
    expect(await run.run([join(directory, "recipe.yaml"), "--out", out, "--quiet", ...changes], console)).toBe(0);
    expect(existsSync(join(out, "model/config.json"))).toBe(true);
    return out;
  };

  it("trains on the game, and fits its own schema", async () => {
    const directory = fresh();
    const args = ["--yes", "--task", "countdown", "--length", "smoke", "--threads", "1", "--out", directory, "--json"];
    const { code, stdout, stderr } = await answered(args);
    const result = JSON.parse(stdout) as { files: string[]; recipe: string; diagnosis: { counts: { error: number } } };
    expect([code, result.diagnosis.counts.error]).toEqual([0, 0]);
    expect(result.files).toEqual(readdirSync(directory).sort());
    expect(result.recipe).toBe(join(directory, "recipe.yaml"));
    const text = readFileSync(result.recipe, "utf8");
    expect(text).toMatch(/^# yaml-language-server: \$schema=\.\/recipe\.schema\.json\n/);
    expect(readFileSync(join(directory, "recipe.schema.json"), "utf8")).toContain("A recipe of Aha");
    expect(stderr).not.toContain("of 5");
    await trained(directory, "stages.cold-start.steps=3", "stages.reinforcement.iterations=2");
  });

  it("trains on one's own questions by one's own reward", async () => {
    const directory = fresh();
    // Through the built program: a reward's thread loads all of Aha, which takes long from the sources.
    const args = ["--yes", ...own(), "--model", "new", "--length", "smoke", "--threads", "1", "--out", directory];
    expect(await runProgram(["init", ...args])).toMatchObject({ code: 0 });
    const out = join(directory, "run");
    const trained = await runProgram(["run", join(directory, "recipe.yaml"), "--out", out, "--quiet"]);
    expect(trained).toMatchObject({ code: 0 });
    const rollouts = await readRollouts(out);
    expect(rollouts.length).toBe(8);
    for (const { rewards } of rollouts) expect(rewards.correct).toMatchObject({ score: expect.any(Number) });
    expect(JSON.stringify(rollouts[0]!.rewards)).toMatch(/expected \d+, got|the right answer/);
  });

  it("trains a reward model on pairs", async () => {
    const directory = fresh();
    const args = ["--data", PREFERENCES, "--model", "new", "--length", "smoke", "--threads", "1", "--out", directory];
    expect((await answered(["--yes", ...args])).code).toBe(0);
    expect(existsSync(join(directory, "reward.ts"))).toBe(false);
    await trained(directory);
  });
});

describe("the questions", () => {
  it("are five, answered by number, by name, or by nothing for the usual", async () => {
    const directory = fresh();
    const { code, stderr } = await answered([], ["2", "new", "sft", directory, "smoke", "1"]);
    expect(code).toBe(0);
    for (let i = 1; i <= 5; i++) expect(stderr).toContain(`${i} of 5`);
    const recipe = await loadRecipe(join(directory, "recipe.yaml"));
    expect(recipe).toMatchObject({ task: { name: "math" }, engine: { threads: 1 } });
    expect(recipe.stages.map(({ trainer }) => trainer)).toEqual(["sft"]);
  });

  it("are left out where an option answers them", async () => {
    const args = [...own(), "--model", "new", "--length", "smoke", "--threads", "1", "--out", fresh()];
    const { stderr } = await answered(args, ["sft"]);
    expect(stderr.match(/\d of 5/g)).toEqual(["3 of 5"]);
  });

  it("end with the answers, and say how to give them", async () => {
    await expect(answered([], ["countdown"])).rejects.toThrow(/--model, or take the usual ones with --yes/);
  });

  it("name the nearest of a wrong answer", async () => {
    await expect(answered([], ["countdwn"])).rejects.toThrow(/one of countdown, math, own\. Is countdown meant\?/);
  });
});

describe("aha init leaves alone", () => {
  it("a recipe that is there, before it asks on", async () => {
    const directory = fresh();
    mkdirSync(directory);
    writeFileSync(join(directory, "recipe.yaml"), "mine");
    await expect(init.run(["--yes", "--out", directory], recordedConsole())).rejects.toThrow(/exists already/);
    expect(readFileSync(join(directory, "recipe.yaml"), "utf8")).toBe("mine");
    expect(readdirSync(directory)).toEqual(["recipe.yaml"]);
  });

  it("everything, where it is stopped while the doctor looks", async () => {
    const directory = join(fresh(), "below");
    const controller = new AbortController();
    const console = recordedConsole({ signal: controller.signal, interactive: true });
    const note = console.note;
    const stopping = {
      ...console,
      note: (text: string) => {
        note(text);
        controller.abort();
      },
    };
    const args = ["--yes", "--length", "smoke", "--threads", "1", "--out", directory];
    await expect(runInit(args, stopping, NO_ANSWERS)).rejects.toThrow(RunInterrupted);
    expect(existsSync(resolve(directory, ".."))).toBe(false);
  });

  it("everything, where it is stopped at a question", async () => {
    const directory = fresh();
    const controller = new AbortController();
    const input = new PassThrough();
    const asked = runInit(["--out", directory], recordedConsole({ signal: controller.signal }), {
      input,
      output: undefined,
    });
    setTimeout(() => controller.abort(), 20);
    await expect(asked).rejects.toThrow("Stopped; nothing was written.");
    expect(existsSync(directory)).toBe(false);
  });
});

describe("an answer that cannot be", () => {
  it.each([
    ["a task", ["--task", "chess"], /--task must be one of countdown, math, own, not "chess"/],
    [
      "a trainer for the data",
      ["--data", PREFERENCES, "--model", "new", "--trainer", "grpo"],
      /one of reward_model, sft here/,
    ],
    ["a model that is nowhere", ["--model", "./nowhere"], /nowhere does not exist, and is no name on the Hub/],
    ["data that are nowhere", ["--data", "./nowhere.jsonl"], /nowhere\.jsonl/],
    ["data of a task without", ["--task", "math", "--data", "x.jsonl"], /--data goes with --task own/],
    ["a teacher of nobody", ["--trainer", "sft", "--teacher", "a/b"], /--teacher goes with --trainer distill/],
    ["no teacher", ["--trainer", "distill"], /--teacher is needed with --yes/],
    ["no data", ["--task", "own"], /--data is needed with --yes/],
    ["no thread", ["--threads", "0"], /--threads must be a whole number of at least 1/],
  ])("is refused: %s", async (_, args, message) => {
    const directory = fresh();
    await expect(answered(["--yes", "--out", directory, ...args])).rejects.toThrow(message);
    expect(existsSync(directory)).toBe(false);
  });

  it("is refused: columns that nobody understands", async () => {
    const path = join(root, "strange.jsonl");
    writeFileSync(path, '{"a": 1, "b": 2}\n');
    await expect(answered(["--yes", "--data", path, "--out", fresh()])).rejects.toThrow(/--prompt-column/);
    const wrong = ["--yes", "--data", path, "--prompt-column", "c", "--out", fresh()];
    await expect(answered(wrong)).rejects.toThrow(ConfigError);
  });
});
