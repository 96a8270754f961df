/** The key of a Tinker server, which stands in no file of a run, in nothing that is printed, and in no error. */

import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { main } from "../../src/cli/main.ts";
import { diskFolder } from "../../src/disk-folder.ts";
import { serverCapabilities } from "../../src/engine/tinker/tinker-client.ts";
import { REAL_CLOCK, Transport } from "../../src/engine/tinker/transport.ts";
import { loadRecipe } from "../../src/recipe/load.ts";
import { writeInitialModel } from "../../src/recipe/model.ts";
import { filesBelow } from "../../src/run/whole-folder.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import { recordedConsole } from "../cli/console.ts";
import { SMOKE_RECIPE } from "../recipe/smoke.ts";
import { type StartedTinker, startTinker } from "./tinker-server.ts";

const KEY = "tml-never-to-be-seen-7f3a91";
/** A part of it is as bad. */
const PART = /never-to-be-seen|7f3a91/;

let root: string;
let base: string;
let server: StartedTinker;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-tinker-key-"));
  base = join(root, "base");
  mkdirSync(base);
  await writeInitialModel(diskFolder(base), (await loadRecipe(SMOKE_RECIPE, [])).model.init!, 1);
  const tokenizer = await loadTokenizer(base);
  const kept = join(root, "kept");
  server = await startTinker({ model: base, tokenizer, name: "base", directory: kept, threads: 1, apiKey: KEY });
});

afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

const engineAt = (url: string, patience = 20) =>
  `{kind: tinker, url: "${url}", baseModel: base, profile: hosted, patienceSeconds: ${patience}}`;

async function aha(...args: string[]) {
  const console = recordedConsole();
  const code = await main(args, console);
  return { code, printed: console.stdout() + console.stderr() };
}

/** Trains at this address. */
function train(run: string, url: string) {
  const settings = [
    "stages.cold-start.steps=2",
    "stages.cold-start.checkpointEvery=2",
    "stages.r1-zero.iterations=1",
    "stages.r1-zero.maxCompletionTokens=8",
    "evaluation.problems=1",
    `model={path: ${base}, lora: {rank: 2, alpha: 32}}`,
    `engine=${engineAt(url)}`,
  ];
  return aha("run", SMOKE_RECIPE, "--out", join(root, run), ...settings.flatMap((setting) => ["--set", setting]));
}

/** The files below a directory in which the key stands. */
async function revealing(directory: string): Promise<string[]> {
  const files = await filesBelow(directory);
  expect(files.length).toBeGreaterThan(5);
  return files.filter((file) => PART.test(readFileSync(join(directory, file), "latin1")));
}

