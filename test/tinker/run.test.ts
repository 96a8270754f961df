/**
 * Runs of a recipe on a Tinker server: the bytes that the embedded engine leaves, in one go, resumed, after the server's end,
 * and with the server's process killed under it.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { RunInterrupted } from "../../src/errors.ts";
import { Random } from "../../src/random.ts";
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

const remote = (url = server.url, patience = 20) =>
  overrides(`{kind: tinker, url: "${url}", baseModel: base, threads: 1, patienceSeconds: ${patience}}`);

const bytes = (run: string, file: string) => readFileSync(join(root, run, file), "utf8");

const PROGRAM = join(import.meta.dirname, "../../dist/cli/main.js");

/** The built program as a server of its own, and where it listens. */
async function serve(directory: string, port: number): Promise<{ readonly child: ChildProcess; readonly url: string }> {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run npm run build first (npm test does).`);
  const options = ["--name", "base", "--tinker", "--tinker-dir", directory, "--threads", "1", "--port", `${port}`];
  const child = spawn(process.execPath, [PROGRAM, "serve", model, ...options, "--json"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout!, "data")) as [Buffer];
  return { child, url: (JSON.parse(line.toString()) as { url: string }).url };
}

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

  it("comes to its end by the protocol alone, with a reference, as on other servers", async () => {
    const summary = await runSmoke(join(root, "plain"), {
      overrides: [
        ...QUICK,
        "stages.r1-zero.iterations=1",
        `model={path: ${model}, lora: {rank: 4, alpha: 32}}`,
        `engine={kind: tinker, url: "${server.url}", baseModel: base, threads: 1, profile: hosted}`,
      ],
    });
    expect(summary.stages.map(({ name }) => name)).toEqual(["cold-start", "r1-zero"]);
    expect(bytes("plain", "metrics.jsonl").trim().split("\n").length).toBeGreaterThan(6);
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

  it("leaves those of the embedded engine with maxStaleness 1, interrupted in an iteration and resumed", async () => {
    const ahead = "stages.r1-zero.maxStaleness=1";
    const engine = overrides("{kind: local, threads: 1}");
    await runSmoke(join(root, "ahead-local"), { overrides: [...engine, ahead] });
    const stop = new AbortController();
    const interrupted = runSmoke(join(root, "ahead"), {
      overrides: [...remote(), ahead],
      signal: stop.signal,
      observe: (event) => {
        if (event.type === "progress" && event.progress.phase === "judging" && event.progress.done === 2) stop.abort();
      },
    });
    await expect(interrupted).rejects.toThrow(RunInterrupted);
    await runSmoke(join(root, "ahead"), { overrides: [...remote(), ahead], resume: true });
    for (const file of FILES) expect(bytes("ahead", file), file).toBe(bytes("ahead-local", file));
    expect(bytes("ahead", "metrics.jsonl")).not.toBe(bytes("local", "metrics.jsonl"));
    expect(server.defects).toEqual([]);
  });

  it("leaves them when the server's process is killed at random moments and begun anew, and nobody resumes", async () => {
    const random = new Random(3, "kills");
    const place = join(root, "killed-kept");
    let program = await serve(place, 0);
    const port = Number(new URL(program.url).port);
    let restarting = Promise.resolve();
    let kills = 0;
    const kill = async () => {
      await new Promise((resolve) => setTimeout(resolve, 150 * random.uniform()));
      program.child.kill("SIGKILL");
      await once(program.child, "close");
      kills++;
      program = await serve(place, port);
    };
    try {
      await runSmoke(join(root, "killed"), {
        overrides: remote(program.url, 120),
        observe: (event) => {
          if (event.type !== "metrics" || kills >= 4 || random.uniform() < 0.4) return;
          restarting = restarting.then(kill);
        },
      });
      await restarting;
    } finally {
      program.child.kill("SIGKILL");
    }
    expect(kills).toBeGreaterThan(2);
    for (const file of FILES) expect(bytes("killed", file), file).toBe(bytes("local", file));
  });
});
