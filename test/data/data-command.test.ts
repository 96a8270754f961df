import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { CommandContext } from "../../src/cli/command.ts";
import { dataCommand } from "../../src/cli/data.ts";
import { ConfigError, RunInterrupted } from "../../src/errors.ts";
import { readDecimal } from "../../src/expression/rational.ts";
import { createCountdownTask } from "../../src/tasks/countdown/countdown.ts";
import { solve } from "../../src/tasks/countdown/solver.ts";
import { isHeldOutCountdown } from "../../src/tasks/countdown/split.ts";
import { readAllJsonl } from "./read-all-jsonl.ts";

const directory = mkdtempSync(join(tmpdir(), "aha-data-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

async function run(args: readonly string[], signal = new AbortController().signal): Promise<string> {
  let output = "";
  const out = (text: string) => {
    output += text;
  };
  const context: CommandContext = { out, note: () => {}, signal, interactive: false };
  expect(await dataCommand.run(args, context)).toBe(0);
  return output;
}

interface Row {
  readonly nums: number[];
  readonly target: number;
  readonly solution?: string;
}

async function rowsOf(args: readonly string[]): Promise<Row[]> {
  return (await run(args))
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Row);
}

function heldOut({ nums, target }: Row): boolean {
  return isHeldOutCountdown(nums, readDecimal(target)!, 0.125);
}

describe("aha data countdown", () => {
  test("writes solvable problems in the form of the data set, and says so", async () => {
    const file = join(directory, "a.jsonl");
    expect(await run(["countdown", "--count", "40", "--out", file])).toBe(
      `Wrote 40 Countdown problems (training and held out) to ${file}.\n`,
    );
    const rows = (await readAllJsonl(file)).map(({ fields }) => fields as unknown as Row);
    expect(rows).toHaveLength(40);
    for (const row of rows) {
      expect(Object.keys(row)).toEqual(["nums", "target"]);
      expect(solve(row.nums, readDecimal(row.target)!, { limit: 1 })).toHaveLength(1);
    }
  });

  test("what it writes is what the task reads, solutions included", async () => {
    const file = join(directory, "b.jsonl");
    await run(["countdown", "--count", "60", "--solutions", "--integers", "--out", file]);
    const options = { prompt: "compact", file, demonstration: { solutionProbability: 1 } };
    const task = createCountdownTask(options, { seed: 0, rows: await readAllJsonl(file) });
    for (let i = 0; i < 20; i++) {
      const problem = task.trainProblem(i);
      const { completion } = task.demonstrate!(problem, 0);
      expect(task.judge(problem, completion).solved).toBe(true);
      const solution = problem.columns.solution as string;
      // A solution without negative values on the way is itself the one that is demonstrated.
      if (solve(problem.columns.nums as number[], readDecimal(problem.columns.target as number)!).length === 1) {
        expect(completion).toContain(solution);
      }
    }
  });

  test("the same options and seed give the same bytes, another seed others", async () => {
    const args = ["countdown", "--count", "20"];
    expect(await run([...args, "--seed", "1"])).toBe(await run([...args, "--seed", "1"]));
    expect(await run([...args, "--seed", "1"])).not.toBe(await run([...args, "--seed", "2"]));
  });

  test("ranges are kept", async () => {
    const game = ["--numbers", "3", "--min", "2", "--max", "9", "--target-min", "20", "--target-max", "30"];
    for (const { nums, target } of await rowsOf(["countdown", "--count", "100", ...game])) {
      expect(nums).toHaveLength(3);
      expect(nums.every((number) => number >= 2 && number <= 9)).toBe(true);
      expect(target >= 20 && target <= 30).toBe(true);
    }
    const tiny = ["--integers", "--value-min", "0", "--value-max", "12", "--target-min", "1", "--solutions"];
    for (const { target } of await rowsOf(["countdown", "--count", "50", "--max", "10", ...tiny])) {
      expect(target).toBeLessThanOrEqual(12);
    }
  });

  test("--train and --held-out write one side of the split, the default both", async () => {
    const args = ["countdown", "--count", "200"];
    expect((await rowsOf([...args, "--train"])).some(heldOut)).toBe(false);
    expect((await rowsOf([...args, "--held-out"])).every(heldOut)).toBe(true);
    const both = (await rowsOf(args)).filter(heldOut).length;
    expect(both).toBeGreaterThan(5);
    expect(both).toBeLessThan(60);
  });

  test("--json reports in one line", async () => {
    const file = join(directory, "c.jsonl");
    const report = await run(["countdown", "--count", "5", "--seed", "3", "--train", "--out", file, "--json"]);
    expect(JSON.parse(report)).toEqual({ file, rows: 5, seed: 3, split: "training" });
  });

  test("an existing file is only replaced with --force", async () => {
    const file = join(directory, "d.jsonl");
    writeFileSync(file, "mine");
    const args = ["countdown", "--count", "1", "--out", file];
    await expect(run(args)).rejects.toThrow(`${file} exists; choose another name, or replace it with --force.`);
    expect(readFileSync(file, "utf8")).toBe("mine");
    await run([...args, "--force"]);
    expect(await readAllJsonl(file)).toHaveLength(1);
  });

  test("when stopped it leaves no file", async () => {
    const controller = new AbortController();
    controller.abort();
    const folder = mkdtempSync(join(directory, "stopped-"));
    const args = ["countdown", "--count", "9", "--out", join(folder, "x.jsonl")];
    await expect(run(args, controller.signal)).rejects.toThrow(RunInterrupted);
    expect(readdirSync(folder)).toEqual([]);
  });

  test.each([
    [[], "DATASET"],
    [["countdwn", "--count", "1"], 'no data set "countdwn"; known: countdown, math. Did you mean countdown?'],
    [["countdown"], "--count N is required"],
    [["countdown", "--count", "0"], '--count must be a whole number of at least 1, not "0"'],
    [["countdown", "--count", "1", "--seeds", "3"], "Did you mean --seed?"],
    [["countdown", "--count", "1", "--train", "--held-out"], "--train and --held-out exclude each other"],
    [["countdown", "--count", "1", "--numbers", "3,x"], '--numbers must be a whole number, not "x"'],
    [["countdown", "--count", "1", "--numbers", "1"], "counts.0"],
    [["countdown", "--count", "1", "--held-out-share", "x"], "heldOutShare"],
    [["countdown", "--count", "1", "--value-max", "9"], "need --integers"],
    [["countdown", "--count", "1", "--min", "9", "--max", "3"], "expected at most max (3), got 9"],
    [["countdown", "--count", "1", "--numbers", "2", "--max", "3"], "No Countdown problem found"],
  ])("%j is a ConfigError", async (args, message) => {
    await expect(run(args)).rejects.toThrow(ConfigError);
    await expect(run(args)).rejects.toThrow(message);
  });
});
