/** Runs of a recipe on a Tinker server: the bytes that the embedded engine leaves, in one go, resumed, and after the server's end. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { RunInterrupted } from "../../src/errors.ts";
import { loadRecipe } from "../../src/recipe/load.ts";
import { writeInitialModel } from "../../src/recipe/model.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import { QUICK, runSmoke, SMOKE_RECIPE } from "../recipe/smoke.ts";
import { type StartedTinker, startTinker } from "./tinker-server.ts";

let root: string;
let model: string;
let server: StartedTinker;

const start = async (port = 0) => {
  const tokenizer = await loadTokenizer(model);
  return startTinker({ model, tokenizer, port, name: "base", directory: join(root, "kept"), threads: 1 });
};

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-tinker-run-"));
  model = join(root, "base");
  const recipe = await loadRecipe(SMOKE_RECIPE, []);
  mkdirSync(model);
  await writeInitialModel(diskFolder(model), recipe.model.init!, 1);
  server = await start();
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

const overrides = (engine: string) => [
  ...QUICK,
  `model={path: ${model}, lora: {rank: 4, alpha: 8, dropout: 0.1}}`,
  `engine=${engine}`,
];

const remote = () =>
  overrides(`{kind: tinker, url: "${server.url}", baseModel: base, threads: 1, patienceSeconds: 20}`);

const bytes = (run: string, file: string) => readFileSync(join(root, run, file), "utf8");

const FILES = [
  "metrics.jsonl",
  "rollouts.jsonl",
  "evaluations.jsonl",
  "model/adapter_config.json",
  "model/adapter_model.safetensors",
];

describe("a run on Aha's own Tinker server", () => {
  it("leaves the bytes that the embedded engine leaves", async () => {
    await runSmoke(join(root, "local"), { overrides: overrides("{kind: local, threads: 1}") });
    await runSmoke(join(root, "remote"), { overrides: remote() });
    for (const file of FILES) expect(bytes("remote", file), file).toBe(bytes("local", file));
    expect(server.defects).toEqual([]);
  });

  it("leaves them when it was interrupted, and the server was started anew before it went on", async () => {
    const stop = new AbortController();
    const interrupted = runSmoke(join(root, "resumed"), {
      overrides: remote(),
      signal: stop.signal,
      observe: (event) => {
        if (event.type === "metrics" && event.row.step === 8) stop.abort();
      },
    });
    await expect(interrupted).rejects.toThrow(RunInterrupted);
    await server.stop();
    server = await start(Number(new URL(server.url).port));
    await runSmoke(join(root, "resumed"), { overrides: remote(), resume: true });
    for (const file of FILES) expect(bytes("resumed", file), file).toBe(bytes("local", file));
  });
});
