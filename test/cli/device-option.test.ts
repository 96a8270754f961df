/** `--device`: every command that computes a model computes it there, on a device that an extension brought. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { main } from "../../src/cli/main.ts";
import { CpuDevice } from "../../src/compute/cpu/cpu-device.ts";
import type { Device, DeviceKind } from "../../src/compute/device.ts";
import { extend } from "../../src/extend.ts";
import { readRun } from "../../src/run/run-reader.ts";
import { deviceWith } from "../compute/device-with.ts";
import { QUICK, REWARD_MODEL_RECIPE, SMOKE_RECIPE } from "../recipe/smoke.ts";
import { fixture } from "../recipe/trl/conversions.ts";
import { recordedConsole } from "./console.ts";

let root: string;
/** Programs that the device loaded. */
let loaded = 0;

/** The CPU, which counts what it is given. */
const kind: DeviceKind = {
  name: "counting",
  summary: "the CPU, counted",
  open: async ({ threads }) => {
    const cpu = CpuDevice.open(threads);
    const load: Device["load"] = (lowered) => {
      loaded++;
      return cpu.load(lowered);
    };
    return deviceWith(cpu, { load });
  },
};

async function aha(...args: string[]) {
  const console = recordedConsole();
  const code = await main(args, console);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

const at = (name: string) => join(root, name);

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-device-option-"));
  extend({ devices: [kind] });
  const sets = [...QUICK, "stages.r1-zero.iterations=1", "evaluation.problems=2"].flatMap((set) => ["--set", set]);
  expect((await aha("run", SMOKE_RECIPE, ...sets, "--out", at("run"), "--quiet")).code).toBe(0);
  const few = ["--set", "epochs=1"];
  expect((await aha("run", REWARD_MODEL_RECIPE, ...few, "--out", at("judge"), "--quiet")).code).toBe(0);
  writeFileSync(at("tokens.jsonl"), "[[3, 4, 5], [6, 7]]");
  writeFileSync(at("completions.jsonl"), '{"prompt": "3 4", "completion": "<answer>3 + 4</answer>"}\n');
  await aha("model", "init", "--preset", "tiny", "--tokenizer", "countdown-compact", "--out", at("compact"));
});
beforeEach(() => {
  loaded = 0;
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** There is one pool of threads in a process, and the recipes of these tests have one. */
const ONE_THREAD = ["--threads", "1"];

/** What each command is given beside `--device`. */
const COMMANDS: readonly (readonly [name: string, args: () => readonly string[]])[] = [
  ["eval", () => ["eval", at("run"), "--problems", "2", "--max-tokens", "4", ...ONE_THREAD]],
  ["chat", () => ["chat", at("run"), "--prompt", "3 4", "--max-tokens", "2", ...ONE_THREAD]],
  ["model score", () => ["model", "score", at("run/model"), "--tokens", at("tokens.jsonl"), ...ONE_THREAD]],
  [
    "reward",
    () => [
      "reward",
      "reward_model",
      "--in",
      at("completions.jsonl"),
      "--set",
      `path=${at("judge/model")}`,
      ...ONE_THREAD,
    ],
  ],
  ["doctor", () => ["doctor", SMOKE_RECIPE]],
];

describe("--device", () => {
  it.each(COMMANDS)("is where aha %s computes", async (_, args) => {
    const { code, stderr } = await aha(...args(), "--device", "counting");
    expect(code, stderr).toBe(0);
    expect(loaded).toBeGreaterThan(0);
  });

  it.each(COMMANDS)("names what is missing where aha %s is given one that is not here", async (_, args) => {
    const { code, stdout, stderr } = await aha(...args(), "--device", "abacus");
    expect(code).toBe(1);
    expect(stdout + stderr).toMatch(/abacus.*cpu/s);
    expect(loaded).toBe(0);
  });

  it("is where aha run --trl trains, and stands in its recipe", async () => {
    const short = ["max_steps=1", "max_completion_length=8", "engine.threads=1", "evaluation.problems=1"].flatMap(
      (set) => ["--set", set],
    );
    const rest = ["--out", at("trl"), "--quiet", "--device", "counting"];
    const { code, stderr } = await aha(
      "run",
      "--trl",
      fixture("mini-r1.yaml"),
      "--model",
      at("compact"),
      ...short,
      ...rest,
    );
    expect(code, stderr).toBe(0);
    expect(loaded).toBeGreaterThan(0);
    expect(readRun(at("trl")).events.find(({ event }) => event === "started")).toMatchObject({ device: "counting" });
    expect(readFileSync(join(at("trl"), "recipe.yaml"), "utf8")).toContain("device: counting");
  });
});