describe("the key from the environment", () => {
  it("stands in no file that a run or the server leaves, in no archive of them, and in nothing that is printed", async () => {
    vi.stubEnv("TINKER_API_KEY", KEY);
    const { code, printed } = await train("run", server.url);
    expect([code, printed.length > 100]).toEqual([0, true]);
    expect(printed).not.toMatch(PART);
    const evaluated = await aha("eval", join(root, "run"), "--problems", "1", "--max-tokens", "2", "--json");
    expect(evaluated.code).toBe(0);
    expect(evaluated.printed).not.toMatch(PART);
    expect(await revealing(join(root, "run"))).toEqual([]);
    expect(await revealing(server.directory)).toEqual([]);
    expect(server.defects).toEqual([]);
    // The search finds what is there.
    copyFileSync(join(root, "run/recipe.yaml"), join(root, "run/copy.yaml"));
    appendFileSync(join(root, "run/copy.yaml"), KEY);
    expect(await revealing(join(root, "run"))).toEqual(["copy.yaml"]);
  });

  it.each<[string, string, RegExp]>([
    ["a wrong key (401)", `${KEY}-wrong`, /401.*TINKER_API_KEY/],
    ["a key that no header can carry", `${KEY}\nand more`, /TINKER_API_KEY has characters/],
    ["a key of letters that no header can carry", `${KEY}ü€`, /TINKER_API_KEY has characters/],
  ])("is not in the error about %s", async (_, key, message) => {
    vi.stubEnv("TINKER_API_KEY", key);
    const { code, printed } = await train("refused", server.url);
    expect(code).toBe(1);
    expect(printed).toMatch(message);
    expect(printed).not.toMatch(PART);
    if (existsSync(join(root, "refused"))) {
      const files = await filesBelow(join(root, "refused"));
      expect(files.filter((file) => PART.test(readFileSync(join(root, "refused", file), "latin1")))).toEqual([]);
      rmSync(join(root, "refused"), { recursive: true });
    }
  });

  it("is taken out of what a server says that repeats it", async () => {
    vi.stubEnv("TINKER_API_KEY", KEY);
    for (const [status, message] of [
      [401, /401\): The key \[key\] is not known/],
      [503, /503 The key \[key\] is not known/],
    ] as const) {
      const repeating = createServer((request, response) => {
        response.writeHead(status, { "content-type": "application/json" });
        response.end(JSON.stringify({ detail: `The key ${request.headers["x-api-key"]} is not known.` }));
      });
      await new Promise<void>((resolve) => repeating.listen(0, "127.0.0.1", resolve));
      const { port } = repeating.address() as { port: number };
      const { code, printed } = await aha(
        "doctor",
        SMOKE_RECIPE,
        "--set",
        `engine=${engineAt(`http://127.0.0.1:${port}`, 0.3)}`,
      );
      repeating.close();
      expect(code, `${status}`).not.toBe(0);
      expect(printed.replaceAll(/\s+/g, " "), `${status}`).toMatch(message);
      expect(printed, `${status}`).not.toMatch(PART);
    }
  });
});

describe("a part of the key", () => {
  const said = (status: number, text: string) => {
    const answer = { status, header: () => null, body: new TextEncoder().encode(text) };
    const options = { url: "http://tinker.test", apiKey: KEY, patienceMs: 0, clock: REAL_CLOCK };
    return serverCapabilities(new Transport({ ...options, wire: async () => answer })).then(
      () => "nothing",
      (error: Error) => error.message,
    );
  };

  it("is not shown where what a server says is cut within it, or is no JSON", async () => {
    // Whatever place of the key the cut of an answer falls on.
    for (let before = 300 - KEY.length; before <= 300; before++) {
      for (const status of [200, 400, 500]) {
        const message = await said(status, `${"x".repeat(before)}${KEY}`);
        expect(message, `${status} after ${before}`).toContain("xxx");
        for (let most = 4; most <= KEY.length; most++) expect(message).not.toContain(KEY.slice(0, most));
      }
    }
    expect(await said(200, `no JSON for ${KEY}`)).toMatch(/with no JSON: no JSON for \[key\]$/);
    // JSON writes a letter in more than one way.
    expect(await said(400, `{"detail":"\\u0074${KEY.slice(1)}"}`)).toMatch(/\[key\]/);
  });
});

describe("a key in an address", () => {
  it.each<[string, string]>([
    ["of the engine", `engine=${engineAt(`http://ann:${KEY}@127.0.0.1:9`)}`],
    ["of the engine, as its user", `engine=${engineAt(`http://${KEY}@127.0.0.1:9`)}`],
    ["of the engine, in its query", `engine=${engineAt(`http://127.0.0.1:9/?key=${KEY}`)}`],
    ["of a tracker", `track=[{name: mlflow, uri: "http://ann:${KEY}@127.0.0.1:9"}]`],
    [
      "of a judge",
      `stages.r1-zero.rewards=[{name: judge, options: {baseUrl: "http://ann:${KEY}@127.0.0.1:9/v1", model: m}}]`,
    ],
  ])("%s is refused by name before anything is written, and not shown", async (_, setting) => {
    const out = join(root, "never");
    const { code, printed } = await aha("run", SMOKE_RECIPE, "--out", out, "--set", setting);
    expect(code).not.toBe(0);
    expect(printed).toMatch(/holds a (user name or password|query)/);
    expect(printed).not.toMatch(PART);
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(root)).not.toContain("never");
  });
});
