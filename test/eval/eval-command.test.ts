import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { evalCommand } from "../../src/cli/eval.ts";
import { CheckpointError, ConfigError } from "../../src/errors.ts";
import { randomModel, recordingContext } from "./models.ts";

let model: string;
beforeAll(async () => {
  model = await randomModel("countdown-compact");
});
afterAll(() => rm(model, { recursive: true, force: true }));

const game = [
  "--task",
  "countdown",
  "--set",
  "task.prompt=compact",
  "--set",
  "task.counts=[3]",
  "--set",
  "task.max=10",
];

async function run(...args: string[]): Promise<string> {
  const { context, written } = recordingContext();
  expect(await evalCommand.run(args, context)).toBe(0);
  return written.out;
}

describe("aha eval", () => {
  it("prints one JSON line with what was asked and what came out, the same each time", async () => {
    const args = [model, ...game, "--problems", "4", "--samples", "2", "--max-tokens", "8", "--seed", "3", "--json"];
    const first = await run(...args);
    const report = JSON.parse(first);
    expect(report).toMatchObject({ problems: 4, samples: 2, temperature: 1, maxCompletionTokens: 8, seed: 3 });
    expect(report.task).toEqual({ name: "countdown", prompt: "compact", counts: [3], max: 10 });
    expect(report.statistics.meanLength).toBeLessThanOrEqual(8);
    expect(report.statistics).toHaveProperty("passAt2");
    expect(report.statistics).toHaveProperty("majorityRate");
    for (const name of ["solveRate", "passAt2", "majorityRate", "meanLength", "tries", "reflectionWords"]) {
      expect(report.intervals[name]).toHaveLength(2);
    }
    expect(await run(...args)).toBe(first);
  });

  it("prints a table, and writes every completion with its verdict", async () => {
    const out = join(model, "completions.jsonl");
    const table = await run(model, ...game, "--problems", "3", "--max-tokens", "6", "--greedy", "--rollouts", out);
    expect(table).toMatch(/solveRate +0\.000 {2}\(95 %: 0\.000 to 0\.\d{3}\)/);
    const lines = (await readFile(out, "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toHaveLength(3);
    expect(lines[0]).toMatchObject({ sample: 0, solved: false });
    await expect(run(model, ...game, "--rollouts", out)).rejects.toThrow(/exists; choose another name/);
  });

  it("compares with another model on the same problems, and says whether the difference is real", async () => {
    const args = [model, ...game, "--problems", "3", "--samples", "2", "--max-tokens", "6", "--compare", model];
    const { compared } = JSON.parse(await run(...args, "--pass-at", "2", "--json"));
    expect(compared).toMatchObject({ model, mcNemar: { onlyFirst: 0, onlySecond: 0, pValue: 1 } });
    expect(compared.differences.passAt2).toEqual({ difference: 0, interval: [0, 0] });
    const table = await run(...args);
    expect(table).toMatch(/Against it, on the same problems/);
    expect(table).toMatch(/meanLength .* \+0\.000 {2}\(95 %: 0\.000 to 0\.000\)\n/);
    expect(table).toContain("McNemar's exact test: p = 1.000");
  });

  it("of questions without answers has no solve rate, no tries and no test of what is solved", async () => {
    const file = join(model, "questions.jsonl");
    await writeFile(file, Array.from({ length: 8 }, (_, i) => `{"prompt": "${i}+1="}\n`).join(""));
    const task = ["--task", "conversations", "--set", `task.data.path=${file}`, "--set", "task.chat=false"];
    const args = [model, ...task, "--set", "task.data.testShare=0.5", "--problems", "4", "--max-tokens", "6"];
    const { statistics } = JSON.parse(await run(...args, "--json"));
    expect(statistics).toHaveProperty("formatRate");
    for (const name of ["solveRate", "tries", "solvedPerTry", "reflectionRate", "judged", "majorityRate"]) {
      expect(statistics).not.toHaveProperty(name);
    }
    const table = await run(...args, "--compare", model);
    expect(table).not.toMatch(/solve|tries|judged|reflection|McNemar/);
  });

  it("takes problems from a file", async () => {
    const file = join(model, "problems.jsonl");
    const rows = Array.from({ length: 60 }, (_, i) => JSON.stringify({ nums: [i + 1, 2, 3], target: i + 6 }));
    await writeFile(file, `${rows.join("\n")}\n`);
    const args = ["--task", "countdown", "--set", "task.prompt=compact", "--data", file];
    const report = JSON.parse(await run(model, ...args, "--problems", "2", "--max-tokens", "4", "--json"));
    expect(report.task.file).toBe(file);
    expect(report.problems).toBe(2);
  });

  it("shortens its default length limit to what the context leaves", async () => {
    const report = JSON.parse(await run(model, ...game, "--problems", "1", "--json"));
    expect(report.maxCompletionTokens).toBeLessThan(128);
    expect(report.maxCompletionTokens).toBeGreaterThan(90);
  });

  it.each([
    [["--task", "countdwn"], "Did you mean countdown?"],
    [[], "--task is required"],
    [[...game, "--set", "max=10"], "--set expects task.key=value"],
    [[...game, "--set", "task.promt=compact"], "promt"],
    [[...game, "--greedy", "--temperature", "1"], "exclude each other"],
    [[...game, "--greedy", "--samples", "4"], "the same completion every time"],
    [[...game, "--temperature", "0"], "--temperature must be a number above 0"],
    [[...game, "--pass-at", "2"], "pass@2 needs as many completions of a problem; add --samples 2"],
    [[...game, "--samples", "2", "--pass-at", "2,x"], "--pass-at must be a whole number"],
    [[...game, "--rollouts", "a.jsonl", "--out", "b.jsonl"], "two names of one option"],
    [[...game, "--rollouts", "no/such/folder/a.jsonl"], "does not exist"],
    [[...game, "--problem", "4"], "Did you mean --problems?"],
    [[...game, "--max-tokens", "128"], "more than the model's context of 128"],
  ])("refuses %j", async (args, message) => {
    const refused = run(model, ...args);
    await expect(refused).rejects.toThrow(ConfigError);
    await expect(refused).rejects.toThrow(message);
  });

  it("refuses a directory that holds no model", async () => {
    const refused = run(join(model, "nothing"), ...game);
    await expect(refused).rejects.toThrow(CheckpointError);
    await expect(refused).rejects.toThrow(/neither a model directory .* nor that of a run/);
  });

  it("takes task, length, seed and number of problems of a run from its recipe, once it is complete", async () => {
    const directory = await mkdtemp(join(tmpdir(), "aha-run-"));
    const recipe = {
      name: "small",
      seed: 5,
      model: { path: "../elsewhere" },
      task: { name: "countdown", prompt: "compact", counts: [3], max: 10 },
      evaluation: { problems: 3, maxCompletionTokens: 6, samples: 2, topK: 50 },
      stages: [{ name: "school", trainer: "sft", steps: 1, learningRate: 0.001 }],
    };
    await writeFile(join(directory, "recipe.yaml"), JSON.stringify(recipe));
    await expect(run(directory)).rejects.toThrow(/is not complete/);

    await mkdir(join(directory, "model"));
    for (const file of ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]) {
      await cp(join(model, file), join(directory, "model", file));
    }
    const report = JSON.parse(await run(directory, "--json"));
    expect(report).toMatchObject({
      problems: 3,
      samples: 2,
      topK: 50,
      maxCompletionTokens: 6,
      seed: 5,
      task: recipe.task,
    });
    const other = JSON.parse(await run(directory, "--json", "--set", "task.max=9", "--problems", "2"));
    expect(other).toMatchObject({ problems: 2, task: { ...recipe.task, max: 9 } });

    const data = join(directory, "problems.jsonl");
    const rows = Array.from({ length: 60 }, (_, i) => JSON.stringify({ nums: [i + 1, 2, 3], target: i + 6 }));
    await writeFile(data, `${rows.join("\n")}\n`);
    const ofFile = JSON.parse(await run(directory, "--json", "--data", data, "--problems", "2"));
    expect(ofFile).toMatchObject({ problems: 2, task: { name: "countdown", prompt: "compact", file: data } });
    await rm(directory, { recursive: true });
  });
});
