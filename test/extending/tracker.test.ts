/** A tracker that a program brings: it is told what a run does, and can neither change nor end it. */

import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ConfigError,
  defineTracker,
  extend,
  parseRecipe,
  prepareRecipe,
  type RunEvent,
  RunInterrupted,
  runRecipe,
  type TrackedRun,
  trackers,
  z,
} from "aha-rl";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/** What the toy tracker was told, one line each. */
const told: string[] = [];
let opened: TrackedRun | undefined;

const memory = defineTracker({
  name: "memory",
  shape: () => ({
    project: z.string().describe("where the run is shown"),
    failsAt: z.int().default(0).describe("a step at which it breaks"),
  }),
  open: (run, { project, failsAt }) => {
    if (project === "locked") throw new ConfigError("tracker memory: the project locked takes no runs.");
    opened = run;
    told.push(`open ${project} ${run.name}`);
    return {
      metrics: ({ stage, step, values }) => {
        if (step === failsAt) throw new Error("no space left");
        told.push(`metrics ${stage} ${step} ${"loss" in values}`);
      },
      timing: ({ step, values }) => void told.push(`timing ${step} ${values.step_time! > 0}`),
      evaluation: ({ stage, moment, completions }) =>
        void told.push(`evaluation ${stage} ${moment} ${completions.length}`),
      rollouts: (rows) => void told.push(`rollouts ${rows[0]!.stage} ${rows.length}`),
      alarm: ({ alarm }) => void told.push(`alarm ${alarm}`),
      finish: async (end) => void told.push(`finish ${end.state}`),
    };
  },
});

const recipe = (track: string) =>
  parseRecipe(
    `
name: tracked
${track}
model: { init: { tokenizer: countdown-compact, hiddenSize: 16, intermediateSize: 32, numLayers: 1, numHeads: 2, numKvHeads: 1, headDim: 8, maxContextTokens: 96 } }
task: { name: countdown, prompt: compact, counts: [3], max: 10 }
evaluation: { problems: 4, maxCompletionTokens: 16, greedy: never }
engine: { threads: 1 }
stages:
  - { name: warm-up, trainer: sft, steps: 3, batchTokens: 512, learningRate: 1e-3, checkpointEvery: 1 }
  - { name: rl, trainer: grpo, iterations: 1, promptsPerIteration: 2, groupSize: 2, maxCompletionTokens: 8, rewards: [{ name: format }], learningRate: 1e-4 }
`,
    "tracked.yaml",
  );

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-own-tracker-"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function run(name: string, track: string, { resume = false, stopAt = 0 } = {}) {
  told.length = 0;
  const out = join(root, name);
  const prepared = await prepareRecipe(recipe(track), { out, resume });
  const stop = new AbortController();
  const warnings: string[] = [];
  const observe = (event: RunEvent) => {
    if (event.type === "metrics" && event.stage === "warm-up" && event.row.step === stopAt) stop.abort();
    if (event.type === "warning") warnings.push(event.message);
  };
  try {
    await runRecipe(prepared, { signal: stop.signal, observe });
  } finally {
    await prepared.close();
  }
  return { out, warnings, metrics: readFileSync(join(out, "metrics.jsonl"), "utf8") };
}

const TRACK = "track: [{ name: memory, project: toys }]";

it("is not known before it is registered", () => {
  expect(trackers.names).not.toContain("memory");
  expect(() => recipe("track: [wandb]")).toThrow(/track\.0: There is no tracker "wandb"; known: tensorboard, /);
  extend({ trackers: [memory] });
  expect(() => recipe("track: [memry]")).toThrow(
    /There is no tracker "memry"; known: .*, memory\. Did you mean memory\?/,
  );
  expect(() => extend({ trackers: [memory] })).toThrow(/There is a tracker named memory already/);
});

describe("a registered tracker", () => {
  it("is told what the run directory gets, in order, and how it ended", async () => {
    await run("whole", TRACK);
    const steps = [1, 2, 3].flatMap((step) => [`metrics warm-up ${step} true`, `timing ${step} true`]);
    expect(told.filter((line) => !line.startsWith("alarm"))).toEqual([
      ...["open toys tracked", "evaluation warm-up before 4", ...steps, "evaluation warm-up after 4"],
      ...["rollouts rl 4", expect.stringMatching(/^metrics rl 1/), "timing 1 true", "evaluation rl after 4"],
      "finish finished",
    ]);
    expect(opened).toMatchObject({ directory: join(root, "whole"), stages: ["warm-up", "rl"], resumed: undefined });
    expect(opened!.recipe).toMatchObject({ seed: 0, track: [{ name: "memory", project: "toys", failsAt: 0 }] });
  });

  it("is told of an interruption, and on resumption which steps stay", async () => {
    await expect(run("stopped", TRACK, { stopAt: 2 })).rejects.toThrow(RunInterrupted);
    expect(told.at(-1)).toBe("finish interrupted");
    await run("stopped", TRACK, { resume: true });
    expect(opened!.resumed).toEqual({ stage: "warm-up", step: 2 });
    expect(told.find((line) => line.startsWith("metrics"))).toBe("metrics warm-up 3 true");
  });

  it("changes nothing that is trained, and is left out with a warning where it fails", async () => {
    const without = await run("without", "");
    expect(told).toEqual([]);
    const broken = await run("broken", "track: [{ name: memory, project: toys, failsAt: 2 }]");
    expect(broken.metrics).toBe(without.metrics);
    expect(broken.warnings).toEqual([
      "The tracker memory failed (no space left): it is not called any more. The run continues.",
    ]);
    expect(told.filter((line) => line.startsWith("metrics"))).toEqual(["metrics warm-up 1 true"]);
  });

  it("is refused with bad keys, and before the run where it cannot be opened", async () => {
    expect(() => recipe("track: [memory]")).toThrow(/track\.0: tracker memory: project: is missing; expected text/);
    expect(() => recipe("track: [{ name: memory, projct: a }]")).toThrow(
      /projct: unknown key; did you mean "project"\?/,
    );
    await expect(run("locked", "track: [{ name: memory, project: locked }]")).rejects.toThrow(/takes no runs/);
    expect(existsSync(join(root, "locked"))).toBe(false);
  });
});
