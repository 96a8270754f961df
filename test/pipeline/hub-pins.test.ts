/** Names on the Hub in a pipeline, from a cache on the disk; nothing is asked of the network. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { main } from "../../src/cli/main.ts";
import { pinHubNames } from "../../src/pipeline/hub-pins.ts";
import { loadPipeline, resolveStages } from "../../src/pipeline/load.ts";
import { recordedConsole } from "../cli/console.ts";

const [FIRST, SECOND] = ["a".repeat(40), "b".repeat(40)];

let root: string;
let file: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-hub-pins-"));
  file = join(root, "pipeline.yaml");
  writeFileSync(
    file,
    "name: pins\nthreads: 1\npipeline:\n  - { name: mix, combine: { data: [{ path: org/rows }] } }\n",
  );
  vi.stubEnv("HF_HUB_CACHE", join(root, "cache"));
  vi.stubEnv("HF_HUB_OFFLINE", "1");
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

/** What a pull leaves: the files of a commit, and what the branch means now. */
function cache(commit: string, prompts: readonly string[]): void {
  const repository = join(root, "cache", "datasets--org--rows");
  const snapshot = join(repository, "snapshots", commit);
  mkdirSync(snapshot, { recursive: true });
  mkdirSync(join(repository, "refs"), { recursive: true });
  writeFileSync(join(snapshot, "train.jsonl"), prompts.map((prompt) => `{"prompt":"${prompt}"}\n`).join(""));
  writeFileSync(join(repository, "refs", "main"), commit);
}

async function run(...args: string[]) {
  const console = recordedConsole();
  const code = await main(["run", file, "--out", join(root, "out"), ...args], console);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

const planned = async () =>
  (JSON.parse((await run("--dry-run", "--json")).stdout) as { stages: { action: string; reason: string }[] })
    .stages[0]!;
const rows = () => readFileSync(join(root, "out", "stages", "mix", "data", "train.jsonl"), "utf8");

describe("a data set of the Hub in a pipeline", () => {
  it("is pinned to its commit: a stage runs again when the name means another one, and not before", async () => {
    const missing = await run("--quiet");
    expect([missing.code, missing.stderr]).toEqual([1, expect.stringMatching(/org\/rows is not in the cache/)]);
    cache(FIRST, ["one"]);
    expect((await run("--quiet")).code).toBe(0);
    expect(rows()).toBe('{"prompt":"one"}\n');
    expect(readFileSync(join(root, "out", "lineage.json"), "utf8")).toContain(`"org/rows@${FIRST}"`);
    expect(await planned()).toMatchObject({ action: "reuse" });
    cache(SECOND, ["two"]);
    expect(await planned()).toMatchObject({
      action: "run",
      reason: `changed: mix.data.0.path "org/rows@${FIRST}" → "org/rows@${SECOND}"`,
    });
    expect((await run("--quiet")).code).toBe(0);
    expect(rows()).toBe('{"prompt":"two"}\n');
  });

  it("is that of the lineage where the cache was emptied, and of a stage that was begun", async () => {
    const pipeline = await loadPipeline(file);
    const stages = resolveStages(pipeline, join(root, "out"));
    const record = (state: string) =>
      ({ stages: { mix: { state, ingredients: { config: { data: [{ path: `org/rows@${FIRST}` }] } } } } }) as never;
    const pathWith = async (lineage: never | undefined, asked?: string) => {
      const askHub = asked === undefined ? undefined : async () => asked;
      const pinned = await pinHubNames(pipeline, stages, { lineage, askHub });
      return (pinned.stages[0]!.work as unknown as { config: { data: { path: string }[] } }).config.data[0]!.path;
    };
    expect(await pathWith(record("begun"))).toBe(`org/rows@${FIRST}`);
    expect(await pathWith(record("finished"))).toBe(`org/rows@${SECOND}`);
    rmSync(join(root, "cache"), { recursive: true });
    expect(await pathWith(record("finished"), "asked")).toBe(`org/rows@${FIRST}`);
    expect(await pathWith(undefined, "asked")).toBe("asked");
    expect(await pathWith(undefined)).toBe("org/rows");
  });
});
