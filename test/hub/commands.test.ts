/** Names on the Hub where commands and recipes take a model, and `aha model pull`, `aha data pull`. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { parse, stringify } from "yaml";
import { main } from "../../src/cli/main.ts";
import { recordedConsole } from "../cli/console.ts";
import { randomModel } from "../eval/models.ts";
import { SMOKE_RECIPE } from "../recipe/smoke.ts";
import { HubServer } from "./hub-server.ts";

let hub: HubServer;
let root: string;
beforeEach(async () => {
  hub = await HubServer.start();
  root = mkdtempSync(join(tmpdir(), "aha-hub-commands-"));
  vi.stubEnv("HF_ENDPOINT", hub.endpoint);
  vi.stubEnv("HF_HUB_CACHE", join(root, "cache"));
  vi.stubEnv("HF_TOKEN", "");
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await hub.close();
  rmSync(root, { recursive: true, force: true });
});

async function aha(...args: string[]) {
  return ahaOn(recordedConsole(), ...args);
}

async function ahaOn(console: ReturnType<typeof recordedConsole>, ...args: string[]) {
  const code = await main(args, console);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

/** Puts a model with random weights on the Hub; returns its commit. */
async function putModel(name: string): Promise<string> {
  const directory = await randomModel("countdown-compact");
  const files = Object.fromEntries(readdirSync(directory).map((file) => [file, readFileSync(join(directory, file))]));
  rmSync(directory, { recursive: true });
  return hub.put(name, files);
}

describe("aha model pull", () => {
  it("prints the directory alone on standard output, and what happens on standard error", async () => {
    const commit = await putModel("org/tiny");
    const { code, stdout, stderr } = await aha("model", "pull", "org/tiny");
    expect(code).toBe(0);
    expect(stdout).toBe(`${join(root, "cache/models--org--tiny/snapshots", commit)}\n`);
    expect(stderr).toMatch(/^Downloading org\/tiny \(commit [0-9a-f]{12}\): 5 files, /);
    expect(stderr).toMatch(/5\/5 files/);
    expect(stderr).not.toContain("\u001b");
    const again = await aha("model", "pull", "org/tiny");
    expect(again.stdout).toBe(stdout);
    expect(again.stderr).toBe(
      `org/tiny is at commit ${commit}: 5 files, ${/5 files, (.*), /.exec(again.stderr)![1]}, all in the cache already.\n`,
    );
  });

  it("shows a bar on a terminal", async () => {
    await putModel("org/tiny");
    const { stderr } = await ahaOn(recordedConsole({ interactive: true }), "model", "pull", "org/tiny");
    expect(stderr).toContain("\r\u001b[K  ████████████████ ");
  });

  it("--json prints one line on standard output and progress as JSON lines on standard error", async () => {
    const commit = await putModel("org/tiny");
    const { stdout, stderr } = await aha("model", "pull", "org/tiny@main", "--json");
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ type: "pulled", name: "org/tiny", revision: "main", commit });
    expect(result.files.map((file: { path: string }) => file.path)).toContain("model.safetensors");
    expect(result.downloadedBytes).toBe(result.sizeBytes);
    const lines = stderr
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines[0]).toMatchObject({ type: "downloading", name: "org/tiny", bytesDone: 0 });
    expect(lines.at(-1)).toMatchObject({ filesDone: 5, bytesDone: result.sizeBytes });
  });

  it("--offline, a bad name, a bad size are errors that say what to do", async () => {
    expect((await aha("model", "pull", "org/tiny", "--offline")).stderr).toContain("is not in the cache");
    expect((await aha("model", "pull", "tiny")).stderr).toContain("Expected org/name");
    expect((await aha("model", "pull", "org/tiny", "--max-size", "big")).stderr).toContain("such as 500MB");
    expect((await aha("model", "pull")).stderr).toContain("expected ORG/NAME[@REVISION]");
    expect((await aha("model", "pul", "org/tiny")).stderr).toContain("Did you mean pull?");
    expect(hub.requests).toEqual([]);
  });

  it("stops at Ctrl-C with exit code 130", async () => {
    await putModel("org/tiny");
    const controller = new AbortController();
    hub.inject((request) => {
      if (request.server === "files") controller.abort();
      return request.server === "files";
    }, 9);
    const { code, stderr } = await ahaOn(
      recordedConsole({ signal: controller.signal }),
      ...["model", "pull", "org/tiny"],
    );
    expect(code).toBe(130);
    expect(stderr).toContain("the same command goes on from there");
  });
});

describe("aha data pull", () => {
  it("downloads a data set, or the files that are asked for", async () => {
    hub.put(
      "org/rows",
      { "train.jsonl": '{"a": 1}\n', "test.jsonl": "{}\n", "README.md": "# Rows" },
      { kind: "dataset" },
    );
    const { code, stdout } = await aha("data", "pull", "org/rows", "--include", "train*");
    expect(code).toBe(0);
    expect(readdirSync(stdout.trim()).sort()).toEqual(["README.md", "train.jsonl"]);
    await aha("data", "pull", "org/rows");
    expect(readdirSync(stdout.trim()).sort()).toEqual(["README.md", "test.jsonl", "train.jsonl"]);
  });
});

