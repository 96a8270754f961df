import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { main } from "../../src/cli/main.ts";
import { QUICK, SMOKE_RECIPE } from "../recipe/smoke.ts";
import { recordedConsole } from "./console.ts";

const QUICK_SETS = QUICK.flatMap((override) => ["--set", override]);

let root: string;
let finished: Awaited<ReturnType<typeof run>>;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-run-command-"));
  finished = await run("--out", join(root, "finished"));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

/** `aha run` of the quick smoke recipe with further arguments, in this process. */
async function run(...args: string[]) {
  return runRecipe(SMOKE_RECIPE, ...QUICK_SETS, ...args);
}

async function runRecipe(recipe: string, ...args: string[]) {
  const console = recordedConsole();
  const code = await main(["run", recipe, ...args], console);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

describe("aha run", () => {
  it("tells what is happening, and ends with before and after and where the report lies", () => {
    expect(finished.code).toBe(0);
    expect(finished.stderr).toContain("Stage 1 of 2: cold-start");
    expect(finished.stderr).toContain("Learning by doing, without examples");
    expect(finished.stdout).toMatch(/before \(after cold-start, before r1-zero\) +after \(after r1-zero\)\n +solved/);
    expect(finished.stdout).toContain(`The report: ${join(root, "finished", "report.html")}`);
  });

  it("leaves exactly the files of a run directory", () => {
    expect(readdirSync(join(root, "finished")).sort()).toEqual([
      "checkpoints",
      "evaluations.jsonl",
      "events.jsonl",
      "initial-model",
      "metrics.jsonl",
      "model",
      "recipe.yaml",
      "report.html",
      "rollouts.jsonl",
      "summary.json",
      "timings.jsonl",
    ]);
  });

  it("writes a recipe that runs again", async () => {
    const out = join(root, "again");
    expect((await runRecipe(join(root, "finished", "recipe.yaml"), "--out", out, "--quiet")).code).toBe(0);
    const metrics = (path: string) => readFileSync(join(path, "metrics.jsonl"), "utf8");
    expect(metrics(out)).toBe(metrics(join(root, "finished")));
  });

  it("prints JSON lines with --json, and nothing else", async () => {
    const { code, stdout, stderr } = await run("--out", join(root, "json"), "--json");
    expect([code, stderr]).toEqual([0, ""]);
    const events = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string });
    expect(events[0]).toMatchObject({ type: "ready" });
    expect(events.filter(({ type }) => type === "metrics")).toHaveLength(6 + 4);
    expect(events.at(-1)).toMatchObject({ type: "finished", summary: { recipe: "countdown-smoke" } });
  });

  it("prints only the result with --quiet", async () => {
    const { stdout, stderr } = await run("--out", join(root, "quiet"), "--quiet");
    expect(stderr).toBe("");
    expect(stdout).toContain("The report:");
  });
});

