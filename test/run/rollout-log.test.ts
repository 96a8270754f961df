/** Rollouts in files of bounded size: what is there after rotation, resumption, and a process that dies half-way. */

import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RunDirError } from "../../src/errors.ts";
import type { RolloutRecord } from "../../src/run/records.ts";
import { RolloutLog, type RolloutPosition, rolloutDamage } from "../../src/run/rollout-log.ts";
import { rolloutsFromParquet, rolloutsToParquet } from "../../src/run/rollout-parquet.ts";
import type { RolloutFiles } from "../../src/run/run-store.ts";
import { readRollouts } from "./read-rollouts.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "aha-rollouts-"));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function row(i: number, stage = "r1"): RolloutRecord {
  return {
    stage,
    iteration: Math.floor(i / 2),
    promptId: i + 2 ** 31,
    sample: i % 2,
    prompt: `${i} + 1 = `,
    completion: i % 3 === 0 ? "" : `zwei — 二 👋\n"${"x".repeat(i % 7)}"`,
    rewards: {
      format: { score: 0.1 + i, reason: "fine" },
      "./my.ts#own/one": i % 2 ? { score: null, reason: "" } : { score: -1e-30, reason: "a\tb" },
    },
    reward: i % 4 === 3 ? null : 1 / (i + 1),
    advantage: -0.25,
    solved: i % 3 === 0,
    finishReason: i % 2 ? "stop" : "length",
    promptTokens: 4,
    lengthTokens: 3,
    samplerLogprob: i % 5 === 4 ? null : -0.123456789,
    tokens: [1, 50_000 + i, 0],
    samplerLogprobs: [-0.1, null, -17.25],
  };
}

const rows = (count: number, stage?: string) => Array.from({ length: count }, (_, i) => row(i, stage));
const sizeOf = (one: RolloutRecord) => Buffer.byteLength(JSON.stringify(one)) + 1;

function open(directory: string, files: Partial<RolloutFiles> = {}): RolloutLog {
  const log = new RolloutLog(directory);
  log.keepAs({ format: "jsonl", maxFileBytes: 1200, ...files });
  return log;
}

/** Every file of the folder. */
function content(directory: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(directory)
      .sort()
      .map((name) => [name, readFileSync(join(directory, name)).toString("base64")]),
  );
}

describe("rollouts as Parquet", () => {
  it("come back as they were, key by key, so that the same JSON Lines can be written again", async () => {
    const file = join(root, "some.parquet");
    writeFileSync(file, rolloutsToParquet(rows(9)));
    const back = await rolloutsFromParquet(file);
    expect(back).toEqual(rows(9));
    expect(back.map((one) => JSON.stringify(one))).toEqual(rows(9).map((one) => JSON.stringify(one)));
  });

  it("have columns that other programs read, and none that no row has", async () => {
    const { tokens: _, samplerLogprobs: __, ...short } = row(1);
    const file = join(root, "some.parquet");
    writeFileSync(file, rolloutsToParquet([short]));
    const { parquetReadObjects } = await import("hyparquet");
    const bytes = readFileSync(file);
    const [object] = await parquetReadObjects({
      file: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength),
    });
    expect(Object.keys(object!)).toEqual([
      ...["stage", "iteration", "promptId", "sample", "prompt", "completion"],
      ...["rewards/format/score", "rewards/format/reason", "rewards/./my.ts#own/one/score"],
      ...[
        "rewards/./my.ts#own/one/reason",
        "reward",
        "advantage",
        "solved",
        "finishReason",
        "promptTokens",
        "lengthTokens",
      ],
      "samplerLogprob",
    ]);
  });

  it("are refused where something else has changed them", async () => {
    const file = join(root, "some.parquet");
    writeFileSync(file, rolloutsToParquet(rows(2)).subarray(0, 60));
    await expect(rolloutsFromParquet(file)).rejects.toThrow(RunDirError);
  });
});

