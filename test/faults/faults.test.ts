/**
 * The built program, killed at any change of the file system and on a disk that fills up. Whatever happens, a resume ends
 * with the bytes of a run to which nothing happened: SFT, then GRPO with a KL term, a reference and the best checkpoint.
 */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hashString, Random } from "../../src/random.ts";
import { type Ended, requireProgram, runProgram } from "../cli/program.ts";
import { QUICK, SMOKE_RECIPE } from "../recipe/smoke.ts";

const FAULTS = pathToFileURL(join(import.meta.dirname, "file-faults.mjs")).href;

/** A run of little work with many checkpoints. */
const SETS = [
  ...QUICK,
  "stages.cold-start.batchTokens=256",
  "evaluation.problems=4",
  "evaluation.maxCompletionTokens=16",
  "stages.r1-zero.maxCompletionTokens=16",
  "stages.r1-zero.klCoef=0.05",
  "stages.r1-zero.learningRate=0.003",
  "stages.r1-zero.evaluateEvery=1",
  "bestCheckpoint={metric: meanLength, mode: min, useAsModel: true}",
  "rollouts={format: parquet, maxFileBytes: 3000}",
  "completionSamples={share: 0.5}",
].flatMap((set) => ["--set", set]);

/** Sessions that are killed one after another, at moments drawn from this seed. */
const KILLS = 4;
const SEED = 20_261;

let root: string;
let whole: string;
/** Changes of the file system in a whole run. */
let changes: number;
beforeAll(async () => {
  requireProgram();
  root = mkdtempSync(join(tmpdir(), "aha-faults-"));
  whole = join(root, "whole");
  const counted = join(root, "count");
  expect((await run(whole, { AHA_FAULT_COUNT: counted })).code).toBe(0);
  changes = Number(readFileSync(counted, "utf8"));
  expect(changes).toBeGreaterThan(200);
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

let directories = 0;

/** A path of its own, without a text that a fault is aimed at. */
const newDirectory = () => join(root, `run-${directories++}`);

/** Runs the program in `out`, going on with what is there. */
function run(out: string, environment: Record<string, string> = {}): Promise<Ended> {
  const resume = existsSync(join(out, "recipe.yaml")) ? ["--resume"] : [];
  const args = ["run", SMOKE_RECIPE, ...SETS, "--out", out, "--quiet", ...resume];
  return runProgram(args, { node: ["--import", FAULTS], environment });
}

/** Everything that has to be the same in two runs of one recipe and seed. */
function reproducible(path: string): string[] {
  const samples = ["completion_samples.txt", "success_completion_samples.txt"].map((name) =>
    join("completion_samples", name),
  );
  const files = [
    ...["metrics.jsonl", "evaluations.jsonl", "model/model.safetensors"],
    ...readdirSync(path).filter((name) => name.startsWith("rollouts")),
    ...samples.filter((name) => existsSync(join(path, name))),
  ];
  return files.map((file) => readFileSync(join(path, file)).toString("base64"));
}

/** Goes on undisturbed, and compares the end with that of the whole run. */
async function expectSameEnd(out: string): Promise<void> {
  const { code, stderr } = await run(out);
  expect([code, stderr]).toEqual([0, ""]);
  expect(reproducible(out)).toEqual(reproducible(whole));
  const left = [...readdirSync(out), ...readdirSync(join(out, "checkpoints"))];
  expect(left.filter((name) => /unfinished|damaged|lock/.test(name))).toEqual([]);
  expect(readdirSync(join(out, "checkpoints")).sort()).toEqual(readdirSync(join(whole, "checkpoints")).sort());
}

describe("a run that is killed (SIGKILL)", () => {
  it(`${KILLS} times, at random changes of the file system, ends as one that was not`, {
    timeout: 600_000,
  }, async () => {
    const random = new Random(SEED, hashString("faults"));
    const out = newDirectory();
    for (let session = 0; session < KILLS; session++) {
      const nth = 1 + random.integer(Math.ceil(changes / 2));
      const ended = await run(out, { AHA_FAULT: `kill ${nth}` });
      // One that had less than that left to do has come to its end.
      if (ended.code === 0) break;
      expect(ended.signal, `session ${session}, change ${nth}: ${ended.stderr}`).toBe("SIGKILL");
    }
    if (existsSync(join(out, "summary.json"))) expect(reproducible(out)).toEqual(reproducible(whole));
    else await expectSameEnd(out);
  });

  // Half of the weights are on the disk; the manifest is not; the folder has not its name; an old one is half removed.
  it.each([
    ["while the weights of its third checkpoint are written", "kill 7 checkpoints/.unfinished-cold-start-000006"],
    ["before a checkpoint has its name", "kill 14 checkpoints/.unfinished-r1-zero-000008"],
    ["while the model is written", "kill 2 .unfinished-model"],
  ])("%s", { timeout: 300_000 }, async (_, fault) => {
    const out = newDirectory();
    expect((await run(out, { AHA_FAULT: fault })).signal).toBe("SIGKILL");
    await expectSameEnd(out);
  });
});

describe("a run whose disk is full", () => {
  it.each([
    [
      "while a log is appended to",
      "full 3 metrics.jsonl",
      /Cannot write .*metrics\.jsonl: the disk is full\..*--resume/,
    ],
    ["while a checkpoint is written", "full 5 checkpoints/", /Cannot write .*checkpoints.*: the disk is full/],
  ])("%s stops with a clear message and goes on later", { timeout: 300_000 }, async (_, fault, message) => {
    const out = newDirectory();
    const { code, stderr } = await run(out, { AHA_FAULT: fault });
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    await expectSameEnd(out);
  });
});
