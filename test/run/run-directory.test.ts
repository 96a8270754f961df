import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RunDirError } from "../../src/errors.ts";
import { RunDirectory } from "../../src/run/run-directory.ts";
import { readRun } from "../../src/run/run-reader.ts";
import { readRollouts } from "./read-rollouts.ts";
import { RECIPE, rollout, SUMMARY, train } from "./toy-run.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "aha-run-"));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

const bytes = (path: string, log: string) => readFileSync(join(path, `${log}.jsonl`), "utf8");

describe("a run directory", () => {
  it("is read back as it was written, numbers that are not finite as null", async () => {
    const path = join(root, "a", "b");
    const run = await RunDirectory.create(path, RECIPE);
    run.stage("only").metrics({ step: 1, iteration: 1, loss: Number.NaN, reward: 0.5 });
    run.stage("only").rollouts([rollout(1)]);
    await run.finish(SUMMARY);
    run.close();
    const snapshot = readRun(path);
    expect(snapshot.recipe).toEqual(RECIPE);
    expect(snapshot.metrics).toEqual([{ stage: "only", step: 1, iteration: 1, loss: null, reward: 0.5 }]);
    expect(snapshot.summary).toEqual(SUMMARY);
    expect(snapshot.events.map((event) => event.event)).toEqual(["started", "finished"]);
    expect(await readRollouts(path)).toEqual([{ stage: "only", ...rollout(1) }]);
    expect(existsSync(join(path, "run.lock"))).toBe(false);
  });

  it("refuses a directory that is not empty, and says how to go on", async () => {
    writeFileSync(join(root, "thesis.txt"), "");
    await expect(RunDirectory.create(root, RECIPE)).rejects.toThrow(/not empty \(thesis\.txt\).*--out/);
    expect(readdirSync(root)).toEqual(["thesis.txt"]);
  });

  it("points to --resume where an unfinished run is in the way", async () => {
    (await RunDirectory.create(join(root, "r"), RECIPE)).close();
    await expect(RunDirectory.create(join(root, "r"), RECIPE)).rejects.toThrow(/add --resume/);
  });

  it("refuses a path below a file", async () => {
    writeFileSync(join(root, "file"), "");
    await expect(RunDirectory.create(join(root, "file"), RECIPE)).rejects.toThrow(/is a file/);
    await expect(RunDirectory.create(join(root, "file", "x"), RECIPE)).rejects.toThrow(RunDirError);
  });

  it.skipIf(process.getuid?.() === 0)("refuses a directory without write permission", async () => {
    chmodSync(root, 0o555);
    await expect(RunDirectory.create(join(root, "r"), RECIPE)).rejects.toThrow(/permission denied/);
    chmodSync(root, 0o755);
  });

  it("leaves the disk as it was when a run is discarded before its first step", async () => {
    const run = await RunDirectory.create(join(root, "a", "b"), RECIPE);
    run.discard();
    expect(readdirSync(root)).toEqual([]);
    mkdirSync(join(root, "empty"));
    (await RunDirectory.create(join(root, "empty"), RECIPE)).discard();
    expect(readdirSync(root)).toEqual(["empty"]);
  });
});

describe("the lock", () => {
  it("keeps a second run out while the first is alive", async () => {
    const run = await RunDirectory.create(join(root, "r"), RECIPE);
    await expect(RunDirectory.resume(join(root, "r"), RECIPE)).rejects.toThrow(
      new RegExp(`in use by process ${process.pid} on ${hostname()}`),
    );
    run.close();
  });

  it("is taken over from a process of this host that is gone", async () => {
    const path = join(root, "r");
    (await RunDirectory.create(path, RECIPE)).close();
    const { pid } = spawnSync(process.execPath, ["-e", ""]);
    writeFileSync(join(path, "run.lock"), JSON.stringify({ pid, host: hostname(), startedAt: "", processStart: null }));
    (await RunDirectory.resume(path, RECIPE)).close();
    expect(readdirSync(path).filter((name) => name.includes("lock"))).toEqual([]);
  });

  it.skipIf(process.platform !== "linux")(
    "is taken over where the process id now belongs to another process",
    async () => {
      const path = join(root, "r");
      (await RunDirectory.create(path, RECIPE)).close();
      const holder = { pid: process.pid, host: hostname(), startedAt: "", processStart: "an earlier boot:1" };
      writeFileSync(join(path, "run.lock"), JSON.stringify(holder));
      (await RunDirectory.resume(path, RECIPE)).close();
    },
  );

  it("is respected where another host wrote it, with what to do", async () => {
    const path = join(root, "r");
    (await RunDirectory.create(path, RECIPE)).close();
    const holder = { pid: 1, host: "elsewhere", startedAt: "yesterday", processStart: null };
    writeFileSync(join(path, "run.lock"), JSON.stringify(holder));
    await expect(RunDirectory.resume(path, RECIPE)).rejects.toThrow(/process 1 on elsewhere.*delete/);
  });

  it("left by a run that was killed before it wrote its recipe does not block a new one", async () => {
    const path = join(root, "r");
    mkdirSync(path);
    const { pid } = spawnSync(process.execPath, ["-e", ""]);
    writeFileSync(join(path, "run.lock"), JSON.stringify({ pid, host: hostname(), startedAt: "", processStart: null }));
    (await RunDirectory.create(path, RECIPE)).close();
  });
});