describe("aha run refuses, before any training and leaving nothing behind,", () => {
  /** A case: further arguments, and what the message says. */
  const cases: Record<string, [string[], RegExp]> = {
    "an unknown key": [
      ["--set", "stages.r1-zero.groupsize=4"],
      /stages\.r1-zero\.groupsize: unknown key; did you mean "groupSize"/,
    ],
    "batch arithmetic that does not work out": [
      ["--set", "stages.r1-zero.minibatchesPerIteration=3"],
      /minibatchesPerIteration \(3\) does not divide promptsPerIteration \(2\)/,
    ],
    "a prompt that does not fit into the context": [
      ["--set", "model.init.maxContextTokens=70"],
      /prompt.*maxCompletionTokens 64.*context of 70/,
    ],
    "a stage that does not fit, though the evaluation does": [
      ["--set", "stages.r1-zero.maxCompletionTokens=120"],
      /maxCompletionTokens 120.*context of 128/,
    ],
    "demonstrations that never fit": [["--set", "stages.cold-start.batchTokens=5"], /batchTokens/],
    "an unknown option": [["--resum"], /no option --resum.*--resume/],
    "a model directory that is not there": [["--set", "model={path: nowhere}"], /nowhere.*does not exist/],
    "a data file that is not there": [["--set", "task={name: countdown, file: nowhere.jsonl}"], /nowhere\.jsonl/],
    "a prompt that needs a chat template": [["--set", "task.prompt=english"], /chat template/],
    "numbers that the game cannot be played with": [["--set", "task.min=20"], /min/],
  };
  for (const [what, [args, message]] of Object.entries(cases)) {
    it(what, async () => {
      const out = join(root, "refused", "run");
      const { code, stdout, stderr } = await run(...args, "--out", out);
      expect(stderr).toMatch(message);
      expect(stderr).not.toMatch(/\n\s+at /);
      expect([code, stdout]).toEqual([1, ""]);
      expect(existsSync(join(root, "refused"))).toBe(false);
    });
  }

  it("a line of data that is not JSON, with file and line", async () => {
    const file = join(root, "bad.jsonl");
    writeFileSync(file, '{"nums": [1, 2, 3], "target": 6}\n{"nums": [1, 2\n');
    const { code, stderr } = await run(
      "--set",
      `task={name: countdown, prompt: compact, file: ${file}}`,
      "--out",
      join(root, "x"),
    );
    expect([code, existsSync(join(root, "x"))]).toEqual([1, false]);
    expect(stderr).toContain(`${file}:2`);
  });

  it("a line of data without a field that is needed, with file and line", async () => {
    const file = join(root, "lacking.jsonl");
    writeFileSync(file, '{"nums": [1, 2, 3], "target": 6}\n{"nums": [1, 2, 3]}\n');
    const { code, stderr } = await run(
      "--set",
      `task={name: countdown, prompt: compact, file: ${file}}`,
      "--out",
      join(root, "x"),
    );
    expect([code, existsSync(join(root, "x"))]).toEqual([1, false]);
    expect(stderr).toMatch(/lacking\.jsonl:2:.*target/);
  });

  it("a directory that is not empty, which stays as it is", async () => {
    const out = join(root, "taken");
    mkdirSync(out);
    writeFileSync(join(out, "thesis.tex"), "");
    const { code, stderr } = await run("--out", out);
    expect(code).toBe(1);
    expect(stderr).toMatch(/taken is not empty \(thesis\.tex\)/);
    expect(readdirSync(out)).toEqual(["thesis.tex"]);
  });

  it("to resume what is complete, what is not there, and what was begun with another recipe", async () => {
    expect((await run("--out", join(root, "finished"), "--resume")).stderr).toContain("is complete");
    expect((await run("--out", join(root, "none"), "--resume")).stderr).toContain("no run to resume");
    const out = join(root, "other");
    const controller = new AbortController();
    controller.abort();
    const console = recordedConsole({ signal: controller.signal });
    expect(await main(["run", SMOKE_RECIPE, ...QUICK_SETS, "--out", out], console)).toBe(130);
    const { code, stderr } = await run("--out", out, "--resume", "--set", "stages.r1-zero.klCoef=0.5");
    expect(code).toBe(1);
    expect(stderr).toContain("stages.1.klCoef was 0.01, now 0.5");
  });

  it("a checkpoint of another model", async () => {
    const out = join(root, "foreign");
    const controller = new AbortController();
    const console = recordedConsole({ signal: controller.signal });
    const stop = {
      ...console,
      note: (text: string) => {
        if (text.includes("Stage 1")) controller.abort();
      },
    };
    expect(await main(["run", SMOKE_RECIPE, ...QUICK_SETS, "--out", out], stop)).toBe(130);
    const [checkpoint] = readdirSync(join(out, "checkpoints"));
    const foreign = join(root, "finished", "checkpoints", "r1-zero-000016");
    for (const file of readdirSync(foreign)) {
      writeFileSync(join(out, "checkpoints", checkpoint!, file), readFileSync(join(foreign, file)));
    }
    // Same recipe, sound checksums, but its logs are longer than this run's: it is of another run.
    const { code, stderr } = await run("--out", out, "--resume");
    expect(stderr).toMatch(/No checkpoint of the run in .* can be used:/);
    expect(stderr).toMatch(/Nothing was changed/);
    expect(code).toBe(1);
  });
});