describe.each(["jsonl", "parquet"] as const)("a log of rollouts, %s", (format) => {
  it("is cut into files before they are too large, and read back as one", async () => {
    const log = open(root, { format });
    log.append(rows(3));
    for (const one of rows(12).slice(3)) log.append([one]);
    log.finish();
    log.close();
    const names = readdirSync(root);
    expect(names.filter((name) => name.startsWith("rollouts-")).length).toBeGreaterThan(2);
    expect(names.filter((name) => name.endsWith(format === "jsonl" ? ".parquet" : ".jsonl"))).toEqual([]);
    for (const name of names.filter((one) => one.endsWith(".jsonl"))) {
      expect(readFileSync(join(root, name)).length).toBeLessThanOrEqual(1200);
    }
    expect(await readRollouts(root)).toEqual(rows(12));
  });

  it("goes back to any place of its past, and then makes the same files as before", async () => {
    const whole = join(root, "whole");
    mkdirSync(whole);
    const all = rows(10);
    const straight = open(whole, { format });
    const places: RolloutPosition[] = [];
    for (const one of all) {
      places.push(straight.position);
      straight.append([one]);
    }
    // A process that is killed here has no last words.
    straight.close();
    for (const [done, place] of places.entries()) {
      const copy = join(root, `from-${done}`);
      cpSync(whole, copy, { recursive: true });
      expect(rolloutDamage(copy, place)).toBeUndefined();
      const log = new RolloutLog(copy);
      await log.cutBack(place);
      expect(log.position).toEqual(place);
      log.keepAs({ format, maxFileBytes: 1200 });
      expect(await readRollouts(copy)).toEqual(all.slice(0, done));
      for (const one of all.slice(done)) log.append([one]);
      log.close();
      expect(content(copy)).toEqual(content(whole));
    }
  });

  it("keeps the newest full files, and those that checkpoints point into until the run is complete", async () => {
    const log = open(root, { format, maxFileBytes: sizeOf(row(1)) + 20, keepFiles: 2 });
    const files = () => readdirSync(root).flatMap((name) => /-0*(\d+)\./.exec(name)?.[1] ?? []);
    log.append(rows(2));
    const place = log.position;
    expect(place.file).toBe(2);
    log.pin([2]);
    log.append(rows(8).slice(2));
    expect(files()).toEqual(["2", "6", "7"]);
    log.finish();
    log.close();
    expect(files()).toEqual(format === "jsonl" ? ["6", "7"] : ["7", "8"]);
    expect((await readRollouts(root)).at(-1)).toEqual(row(7));
    expect(rolloutDamage(root, place)).toMatch(/file 2 of the rollouts is not there/);
  });
});

describe("a process that dies between two changes of the file system", () => {
  it("after the full file was renamed, and before it was Parquet: it is made again", async () => {
    const log = open(root, { format: "parquet" });
    log.append(rows(2));
    const place = log.position;
    log.close();
    renameSync(join(root, "rollouts.jsonl"), join(root, "rollouts-000001.jsonl"));
    expect(await readRollouts(root)).toEqual(rows(2));
    const again = open(root, { format: "parquet" });
    expect(readdirSync(root)).toEqual(["rollouts-000001.parquet", "rollouts.jsonl"]);
    await again.cutBack(place);
    again.append([row(2)]);
    again.close();
    expect(await readRollouts(root)).toEqual(rows(3));
  });

  it("before the lines were removed that are Parquet now: no row is read twice", async () => {
    const log = open(root, { format: "parquet" });
    log.append(rows(2));
    log.close();
    renameSync(join(root, "rollouts.jsonl"), join(root, "rollouts-000001.jsonl"));
    writeFileSync(join(root, "rollouts-000001.parquet"), rolloutsToParquet(rows(2)));
    expect(await readRollouts(root)).toEqual(rows(2));
    open(root, { format: "parquet" }).close();
    expect(existsSync(join(root, "rollouts-000001.jsonl"))).toBe(false);
    expect(await readRollouts(root)).toEqual(rows(2));
  });
});

it("each stage has Parquet files of its own, for its rewards have columns of their own", async () => {
  const log = open(root, { format: "parquet", maxFileBytes: 10_000 });
  const other = { ...row(1, "second"), rewards: { equation: { score: 1, reason: "right" } } };
  log.append([row(0), other]);
  log.finish();
  log.close();
  expect(readdirSync(root)).toEqual(["rollouts-000001.parquet", "rollouts-000002.parquet"]);
  expect(await readRollouts(root)).toEqual([row(0), other]);
});

it("a reason that ends in half of a character is written as text that every program reads", async () => {
  const log = open(root);
  log.append([{ ...row(1), rewards: { own: { reason: "👋".slice(0, 1), score: 1 } } }]);
  log.close();
  expect((await readRollouts(root))[0]!.rewards).toEqual({ own: { score: 1, reason: "\ufffd" } });
});