describe("resuming", () => {
  it("continues at the newest checkpoint and ends with the same bytes as an uninterrupted run", async () => {
    const whole = await RunDirectory.create(join(root, "whole"), RECIPE);
    await train(whole, 0, 6);
    whole.close();

    const path = join(root, "cut");
    const first = await RunDirectory.create(path, RECIPE);
    await train(first, 0, 5);
    first.close();
    appendFileSync(join(path, "metrics.jsonl"), '{"stage":"only","st');
    const second = await RunDirectory.resume(path, RECIPE);
    const from = second.resumedFrom!;
    expect(from.manifest).toMatchObject({ stage: "only", step: 4, trainerState: { step: 4 } });
    expect(readFileSync(join(from.directory, "engine", "weights.bin"))).toEqual(Buffer.alloc(64, 4));
    await train(second, 4, 6);
    second.close();

    for (const log of ["metrics", "rollouts", "evaluations"]) expect(bytes(path, log)).toBe(bytes(whole.path, log));
    expect(readRun(path).timings.map((row) => row.step)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(readRun(path).events.map((event) => event.event)).toContain("resumed");
  });

  it("starts over where no checkpoint had been made", async () => {
    const path = join(root, "r");
    const first = await RunDirectory.create(path, RECIPE);
    await train(first, 0, 1);
    first.close();
    const second = await RunDirectory.resume(path, RECIPE);
    expect(second.resumedFrom).toBeUndefined();
    expect(bytes(path, "metrics")).toBe("");
    second.close();
  });

  const damages: Record<string, (directory: string) => void> = {
    "a flipped byte": (directory) => {
      const file = join(directory, "engine", "weights.bin");
      const content = readFileSync(file);
      content[10]! ^= 1;
      writeFileSync(file, content);
    },
    "a shortened file": (directory) => writeFileSync(join(directory, "engine", "weights.bin"), "short"),
    "a missing file": (directory) => rmSync(join(directory, "engine", "weights.bin")),
    "a manifest that is not JSON": (directory) => writeFileSync(join(directory, "manifest.json"), "{"),
  };
  for (const [damage, inflict] of Object.entries(damages)) {
    it(`falls back to the checkpoint before one with ${damage}, and warns`, async () => {
      const path = join(root, "r");
      const first = await RunDirectory.create(path, RECIPE);
      await train(first, 0, 5);
      first.close();
      inflict(join(path, "checkpoints", "only-000004"));
      const second = await RunDirectory.resume(path, RECIPE);
      expect(second.resumedFrom?.manifest.step).toBe(2);
      expect(second.warnings).toHaveLength(1);
      expect(second.warnings[0]).toContain("only-000004 is damaged");
      expect(readRun(path).metrics).toHaveLength(2);
      expect(readdirSync(join(path, "checkpoints")).sort()).toEqual(["damaged-only-000004", "only-000002"]);
      await train(second, 2, 4);
      second.close();
      expect(readdirSync(join(path, "checkpoints")).sort()).toEqual([
        "damaged-only-000004",
        "only-000002",
        "only-000004",
      ]);
    });
  }

  it("refuses where no checkpoint is sound, and changes nothing", async () => {
    const path = join(root, "r");
    const first = await RunDirectory.create(path, RECIPE);
    await train(first, 0, 5);
    first.close();
    const before = bytes(path, "metrics");
    for (const name of ["only-000002", "only-000004"]) damages["a flipped byte"]!(join(path, "checkpoints", name));
    await expect(RunDirectory.resume(path, RECIPE)).rejects.toThrow(
      /only-000004: engine\/weights\.bin does not have the checksum[\s\S]*only-000002[\s\S]*Nothing was changed/,
    );
    expect(bytes(path, "metrics")).toBe(before);
    expect(readdirSync(join(path, "checkpoints")).sort()).toEqual(["only-000002", "only-000004"]);
  });

  it("takes the checkpoint before one whose log has lost its end", async () => {
    const path = join(root, "r");
    const first = await RunDirectory.create(path, RECIPE);
    await train(first, 0, 4);
    first.close();
    writeFileSync(join(path, "rollouts.jsonl"), readFileSync(join(path, "rollouts.jsonl")).subarray(0, 700));
    const second = await RunDirectory.resume(path, RECIPE);
    expect(second.resumedFrom?.manifest.step).toBe(2);
    expect(second.warnings[0]).toMatch(/rollouts\.jsonl has 700 bytes where the checkpoint counts/);
    second.close();
  });

  it("warns where a checkpoint was made by another processor", async () => {
    const path = join(root, "r");
    const first = await RunDirectory.create(path, RECIPE);
    await train(first, 0, 2);
    first.close();
    const manifestPath = join(path, "checkpoints", "only-000002", "manifest.json");
    const manifest = JSON.parse(readFileSync(manifestPath, "utf8"));
    writeFileSync(manifestPath, JSON.stringify({ ...manifest, environment: { processor: "abacus" } }));
    const second = await RunDirectory.resume(path, RECIPE);
    expect(second.resumedFrom?.manifest.step).toBe(2);
    expect(second.warnings[0]).toMatch(/only-000002 was made elsewhere \(processor: abacus →/);
    second.close();
  });

  it("warns where a checkpoint was made on another device, and writes down which one it goes on on", async () => {
    const path = join(root, "r");
    const first = await RunDirectory.create(path, RECIPE, { device: "webgpu" });
    await train(first, 0, 2);
    first.close();
    const same = await RunDirectory.resume(path, RECIPE, { device: "webgpu" });
    expect(same.warnings).toEqual([]);
    same.close();
    const second = await RunDirectory.resume(path, RECIPE, { device: "cpu" });
    expect(second.warnings[0]).toMatch(/only-000002 was made elsewhere \(device: webgpu → cpu\).*not bit for bit/);
    second.close();
    expect(
      readRun(path)
        .events.map(({ device }) => device)
        .filter(Boolean),
    ).toEqual(["webgpu", "webgpu", "cpu"]);
  });

  it("names the keys of a recipe that has changed", async () => {
    const path = join(root, "r");
    (await RunDirectory.create(path, RECIPE)).close();
    const changed = { ...RECIPE, seed: 2, stages: [{ name: "only", steps: 10, learningRate: 0.002 }] };
    await expect(RunDirectory.resume(path, changed)).rejects.toThrow(
      /seed was 1, now 2\n.*stages\.0\.learningRate was 0\.001, now 0\.002/,
    );
    (await RunDirectory.resume(path, RECIPE)).close();
  });

  it("refuses a directory without a run, and a run that is complete", async () => {
    await expect(RunDirectory.resume(join(root, "none"), RECIPE)).rejects.toThrow(/no run to resume/);
    const run = await RunDirectory.create(join(root, "r"), RECIPE);
    await run.finish({});
    run.close();
    await expect(RunDirectory.resume(join(root, "r"), RECIPE)).rejects.toThrow(/complete/);
  });

  it("cuts off the line of the diary that a killed process was writing", async () => {
    const path = join(root, "r");
    (await RunDirectory.create(path, RECIPE)).close();
    appendFileSync(join(path, "events.jsonl"), '{"at":"2026-01-01T00:');
    (await RunDirectory.resume(path, RECIPE)).close();
    expect(readRun(path).events.map(({ event }) => event)).toEqual(["started", "resumed"]);
  });

  it("refuses a recipe file that is no YAML any more, and a summary that is not in its form", async () => {
    const path = join(root, "r");
    const run = await RunDirectory.create(path, RECIPE);
    await run.finish({ ...SUMMARY, seed: "one" });
    run.close();
    expect(() => readRun(path)).toThrow(RunDirError);
    expect(() => readRun(path)).toThrow(/summary\.json is not as Aha writes it/);
    rmSync(join(path, "summary.json"));
    writeFileSync(join(path, "recipe.yaml"), "a: [1");
    await expect(RunDirectory.resume(path, RECIPE)).rejects.toThrow(RunDirError);
    await expect(RunDirectory.resume(path, RECIPE)).rejects.toThrow(/Cannot read .*recipe\.yaml: it is not YAML/);
  });

  it("removes what a killed process left unfinished", async () => {
    const path = join(root, "r");
    (await RunDirectory.create(path, RECIPE)).close();
    mkdirSync(join(path, "checkpoints", ".unfinished-only-000002-1"));
    (await RunDirectory.resume(path, RECIPE)).close();
    expect(readdirSync(join(path, "checkpoints"))).toEqual([]);
  });
});

describe("reading a run", () => {
  it("leaves out a last line that is still being written", async () => {
    const run = await RunDirectory.create(join(root, "r"), RECIPE);
    run.stage("only").metrics({ step: 1, loss: 2 });
    appendFileSync(join(run.path, "metrics.jsonl"), '{"stage":"on');
    expect(readRun(run.path).metrics).toEqual([{ stage: "only", step: 1, loss: 2 }]);
    run.close();
  });

  it("names file and line of anything that is not a record", async () => {
    const run = await RunDirectory.create(join(root, "r"), RECIPE);
    run.stage("only").metrics({ step: 1, loss: 2 });
    appendFileSync(join(run.path, "metrics.jsonl"), '{"stage":"only","step":"two"}\n');
    expect(() => readRun(run.path)).toThrow(/metrics\.jsonl:2: step/);
    run.close();
  });
});
