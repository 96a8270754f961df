import { join } from "node:path";
import { expect, test } from "vitest";
import { main } from "../../src/cli/main.ts";
import { recordedConsole } from "../cli/console.ts";
import { temporaryFolder } from "../data/temporary-folder.ts";
import { MATH_RECIPE, runSmoke } from "./smoke.ts";

const makeFiles = temporaryFolder();

/** `aha …` in this process. */
async function aha(...args: string[]) {
  const console = recordedConsole();
  return { code: await main(args, console), stdout: console.stdout(), stderr: console.stderr() };
}

test("the math recipe trains, is evaluated, and evaluates problems that aha data math made", async () => {
  const folder = makeFiles({});
  const summary = await runSmoke(join(folder, "run"), { recipe: MATH_RECIPE, overrides: [] });
  expect(summary.stages.map(({ steps }) => steps)).toEqual([4, 2]);
  const file = join(folder, "problems.jsonl");
  const made = await aha("data", "math", "--count", "20", "--kinds", "linear", "--seed", "3", "--out", file, "--json");
  expect(JSON.parse(made.stdout)).toEqual({ file, rows: 20, seed: 3, split: "training and held out" });
  const model = join(folder, "run", "model");
  const options = [
    "--set",
    "task.prompt=compact",
    "--data",
    file,
    "--problems",
    "2",
    "--max-tokens",
    "8",
    "--threads",
    "1",
    "--json",
  ];
  const evaluated = await aha("eval", model, "--task", "math", ...options);
  expect(evaluated.stderr).toBe("");
  expect(JSON.parse(evaluated.stdout)).toMatchObject({ problems: 2, statistics: { solveRate: 0 } });
});

test("aha data math prints problems, refuses a file that exists and options that exclude each other", async () => {
  const printed = await aha("data", "math", "--count", "3", "--held-out", "--max", "9");
  const rows = printed.stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, string>);
  expect(rows.map((row) => Object.keys(row))).toEqual(Array(3).fill(["problem", "answer", "solution", "kind"]));
  const file = join(makeFiles({ "a.jsonl": "" }), "a.jsonl");
  expect((await aha("data", "math", "--count", "3", "--out", file)).stderr).toMatch(/exists/);
  expect((await aha("data", "math", "--count", "3", "--train", "--held-out")).stderr).toMatch(/exclude each other/);
  expect((await aha("data", "math")).stderr).toMatch(/--count N is required/);
  expect((await aha("data", "math", "--count", "3", "--kinds", "algebra")).code).toBe(1);
});