describe("a model on the Hub", () => {
  it("is taken by info, score, chat and eval in place of a directory", async () => {
    const commit = await putModel("org/tiny");
    const tokens = join(root, "tokens.json");
    writeFileSync(tokens, "[[1, 2, 3]]");
    const info = await aha("model", "info", "org/tiny", "--json");
    expect(JSON.parse(info.stdout).directory).toContain(commit);
    expect(info.stderr).toContain("Downloading org/tiny");
    const score = await aha("model", "score", `org/tiny@${commit}`, "--tokens", tokens, "--threads", "1", "--json");
    expect(JSON.parse(score.stdout)[0]).toHaveLength(2);
    expect(score.stderr).toBe("");
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    const chat = await aha("chat", "org/tiny", "--prompt", "1 2 3", "--max-tokens", "3", "--threads", "1", "--json");
    expect(JSON.parse(chat.stdout).tokens).toBeLessThanOrEqual(3);
    const sets = ["--threads", "1", "--set", "task.prompt=compact", "--set", "task.counts=[3]", "--set", "task.max=10"];
    const evaluated = await aha(
      "eval",
      "org/tiny",
      "--task",
      "countdown",
      ...sets,
      "--problems",
      "2",
      "--max-tokens",
      "4",
    );
    expect(evaluated.code).toBe(0);
  });

  it("that does not exist is an error that also says that there is no such path", async () => {
    const { code, stderr } = await aha("model", "info", "runs/mistyped-1");
    expect(code).toBe(1);
    expect(stderr).toMatch(/^aha: There is no runs\/mistyped-1 on this disk, so the Hub was asked\. .* has no model/);
    expect((await aha("model", "info", "./runs/mistyped")).stderr).toContain("neither a model directory");
    expect((await aha("chat", "mistyped")).stderr).toContain("neither a model directory");
  });
});

describe("a recipe with a model on the Hub", () => {
  /** The smoke recipe with another model, one quick stage. */
  function writeRecipe(model: string): string {
    const recipe = parse(readFileSync(SMOKE_RECIPE, "utf8"));
    recipe.model = { path: model };
    recipe.stages = [{ ...recipe.stages[0], steps: 4, warmupSteps: 1, checkpointEvery: 1 }];
    const path = join(root, "recipe.yaml");
    writeFileSync(path, stringify(recipe));
    return path;
  }

  it("keeps the commit, and a resume uses the same although the branch has moved", async () => {
    const commit = await putModel("org/tiny");
    const recipe = writeRecipe("org/tiny");
    const out = join(root, "run");
    const controller = new AbortController();
    const console = recordedConsole({ signal: controller.signal });
    const note = console.note;
    const stopping = {
      ...console,
      note: (text: string) => {
        note(text);
        if (text.includes("Stage 1")) controller.abort();
      },
    };
    const code = await main(["run", recipe, "--out", out], stopping);
    expect(console.stderr()).not.toContain("aha:");
    expect(code).toBe(130);
    expect(console.stderr()).toContain("Downloading org/tiny");
    expect(parse(readFileSync(join(out, "recipe.yaml"), "utf8")).model.path).toBe(`org/tiny@${commit}`);

    await putModel("org/tiny");
    hub.requests.length = 0;
    const resumed = await aha("run", recipe, "--out", out, "--resume", "--quiet");
    expect(resumed.stderr).toBe("");
    expect(resumed.code).toBe(0);
    expect(hub.requests).toEqual([]);
    const other = await aha(
      "run",
      recipe,
      "--out",
      join(root, "other"),
      "--set",
      `model.path=org/tiny@${commit}`,
      "--json",
    );
    expect(other.code).toBe(0);
    expect(other.stdout).not.toContain("downloading");
    const metrics = (path: string) => readFileSync(join(path, "metrics.jsonl"), "utf8");
    expect(metrics(join(root, "other"))).toBe(metrics(out));

    vi.stubEnv("HF_TOKEN", hub.token);
    expect((await aha("model", "push", out, "me/trained")).code).toBe(0);
    const card = hub.filesOf("me/trained")["README.md"]!;
    expect(card).toContain("base_model: org/tiny\n");
    expect(card).toMatch(/- cold-start: sft, 4 steps\n[\s\S]*\| after training \| \d+\.\d %/);
    expect(Object.keys(hub.filesOf("me/trained"))).not.toContain("metrics.jsonl");
  });

  it("that cannot be had leaves nothing behind", async () => {
    const out = join(root, "run");
    const recipe = writeRecipe("org/absent");
    const online = await aha("run", recipe, "--out", out);
    expect(online.stderr).toContain("has no model org/absent");
    const offline = await aha("run", recipe, "--out", out, "--offline");
    expect(offline.stderr).toContain("is not in the cache");
    expect(existsSync(out)).toBe(false);
  });
});
