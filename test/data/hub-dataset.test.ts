/** Data sets by their name on the Hub, where commands and recipes take a path. */

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { parse } from "yaml";
import { main } from "../../src/cli/main.ts";
import type { CountdownRecipe } from "../../src/recipe/trl/fit-countdown.ts";
import { recordedConsole } from "../cli/console.ts";
import { HubServer } from "../hub/hub-server.ts";
import { SMOKE_RECIPE } from "../recipe/smoke.ts";
import { fixture } from "../recipe/trl/conversions.ts";
import { sampleFiles } from "./sample-data.ts";

let hub: HubServer;
let root: string;
beforeEach(async () => {
  hub = await HubServer.start();
  root = mkdtempSync(join(tmpdir(), "aha-hub-data-"));
  vi.stubEnv("HF_ENDPOINT", hub.endpoint);
  vi.stubEnv("HF_HUB_CACHE", join(root, "cache"));
  vi.stubEnv("HF_TOKEN", "");
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  rmSync(root, { recursive: true, force: true });
});

async function aha(...args: string[]) {
  const console = recordedConsole();
  const code = await main(args, console);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

/** Puts one of the sample data sets on the Hub; returns the commit. */
function putSample(folder: string, name: string): string {
  const prefix = `${folder}/`;
  const files = [...sampleFiles()].filter(([path]) => path.startsWith(prefix));
  return hub.put(name, Object.fromEntries(files.map(([path, bytes]) => [path.slice(prefix.length), bytes])), {
    kind: "dataset",
  });
}

test("aha data show downloads a data set and shows it, from the cache the next time", async () => {
  const commit = putSample("numinamath-tir", "org/numina");
  const shown = await aha("data", "show", "org/numina", "--rows", "1", "--json");
  expect(shown.code).toBe(0);
  expect(shown.stderr).toContain("Downloading org/numina");
  const { path, splits, rows } = JSON.parse(shown.stdout);
  expect(path).toContain(commit);
  expect(splits.map((split: { name: string; rows: number }) => [split.name, split.rows])).toEqual([
    ["train", 60],
    ["test", 12],
  ]);
  expect(Object.keys(rows[0])).toEqual(["problem", "solution", "messages"]);
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  expect((await aha("data", "show", "org/numina", "--rows", "1", "--json")).stdout).toBe(shown.stdout);
});

test("a recipe trains on a data set of the Hub, and records the commit that it was", async () => {
  const commit = putSample("countdown-3to4", "org/countdown");
  const out = join(root, "run");
  const task = "{name: countdown, prompt: compact, data: {path: org/countdown, select: 50, testShare: 0.2}}";
  const sets = [`task=${task}`, "evaluation.problems=8", "stages.cold-start.steps=2", "stages.r1-zero.iterations=1"];
  const { code } = await aha("run", SMOKE_RECIPE, "--out", out, "--quiet", ...sets.flatMap((set) => ["--set", set]));
  expect(code).toBe(0);
  const recipe = parse(readFileSync(join(out, "recipe.yaml"), "utf8")) as { task: { data: { path: string } } };
  expect(recipe.task.data.path).toBe(`org/countdown@${commit}`);
});

test("a name that is neither here nor in the cache is said to be missing", async () => {
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  const { code, stderr } = await aha("data", "show", "no-org/no-name");
  expect(code).toBe(1);
  expect(stderr).toContain("There is no no-org/no-name on this disk");
});

test("a TRL recipe's data set is downloaded and pinned, and generated problems stand in where the Hub is out of reach", async () => {
  const model = join(root, "model");
  await aha("model", "init", "--preset", "tiny", "--tokenizer", "countdown-compact", "--out", model);
  const commit = putSample("countdown-3to4", "Jiayi-Pan/Countdown-Tasks-3to4");
  const short = ["max_steps=1", "max_completion_length=4", "evaluation.problems=1", "engine.threads=1"];
  const args = ["run", "--trl", fixture("mini-r1.yaml"), "--model", model, ...short.flatMap((set) => ["--set", set])];
  const taskOf = (out: string) => (parse(readFileSync(join(out, "recipe.yaml"), "utf8")) as CountdownRecipe).task;
  const out = join(root, "run");
  const { code, stdout, stderr } = await aha(...args, "--out", out);
  expect([code, stderr.includes("Downloading Jiayi-Pan/Countdown-Tasks-3to4")]).toEqual([0, true]);
  expect(stdout).toMatch(/dataset_id_or_path .*→ task\.data\.path: "Jiayi-Pan\/Countdown-Tasks-3to4"/);
  expect(taskOf(out).data).toMatchObject({ path: `Jiayi-Pan/Countdown-Tasks-3to4@${commit}`, seed: 42 });

  vi.stubEnv("HF_HUB_CACHE", join(root, "another"));
  const offline = await aha(...args, "--out", join(root, "offline"), "--offline");
  expect(offline.stdout).toMatch(/data: .* \(offline, and not in the\s+cache\): problems are\s+generated/);
  expect(taskOf(join(root, "offline"))).toMatchObject({ name: "countdown", heldOutShare: 0.1 });
  vi.stubEnv("HF_ENDPOINT", "http://127.0.0.1:1");
  const unreachable = await aha(...args, "--dry-run");
  expect(unreachable.stdout).toContain("the Hub cannot be reached");
  const required = await aha(...args, "--data", "Jiayi-Pan/Countdown-Tasks-3to4", "--out", join(root, "none"));
  expect([required.code, existsSync(join(root, "none"))]).toEqual([1, false]);
  expect(required.stderr).toMatch(/Cannot reach 127\.0\.0\.1:1/);
});
