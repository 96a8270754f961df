/** The doctor on pipelines: what is known without running a stage, and what is not. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { main } from "../../src/cli/main.ts";
import type { PipelineDiagnosis } from "../../src/doctor/diagnosis.ts";
import type { Finding } from "../../src/findings.ts";
import { recordedConsole } from "../cli/console.ts";

const R1 = join(import.meta.dirname, "../../recipes/r1");

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-doctor-test-"));
});
afterEach(() => {
  vi.unstubAllEnvs();
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

async function doctor(...args: string[]) {
  // No model and no data set of the Hub is on this machine, whatever its owner has fetched.
  for (const name of ["HF_HOME", "HF_HUB_CACHE"]) vi.stubEnv(name, join(root, "none"));
  const console = recordedConsole();
  const code = await main(["doctor", ...args], console);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

async function diagnosis(...args: string[]) {
  const { code, stdout } = await doctor(...args, "--json", "--skip-sampling");
  return { code, ...(JSON.parse(stdout) as PipelineDiagnosis) };
}

const told = ({ findings }: { readonly findings: readonly Finding[] }) =>
  findings.map(({ severity, id, stage }) => `${severity} ${id} ${stage}`);

/** A pipeline of three stages; `change` replaces texts of it. */
function pipelineFile(change: Readonly<Record<string, string>> = {}): string {
  const text = `name: three
defaults:
  task: { name: countdown, prompt: compact, counts: [3], max: 10, values: { min: 0, max: 99 } }
  evaluation: { problems: 2, maxCompletionTokens: 48 }
evaluate: { suites: [{ name: game, problems: 2, maxCompletionTokens: 48 }] }
pipeline:
  - name: base
    train:
      model:
        init: { architecture: qwen3, tokenizer: countdown-compact, hiddenSize: 48, intermediateSize: 96, numLayers: 1,
                numHeads: 3, numKvHeads: 1, headDim: 16, maxContextTokens: 128 }
      trainer: grpo
      iterations: 2
      promptsPerIteration: 2
      groupSize: 4
      maxCompletionTokens: 48
      rewards: [{ name: equation }]
      learningRate: 1.0e-4
  - name: samples
    rejectionSampling: { model: { from: base }, prompts: 4, samples: 2, maxCompletionTokens: 48 }
  - name: sft
    train: { trainer: sft, steps: 2, batchTokens: 256, learningRate: 1.0e-4 }
    with:
      model: { from: base }
      task: { name: conversations, chat: false, data: { from: samples } }
`;
  const path = join(root, "pipeline.yaml");
  writeFileSync(
    path,
    Object.entries(change).reduce((before, [from, to]) => before.replace(from, to), text),
  );
  return path;
}

describe("aha doctor on a pipeline", () => {
  let sound: string[];
  beforeAll(async () => {
    sound = told(await diagnosis(pipelineFile()));
  });

  it("looks at every stage with the shape of the model that it descends from", async () => {
    const found = await diagnosis(pipelineFile());
    expect(found).toMatchObject({ code: 0, recipe: "three", counts: { error: 0, warning: 0 } });
    expect(found.stages.map(({ name }) => name)).toEqual(["base/grpo", "sft/sft"]);
    expect(found.models.sft).toMatchObject({ parameters: found.models.base!.parameters, weights: "pretrained" });
    expect(found.dataSteps).toEqual([
      { name: "samples", step: "rejectionSampling", prompts: 4, completions: 8, maxCompletionTokens: 48 },
    ]);
    expect(found.unchecked.join("\n")).toContain("the task's problems: samples has to run first (sft)");
    expect(found.estimatedPeakBytes).toBeGreaterThan(2 ** 27);
  });

  it.each<[string, Record<string, string>]>([
    ["error learning-rate sft/sft", { "batchTokens: 256, learningRate: 1.0e-4": "batchTokens: 256, learningRate: 10" }],
    ["warning data-longer sft/sft", { "batchTokens: 256": "batchTokens: 32" }],
    ["error context samples", { "samples: 2, maxCompletionTokens: 48": "samples: 2, maxCompletionTokens: 128" }],
    [
      "warning sampled-shorter samples",
      { "samples: 2, maxCompletionTokens: 48": "samples: 2, maxCompletionTokens: 47" },
    ],
    ["warning samples-alike samples", { "samples: 2,": "samples: 2, temperature: 0," }],
    [
      "error reward-columns samples",
      { "samples: 2,": "samples: 2, keep: [{ reward: exact_match, options: { column: gold }, min: 1 }]," },
    ],
    [
      "warning evaluation-shorter suite game",
      { "name: game, problems: 2, maxCompletionTokens: 48": "name: game, problems: 2, maxCompletionTokens: 40" },
    ],
    ["error recipe undefined", { "data: { from: samples }": "data: { from: sampels }" }],
  ])("finds %s", async (expected, change) => {
    expect(sound).not.toContain(expected);
    const { code, ...found } = await diagnosis(pipelineFile(change));
    expect(told(found)).toContain(expected);
    expect(code).toBe(expected.startsWith("error") ? 1 : 0);
  });

  it("takes overrides of stages, and prints what several stages share once", async () => {
    const { stdout } = await doctor(pipelineFile(), "--skip-sampling", "--set", "base.iterations=7");
    expect(stdout).toMatch(/base\/grpo \(grpo\)\n +iterations +7\n/);
    expect(stdout).toContain("rejectionSampling: 8 completions of 4 prompts");
  });

  it.each(["0.5b", "1.5b", "3b", "open-r1"])("finds no error in recipes/r1/qwen2.5/%s.yaml", async (name) => {
    const found = await diagnosis(join(R1, `qwen2.5/${name}.yaml`));
    expect(found).toMatchObject({ code: 0, counts: { error: 0 } });
    expect(told(found).filter((one) => !/^(note|warning memory)/.test(one))).toEqual([]);
    expect(found.unchecked.join("\n")).toContain("not on this machine");
    expect(found.estimatedPeakBytes).toBeLessThan(96 * 2 ** 30);
  });

  it("finds no error in the tiny pipeline, and nothing that would waste it", async () => {
    expect((await diagnosis(join(R1, "tiny/pipeline.yaml"))).counts).toMatchObject({ error: 0 });
  });
});
