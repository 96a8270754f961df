import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { main } from "../../src/cli/main.ts";
import type { Diagnosis } from "../../src/doctor/diagnosis.ts";
import { recordedConsole } from "../cli/console.ts";
import { SMOKE_RECIPE } from "../recipe/smoke.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-doctor-test-"));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

async function doctor(...args: string[]) {
  const console = recordedConsole();
  const code = await main(["doctor", ...args], console);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

const traces = () => readdirSync(tmpdir()).filter((name) => /^aha-doctor-(?!test)/.test(name));

describe("aha doctor", () => {
  it("prints one JSON object with figures measured on sampled completions, and leaves nothing behind", async () => {
    const before = readdirSync(process.cwd());
    const { code, stdout, stderr } = await doctor(SMOKE_RECIPE, "--json", "--samples", "6");
    expect([code, stderr]).toEqual([0, ""]);
    const diagnosis = JSON.parse(stdout) as Diagnosis;
    expect(diagnosis).toMatchObject({ recipe: "countdown-smoke", model: { weights: "random", available: true } });
    expect(diagnosis.counts.error).toBe(0);
    const [sft, grpo] = diagnosis.stages;
    expect(sft).toMatchObject({ name: "cold-start", optimizerSteps: 60, iterations: null });
    expect(sft!.tokensPerStep).toBeGreaterThan(512);
    expect(grpo).toMatchObject({
      ...{ iterations: 4, optimizerSteps: 16, stepsPerIteration: 4, promptsPerIteration: 2 },
      // Six completions are made up to two groups of four.
      ...{ completionsPerIteration: 8, promptsPerStep: 1, completionsPerStep: 4, sampledCompletions: 8 },
    });
    expect(Object.keys(grpo!.rewardMeans!)).toEqual(["format", "equation"]);
    for (const speed of [grpo!.samplingTokensPerSecond, grpo!.trainingTokensPerSecond, sft!.trainingTokensPerSecond]) {
      expect(speed).toBeGreaterThan(0);
    }
    expect(diagnosis.estimatedSeconds).toBeGreaterThan(0);
    expect(diagnosis.estimatedPeakBytes).toBeGreaterThan(2 ** 27);
    for (const finding of diagnosis.findings) {
      for (const key of ["severity", "id", "measured", "why", "advice"]) expect(finding).toHaveProperty(key);
    }
    expect(readdirSync(process.cwd())).toEqual(before);
    expect(traces()).toEqual([]);
  });

  it("prints a table and findings, and fails for errors, with --strict for warnings too", async () => {
    const bad = await doctor(
      SMOKE_RECIPE,
      "--skip-sampling",
      "--set",
      "stages.r1-zero.rewards=[{name: format, weight: 0}]",
    );
    expect(bad.code).toBe(1);
    expect(bad.stdout).toMatch(/completions per optimizer step +4\n/);
    expect(bad.stdout).toContain("error reward-weights-zero (r1-zero)");
    const warned = ["--skip-sampling", "--set", "stages.r1-zero.klCoef=1e-7"];
    expect((await doctor(SMOKE_RECIPE, ...warned)).code).toBe(0);
    expect((await doctor(SMOKE_RECIPE, ...warned, "--strict")).code).toBe(1);
  });

  it("says in its own form that a recipe is refused", async () => {
    const path = join(root, "bad.yaml");
    writeFileSync(path, "name: bad\nstages: []\nmodle: {}\n");
    const { code, stdout } = await doctor(path, "--json");
    expect(code).toBe(1);
    expect((JSON.parse(stdout) as Diagnosis).findings).toMatchObject([{ severity: "error", id: "recipe" }]);
  });

  it("refuses a recipe that is not there, and a number of samples that is none", async () => {
    expect((await doctor(join(root, "no.yaml"))).stderr).toContain("There is no recipe");
    expect((await doctor(SMOKE_RECIPE, "--samples", "0")).stderr).toContain("--samples must be");
  });

  it("stops at Ctrl-C with exit code 130", async () => {
    const controller = new AbortController();
    controller.abort();
    const console = recordedConsole({ signal: controller.signal });
    expect(await main(["doctor", SMOKE_RECIPE], console)).toBe(130);
    expect(traces()).toEqual([]);
  });
});
