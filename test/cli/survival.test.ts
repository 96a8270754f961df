/** What a run survives, and what it refuses, through the program: guards, best checkpoints, changes behind its back. */

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { main } from "../../src/cli/main.ts";
import { diskFile } from "../../src/disk-folder.ts";
import { SafetensorsFile } from "../../src/model/safetensors.ts";
import { readRun } from "../../src/run/run-reader.ts";
import { QUICK, SMOKE_RECIPE } from "../recipe/smoke.ts";
import { readRollouts } from "../run/read-rollouts.ts";
import { recordedConsole } from "./console.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-survival-"));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

interface RunOptions {
  readonly sets?: readonly string[];
  readonly more?: readonly string[];
  /** Stops the run when standard error has this. */
  readonly stopAt?: string;
}

/** As little work as a run can do: these tests are about what happens. */
const LITTLE = [
  ...QUICK,
  "stages.cold-start.batchTokens=256",
  "evaluation.problems=4",
  "evaluation.maxCompletionTokens=16",
  "stages.r1-zero.maxCompletionTokens=16",
  "stages.r1-zero.iterations=2",
];

/** `aha run` of the smoke recipe into `out`, in this process. */
async function run(out: string, { sets = [], more = [], stopAt }: RunOptions = {}) {
  const controller = new AbortController();
  const console = recordedConsole({ signal: controller.signal });
  const watched = {
    ...console,
    note: (text: string) => {
      console.note(text);
      if (stopAt !== undefined && text.includes(stopAt)) controller.abort();
    },
  };
  const args = [...LITTLE, ...sets].flatMap((set) => ["--set", set]);
  const code = await main(["run", SMOKE_RECIPE, ...args, "--out", out, ...more], watched);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

const checkpoints = (out: string) => readdirSync(join(out, "checkpoints")).sort();
const bytes = (out: string, file: string) => readFileSync(join(out, file)).toString("base64");

describe("the best checkpoint", () => {
  const sets = [
    "keepCheckpoints=1",
    "stages.r1-zero.iterations=5",
    "stages.r1-zero.evaluateEvery=1",
    "stages.r1-zero.checkpointEvery=0",
    "stages.r1-zero.learningRate=0.003",
    "bestCheckpoint={metric: meanLength, mode: min, useAsModel: true}",
  ];

  it("is that of the best held-out evaluation, kept beside the newest, and becomes the model", async () => {
    const out = join(root, "best");
    const { code, stdout } = await run(out, { sets });
    expect(code).toBe(0);
    const snapshot = readRun(out);
    const evaluated = snapshot.evaluations
      .filter(({ moment, decoding }) => moment !== "before" && decoding === "sampled")
      .map(({ stage, step, statistics }) => ({ stage, step, value: statistics.meanLength! }));
    const best = evaluated.reduce((least, state) => (state.value < least.value ? state : least));
    const name = `${best.stage}-${String(best.step).padStart(6, "0")}`;
    expect(snapshot.summary).toMatchObject({
      modelFrom: name,
      best: { name, metric: "meanLength", value: best.value },
    });
    expect(stdout).toContain(`The best checkpoint: ${name}`);
    expect(checkpoints(out)).toContain(name);
    expect(checkpoints(out).length).toBeLessThanOrEqual(4);

    const [model, state] = [
      await SafetensorsFile.open(...diskFile(join(out, "model", "model.safetensors"))),
      await SafetensorsFile.open(...diskFile(join(out, "checkpoints", name, "engine.safetensors"))),
    ];
    const read = async (file: SafetensorsFile, tensor: string) => {
      const values = new Float32Array(file.entries.get(tensor)!.shape.reduce((a, b) => a * b, 1));
      await file.readInto(tensor, values);
      return values;
    };
    expect(await read(model, "model.embed_tokens.weight")).toEqual(await read(state, "weights/embed"));
    await model.close();
    await state.close();
  });

  it("is the same after interruptions", async () => {
    const out = join(root, "best-stopped");
    expect((await run(out, { sets, stopAt: "Stage 2" })).code).toBe(130);
    expect((await run(out, { sets, more: ["--resume"], stopAt: "On the way" })).code).toBe(130);
    expect((await run(out, { sets, more: ["--resume"] })).code).toBe(0);
    const whole = join(root, "best");
    expect(readRun(out).summary!.best).toEqual(readRun(whole).summary!.best);
    for (const file of ["metrics.jsonl", "evaluations.jsonl", "model/model.safetensors"]) {
      expect(bytes(out, file)).toBe(bytes(whole, file));
    }
  });

  it("needs a statistic that there is", async () => {
    const out = join(root, "best-refused");
    const { code, stderr } = await run(out, { sets: ["bestCheckpoint={metric: solverate}"] });
    expect(code).toBe(1);
    expect(stderr).toMatch(/bestCheckpoint\.metric: .* no statistic solverate; .*Did you mean solveRate\?/);
    expect(existsSync(out)).toBe(false);
  });
});

describe("a loss that is not finite", () => {
  /** The first step throws the weights so far that nothing is finite after it. */
  const sets = [
    "stages.cold-start.steps=20",
    "stages.cold-start.learningRate=1e30",
    "stages.cold-start.schedule=constant",
    "stages.cold-start.warmupSteps=0",
    "stages.cold-start.maxSkippedSteps=3",
  ];

  it("skips its steps, with event and metric; after too many the run stops with a checkpoint and a report", async () => {
    const out = join(root, "lost");
    const { code, stderr } = await run(out, { sets });
    expect(code).toBe(1);
    expect(stderr).toMatch(/not finite in 4 optimizer steps in a row \(maxSkippedSteps is 3\), the last at step 5/);
    expect(stderr).toContain(`what happened is told in ${join(out, "report.html")}`);
    expect(stderr).not.toMatch(/\n\s+at /);
    const { metrics, events } = readRun(out);
    expect(metrics.map(({ skipped_steps }) => skipped_steps)).toEqual([0, 1, 1, 1, 1]);
    expect(metrics.at(-1)!.grad_norm).toBeNull();
    const skips = events.filter(({ event }) => event === "step-skipped");
    expect(skips.map(({ step, inARow }) => [step, inARow])).toEqual([
      [2, 1],
      [3, 2],
      [4, 3],
      [5, 4],
    ]);
    expect(skips[0]!.reason).toMatch(/the loss was NaN|the gradient was not finite/);
    expect(events.at(-1)).toMatchObject({ event: "diverged" });
    expect(checkpoints(out)).toContain("cold-start-000005");
    const report = readFileSync(join(out, "report.html"), "utf8");
    expect(report).toContain("countdown-smoke: not finished");
    expect(report).toContain("not finite in 4 optimizer steps in a row");
    expect(report).toContain("step-skipped");
    expect(existsSync(join(out, "summary.json"))).toBe(false);
  });

  it("can be gone on from behind those steps", async () => {
    const out = join(root, "lost");
    const { code, stderr } = await run(out, { sets, more: ["--resume"] });
    expect(code).toBe(1);
    expect(stderr).toContain("Continuing from checkpoint cold-start-000005");
    expect(stderr).toMatch(/the last at step 9/);
  });
});

describe("a reward of the user's own in a run", () => {
  const file = () => join(root, "my-reward.mjs");
  const broken = `
    export const picky = ({ completion }) => {
      if (completion.length % 3 === 0) throw new Error("cannot read it");
      if (completion.length % 3 === 1) return NaN;
      return { score: completion.length, reason: "counted" };
    };
    let calls = 0;
    export const stuck = {
      judge: () => { calls++; if (calls === 3) for (;;); return calls; },
      saveState: () => calls,
      loadState: (state) => { calls = state; },
    };
    export const chatty = () => { console.log("hello from the reward"); return 1; };`;
  const rewards = (...list: string[]) => `stages.r1-zero.rewards=[${list.join(", ")}]`;

  it("fails without ending the run: what it cannot judge is null, with the reason in the rollout log", async () => {
    writeFileSync(file(), broken);
    const out = join(root, "own");
    const sets = [rewards(`{name: ${file()}#picky}`, "{name: format}")];
    const { code, stderr } = await run(out, { sets });
    expect([code, stderr]).toEqual([0, expect.stringContaining("picky + format")]);
    const judged = (await readRollouts(out)).map(
      ({ completion, rewards: { picky } }) => [completion.length % 3, picky] as const,
    );
    expect(judged.length).toBe(16);
    for (const [rest, result] of judged) {
      if (rest === 2) expect(result).toMatchObject({ reason: "counted" });
      else expect(result!.score).toBeNull();
      if (rest === 0) expect(result!.reason).toBe("threw: cannot read it");
      if (rest === 1) expect(result!.reason).toBe("returned NaN, which is not a score");
    }
    const { events, metrics } = readRun(out);
    expect(events.find(({ event }) => event === "reward-abstained")).toMatchObject({ reward: "picky", of: 8 });
    expect(metrics.some((row) => "rewards/picky/mean" in row)).toBe(true);
  });

  it("may hang: it is stopped at its limit, and what it remembers is as it was after the last batch", async () => {
    const out = join(root, "stuck");
    const sets = [rewards(`{name: ${file()}#stuck, timeoutMs: 300}`), "stages.r1-zero.iterations=1"];
    expect((await run(out, { sets })).code).toBe(0);
    const results = (await readRollouts(out)).map(({ rewards: { stuck } }) => stuck);
    expect(results.filter(({ score } = { score: 0, reason: "" }) => score === null)).not.toHaveLength(0);
    expect(results[2]).toEqual({ score: null, reason: "took longer than 300 ms" });
  });

  it("does not write between the JSON lines of --json", async () => {
    const out = join(root, "chatty");
    const sets = [rewards(`{name: ${file()}#chatty}`)];
    const { code, stdout } = await run(out, { sets, more: ["--json"] });
    expect(code).toBe(0);
    for (const line of stdout.trimEnd().split("\n")) expect(JSON.parse(line)).toHaveProperty("type");
  });

  it("is refused before any training where it cannot be used, leaving nothing behind", async () => {
    const out = join(root, "refused");
    const refused = async (reward: string) => (await run(out, { sets: [rewards(reward)] })).stderr;
    expect(await refused("{name: ./nowhere.ts#x}")).toMatch(/smoke\/nowhere\.ts#x does not exist/);
    expect(await refused(`{name: ${file()}#piky}`)).toMatch(/no export piky.*did you mean picky/);
    expect(await refused("{name: ./reward.py#x}")).toMatch(/FILE#EXPORT/);
    expect(await refused("{name: format, timeoutMs: 5}")).toMatch(/timeoutMs is for rewards of your own/);
    expect(await refused(`{name: ${file()}#format}, {name: format}`)).toMatch(/lists format twice/);
    expect(existsSync(out)).toBe(false);
  });

  it("must not change between a run and its resume", async () => {
    const out = join(root, "changed");
    const sets = [rewards(`{name: ${file()}#chatty}`)];
    expect((await run(out, { sets, stopAt: "Stage 1" })).code).toBe(130);
    writeFileSync(file(), `${broken}\n// A comment.`);
    const { code, stderr } = await run(out, { sets, more: ["--resume"] });
    expect(code).toBe(1);
    expect(stderr).toMatch(/cannot be resumed.*\n.*my-reward\.mjs has changed/);
    writeFileSync(file(), broken);
    expect((await run(out, { sets, more: ["--resume"] })).code).toBe(0);
  });
});

describe("a resume", () => {
  it("is refused where the data file has changed", async () => {
    const file = join(root, "problems.jsonl");
    const lines = Array.from({ length: 40 }, (_, i) =>
      JSON.stringify({ nums: [i + 1, 2, 3], target: (i + 1) * 2 + 3 }),
    );
    writeFileSync(file, `${lines.join("\n")}\n`);
    const sets = [`task={name: countdown, prompt: compact, heldOutShare: 0.5, file: ${file}}`];
    const out = join(root, "data");
    expect((await run(out, { sets, stopAt: "Stage 1" })).code).toBe(130);
    writeFileSync(file, `${lines.slice(1).join("\n")}\n`);
    const { code, stderr } = await run(out, { sets, more: ["--resume"] });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/problems\.jsonl has changed/)]);
  });

  it("computes with as many threads as the run began with, and refuses another number", async () => {
    const recipe = join(root, "no-threads.yaml");
    writeFileSync(recipe, readFileSync(SMOKE_RECIPE, "utf8").replace(/^engine:\n {2}threads: 1\n/m, ""));
    const out = join(root, "threads");
    const start = async (...more: string[]) => {
      const console = recordedConsole({ signal: AbortSignal.abort() });
      const code = await main(["run", recipe, "--out", out, ...more], console);
      return { code, stderr: console.stderr() };
    };
    // All engines of this process have one thread.
    expect((await start("--set", "engine.threads=1")).code).toBe(130);
    expect(parse(readFileSync(join(out, "recipe.yaml"), "utf8")).engine.threads).toBe(1);
    expect((await start("--resume")).code).toBe(130);
    const other = await start("--resume", "--set", "engine.threads=3");
    expect([other.code, other.stderr]).toEqual([1, expect.stringContaining("engine.threads was 1, now 3")]);
  });

  it("goes on from the checkpoint before a damaged one, with a warning, and refuses where none is sound", async () => {
    const out = join(root, "damaged");
    expect((await run(out, { stopAt: "Stage 2" })).code).toBe(130);
    const [first, ...others] = checkpoints(out).reverse();
    expect(others.length).toBeGreaterThan(0);
    const kept = join(root, "kept");
    mkdirSync(kept);
    const tensors = (name: string) => join(out, "checkpoints", name, "engine.safetensors");
    copyFileSync(tensors(first!), join(kept, "engine.safetensors"));
    for (const name of [first!, ...others]) writeFileSync(tensors(name), readFileSync(tensors(name)).subarray(0, 1000));
    const refused = await run(out, { more: ["--resume"] });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/No checkpoint of the run in .* can be used:\n.*has 1000 bytes/);
    copyFileSync(join(kept, "engine.safetensors"), tensors(first!));
    expect((await run(out, { more: ["--resume"] })).code).toBe(0);
    const whole = join(root, "undamaged");
    expect((await run(whole)).code).toBe(0);
    expect(bytes(out, "metrics.jsonl")).toBe(bytes(whole, "metrics.jsonl"));
  });
});
