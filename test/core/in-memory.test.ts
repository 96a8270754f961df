/** A recipe run by the core alone: a device and folders in memory are handed in, and nothing touches a disk. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CpuDevice } from "../../src/compute/cpu/cpu-device.ts";
import {
  ConfigError,
  computingOn,
  createRewards,
  createTask,
  FolderRun,
  MemoryFolder,
  openRun,
  type Recipe,
  RunInterrupted,
  recipeOfText,
  runRecipe,
} from "../../src/core.ts";
import type { BatchReward } from "../../src/rewards/reward.ts";
import { QUICK, runSmoke, SMOKE_RECIPE } from "../recipe/smoke.ts";

const OVERRIDES = [...QUICK, "stages.r1-zero.iterations=2"];
const device = CpuDevice.open(1);

async function runIn(folder: MemoryFolder, recipe: Recipe, { resume = false, stopAt = Number.POSITIVE_INFINITY } = {}) {
  const compute = computingOn(device, (path) => folder.at(path));
  const store = resume ? await FolderRun.resume(folder, recipe) : await FolderRun.create(folder, recipe);
  const prepared = await openRun(recipe, store, { compute });
  const stop = new AbortController();
  let rows = 0;
  try {
    const summary = await runRecipe(prepared, {
      signal: stop.signal,
      observe: (event) => {
        if (event.type === "metrics" && ++rows === stopAt) stop.abort();
      },
    });
    return { summary, ...store.readLogs() };
  } finally {
    await prepared.close();
  }
}

const rolloutsOf = ({ files }: MemoryFolder) => {
  const names = [...files.keys()].filter((name) => name.startsWith("rollouts-")).sort();
  return names.map((name) => new TextDecoder().decode(files.get(name))).join("");
};

describe("a run in memory", () => {
  let root: string;
  let recipe: Recipe;
  const folder = new MemoryFolder("memory:run");
  let whole: Awaited<ReturnType<typeof runIn>>;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "aha-core-"));
    recipe = recipeOfText(await readFile(SMOKE_RECIPE, "utf8"), "recipe.yaml", OVERRIDES);
    whole = await runIn(folder, recipe);
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  it("makes the model, the metrics and the rollouts of a run on a disk, byte for byte", async () => {
    const directory = join(root, "run");
    await runSmoke(directory, { overrides: OVERRIDES });
    for (const name of ["model.safetensors", "config.json", "tokenizer.json", "generation_config.json"]) {
      const onDisk = await readFile(join(directory, "model", name));
      expect(Buffer.compare(onDisk, folder.folder("model").files.get(name)!), name).toBe(0);
    }
    const lines = (rows: readonly unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
    expect(lines(whole.metrics)).toBe(await readFile(join(directory, "metrics.jsonl"), "utf8"));
    expect(rolloutsOf(folder)).toBe(await readFile(join(directory, "rollouts.jsonl"), "utf8"));
    expect(whole.summary.recipeHash).toMatch(/^[0-9a-f]{64}$/);
  });

  it("is stopped and goes on from its checkpoint to the same end", async () => {
    const other = new MemoryFolder("memory:stopped");
    await expect(runIn(other, recipe, { stopAt: 5 })).rejects.toThrow(RunInterrupted);
    const resumed = await runIn(other, recipe, { resume: true });
    const from = resumed.events.find(({ event }) => event === "resumed")?.from;
    expect(from).toMatch(/-\d{6}$/);
    expect(resumed.metrics).toEqual(whole.metrics);
    expect(resumed.evaluations).toEqual(whole.evaluations);
    expect(rolloutsOf(other)).toBe(rolloutsOf(folder));
    const [model, expected] = [other, folder].map((one) => one.folder("model").files.get("model.safetensors")!);
    expect(Buffer.compare(model!, expected!)).toBe(0);
  });

  it("is so with an iteration that is sampled ahead, whose completions the checkpoint keeps", async () => {
    const overrides = [...OVERRIDES, "stages.r1-zero.iterations=3", "stages.r1-zero.maxStaleness=1"];
    const ahead = recipeOfText(await readFile(SMOKE_RECIPE, "utf8"), "recipe.yaml", overrides);
    const [once, other] = [new MemoryFolder("memory:ahead"), new MemoryFolder("memory:ahead-stopped")];
    const expected = await runIn(once, ahead);
    const stopAt = expected.metrics.findIndex(({ stage }) => stage === "r1-zero") + 2;
    await expect(runIn(other, ahead, { stopAt })).rejects.toThrow(RunInterrupted);
    const checkpoints = other.folder("checkpoints");
    const kept = await Promise.all((await checkpoints.names()).map((name) => checkpoints.folder(name).names()));
    expect(kept.flat()).toContain("trainer-completions.bin");
    expect((await runIn(other, ahead, { resume: true })).metrics).toEqual(expected.metrics);
    expect(rolloutsOf(other)).toBe(rolloutsOf(once));
  });

  it("keeps a checkpoint until another of its name is whole", async () => {
    const other = new MemoryFolder("memory:twice");
    const run = await FolderRun.create(other, recipe);
    const request = { stage: "s", step: 3, stageComplete: false, trainerState: { step: 3 }, keep: 2, best: undefined };
    await run.saveCheckpoint(request, async () => {});
    const fails = run.saveCheckpoint(request, () => Promise.reject(new Error("the battery is empty")));
    await expect(fails).rejects.toThrow("battery");
    expect((await FolderRun.resume(other, recipe)).resumedFrom).toMatchObject({ name: "s-000003" });

    const complete = await run.saveCheckpoint({ ...request, stageComplete: true }, async () => {});
    const { resumedFrom } = await FolderRun.resume(other, recipe);
    expect(resumedFrom).toEqual(complete);
    expect(await other.folder("checkpoints").names()).toHaveLength(1);
  });

  it("is refused where there is one, none, or one of another recipe", async () => {
    await expect(FolderRun.create(folder, recipe)).rejects.toThrow(/has a run already/);
    await expect(FolderRun.resume(folder, recipe)).rejects.toThrow(/is complete/);
    await expect(FolderRun.resume(new MemoryFolder(), recipe)).rejects.toThrow(/no run to resume/);
    const begun = new MemoryFolder();
    await FolderRun.create(begun, recipe);
    await expect(FolderRun.resume(begun, { ...recipe, seed: 9 })).rejects.toThrow(/seed was 1, now 9/);
  });
});

describe("what needs Node", () => {
  it("is refused by what is missing", async () => {
    const file = { name: "countdown", file: "problems.jsonl" };
    await expect(createTask(file, { seed: 1 })).rejects.toThrow(/problems\.jsonl, and nothing that reads data/);
    const judge = { name: "judge", options: { baseUrl: "http://127.0.0.1:9/v1", model: "judge" } };
    for (const [spec, missing] of [
      [judge, "endpoints"],
      [{ name: "./mine.ts#mine" }, "openUserReward"],
    ] as const) {
      const reward = createRewards([spec])[0]!.reward as BatchReward;
      await expect(reward.open?.()).rejects.toThrow(ConfigError);
      await expect(reward.open?.()).rejects.toThrow(missing);
    }
  });
});
