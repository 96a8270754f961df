/** Commands that read a model which is on a Tinker server: what they print, and what they refuse by name. */

import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { main } from "../../src/cli/main.ts";
import { Compute } from "../../src/compute/compute.ts";
import { dataSteps } from "../../src/data-steps/steps.ts";
import { diskFolder } from "../../src/disk-folder.ts";
import type { Diagnosis } from "../../src/doctor/diagnosis.ts";
import { loadRecipe } from "../../src/recipe/load.ts";
import { writeInitialModel } from "../../src/recipe/model.ts";
import type { RunSummary } from "../../src/run/summary.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import { recordedConsole } from "../cli/console.ts";
import { QUICK, runSmoke, SMOKE_RECIPE } from "../recipe/smoke.ts";
import { type StartedTinker, startTinker } from "./tinker-server.ts";

let root: string;
/** The base on the server, and a directory with its tokenizer and configuration alone, as a client has it. */
let base: string;
let client: string;
let server: StartedTinker;

const SHORT = [...QUICK, "stages.r1-zero.iterations=2", "evaluation.problems=2", "keepCheckpoints=1"];

const engineOf = (profile: string) => `{kind: tinker, url: "${server.url}", baseModel: base, profile: ${profile}}`;

const settings = (profile: string) => [
  ...SHORT,
  `model={path: ${client}, lora: {rank: 4, alpha: 32}}`,
  `engine=${engineOf(profile)}`,
];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-tinker-commands-"));
  [base, client] = [join(root, "base"), join(root, "client")];
  mkdirSync(base);
  mkdirSync(client);
  await writeInitialModel(diskFolder(base), (await loadRecipe(SMOKE_RECIPE, [])).model.init!, 1);
  for (const name of readdirSync(base)) {
    if (name.endsWith(".safetensors")) continue;
    copyFileSync(join(base, name), join(client, name));
  }
  const tokenizer = await loadTokenizer(base);
  server = await startTinker({ model: base, tokenizer, name: "base", directory: join(root, "kept"), threads: 1 });
  await runSmoke(join(root, "aha"), { overrides: settings("aha") });
  await runSmoke(join(root, "hosted"), { overrides: settings("hosted") });
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

async function aha(...args: string[]) {
  const console = recordedConsole();
  const code = await main(args, console);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

const lines = (run: string, file: string) =>
  readFileSync(join(root, run, file), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

describe("aha eval", () => {
  const short = ["--problems", "3", "--max-tokens", "12", "--json"];

  it("asks a run's own server for its trained weights, and finds what the embedded engine finds with the adapter", async () => {
    const remote = await aha("eval", join(root, "aha"), ...short);
    expect([remote.code, remote.stderr]).toEqual([0, ""]);
    // The base with its weights is here under another name than the run's, which has none.
    const task = ["prompt=compact", "counts=[3]", "min=1", "max=10", "values={min: 0, max: 99}"];
    const set = task.flatMap((option) => ["--set", `task.${option}`]);
    const adapter = ["--adapter", join(root, "aha/model"), "--threads", "1", "--seed", "1"];
    const local = await aha("eval", base, ...adapter, "--task", "countdown", ...set, ...short);
    const { engine, statistics } = JSON.parse(remote.stdout) as Record<string, unknown>;
    expect(engine).toMatchObject({ kind: "tinker", baseModel: "base" });
    expect((JSON.parse(local.stdout) as Record<string, unknown>).statistics).toEqual(statistics);
  });

  it("has the base by --engine, by the protocol alone too", async () => {
    const task = ["--task", "countdown", "--set", "task.prompt=compact"];
    const first = await aha("eval", client, "--engine", engineOf("aha"), ...task, ...short);
    const second = await aha("eval", base, "--threads", "1", ...task, ...short);
    const statistics = ({ stdout }: { readonly stdout: string }) =>
      (JSON.parse(stdout) as { readonly statistics: object }).statistics;
    expect(statistics(first)).toEqual(statistics(second));
    const plain = await aha("eval", join(root, "hosted"), ...short);
    expect([plain.code, plain.stderr]).toEqual([0, ""]);
  });

  it.each<[string, string[], RegExp]>([
    ["an adapter that is here alone", ["--adapter", "ADAPTER"], /on this machine, and the Tinker protocol has no way/],
    ["a device of this machine", ["--device", "cpu"], /--device is of the embedded engine/],
  ])("refuses %s", async (_, more, message) => {
    const adapter = join(root, "adapter");
    mkdirSync(adapter, { recursive: true });
    writeFileSync(join(adapter, "adapter_config.json"), "{}");
    const args = more.map((arg) => (arg === "ADAPTER" ? adapter : arg));
    const task = ["--task", "countdown", "--set", "task.prompt=compact"];
    const { code, stderr } = await aha("eval", client, ...task, "--engine", engineOf("aha"), ...args);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });

  it("refuses weights of another base", async () => {
    const other = await startTinker({ model: base, tokenizer: await loadTokenizer(base), name: "other", threads: 1 });
    const engine = `{kind: tinker, url: "${other.url}", baseModel: other}`;
    const { code, stderr } = await aha("eval", join(root, "aha"), "--engine", engine);
    expect(code).toBe(1);
    expect(stderr).toMatch(/engine\.baseModel is "other", and the weights of .*model are of "base"/);
  });
});

describe("aha chat", () => {
  const prompt = ["--prompt", "[2,3,4]=9", "--max-tokens", "6", "--json"];

  it.each(["aha", "hosted"])("answers by the profile %s", async (profile) => {
    const { code, stdout, stderr } = await aha("chat", client, "--engine", engineOf(profile), ...prompt);
    expect([code, stderr]).toEqual([0, ""]);
    const { tokens } = JSON.parse(stdout) as { readonly tokens: number };
    expect(tokens).toBeGreaterThan(0);
    expect(tokens).toBeLessThanOrEqual(6);
  });

  it("refuses penalties where the protocol has none", async () => {
    const more = ["--repetition-penalty", "1.1"];
    const { code, stderr } = await aha("chat", client, "--engine", engineOf("hosted"), ...prompt, ...more);
    expect(code).toBe(1);
    expect(stderr).toMatch(/no repetition penalty \(1\.1,.*--repetition-penalty 1/);
  });
});

it("aha model score gives the embedded engine's numbers", async () => {
  const file = join(root, "tokens.json");
  writeFileSync(file, "[[5, 6, 7, 8], [9, 4]]");
  const scores = async (...args: string[]) =>
    (JSON.parse((await aha("model", "score", ...args, "--tokens", file, "--json")).stdout) as number[][]).flat();
  const own = await scores(base, "--threads", "1");
  const remote = await scores(client, "--engine", engineOf("hosted"));
  expect(remote).toHaveLength(4);
  for (const [i, value] of remote.entries()) expect(Math.abs(value - own[i]!)).toBeLessThan(1e-5);
  expect(await scores(client, "--engine", engineOf("aha"))).toEqual(own);
});

it("a data step samples there what it samples here", async () => {
  const task = { name: "countdown", prompt: "compact", counts: [3], min: 1, max: 10, values: { min: 0, max: 99 } };
  const step = dataSteps.get("rejectionSampling");
  const rows = async (name: string, keysOfModel: object) => {
    const directory = join(root, name);
    mkdirSync(directory);
    const keys = { ...keysOfModel, task, prompts: 3, samples: 2, maxCompletionTokens: 10, seed: 3, keep: [] };
    const compute = Compute.open({ threads: 1 });
    await step.run(step.schema().parse(keys), { directory, compute, signal: new AbortController().signal });
    const file = (readdirSync(directory, { recursive: true }) as string[]).find((path) => path.endsWith("train.jsonl"));
    return readFileSync(join(directory, file!), "utf8");
  };
  const engine = { kind: "tinker", url: server.url, baseModel: "base", profile: "aha" };
  expect(await rows("step-remote", { model: { path: client }, engine })).toBe(
    await rows("step-local", { model: { path: base } }),
  );
});

describe("a run", () => {
  it("keeps on the server the states that its directory names, and no others", async () => {
    for (const run of ["aha", "hosted"]) {
      const checkpoints = readdirSync(join(root, run, "checkpoints"));
      const named = checkpoints.flatMap((name) => {
        const read = (file: string) =>
          JSON.parse(readFileSync(join(root, run, "checkpoints", name, file), "utf8")) as Record<string, string | null>;
        return [read("artifact.json").uri, read("tinker.json").reference];
      });
      const result = (JSON.parse(readFileSync(join(root, run, "model/artifact.json"), "utf8")) as { uri: string }).uri;
      const models = new Set(named.flatMap((uri) => (uri ? [uri.split("/")[2]!] : [])));
      const kept: string[] = [];
      for (const model of models) {
        const answer = await fetch(`${server.url}/api/v1/training_runs/${model}/checkpoints`);
        const { checkpoints: there } = (await answer.json()) as { checkpoints: { tinker_path: string }[] };
        kept.push(...there.map(({ tinker_path }) => tinker_path));
      }
      const expected = new Set([...named, result].filter((uri) => uri && models.has(uri.split("/")[2]!)));
      expect(new Set(kept)).toEqual(expected);
    }
  });

  it("says what it had computed", () => {
    for (const run of ["aha", "hosted"]) {
      const { usage } = JSON.parse(readFileSync(join(root, run, "summary.json"), "utf8")) as RunSummary;
      const rollouts = lines(run, "rollouts.jsonl");
      const evaluated = lines(run, "evaluations.jsonl").flatMap(
        ({ completions }) => completions as Record<string, unknown>[],
      );
      const written = [...rollouts, ...evaluated].reduce((sum, { lengthTokens }) => sum + (lengthTokens as number), 0);
      // By the protocol alone the probe samples 9 tokens, and each text that the reference scores costs one more.
      const [least, most] = run === "aha" ? [0, 0] : [10, 10 + rollouts.length];
      expect(usage!.sampledTokens).toBeGreaterThanOrEqual(written + least);
      expect(usage!.sampledTokens).toBeLessThanOrEqual(written + most);
      for (const tokens of Object.values(usage!)) expect(tokens).toBeGreaterThan(0);
    }
  });
});

describe("aha doctor", () => {
  const look = async (...set: string[]) => {
    const all = [...settings("hosted"), ...set].flatMap((one) => ["--set", one]);
    const { stdout } = await aha("doctor", SMOKE_RECIPE, "--skip-sampling", "--json", ...all);
    return JSON.parse(stdout) as Diagnosis;
  };

  it("looks at the server, and says what it cannot know", async () => {
    const { findings, unchecked } = await look();
    expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
    expect(unchecked.join("\n")).toMatch(/adapter of rank 4[\s\S]*memory on the server/);
  });

  it.each<[string, string, RegExp]>([
    [
      "what it does not have",
      "stages.r1-zero.temperature=0.7",
      /temperature needs .*scoringTemperature.*tinker \(hosted/,
    ],
    ["a base that it does not serve", "engine.baseModel=huge", /has base, not "huge"/],
    ["a server that is not there", "engine.url=http://127.0.0.1:9", /127\.0\.0\.1:9 could not be asked/],
  ])("finds %s before a run starts", async (_, change, message) => {
    const { findings } = await look(change, "engine.patienceSeconds=0.1");
    const errors = findings.filter(({ severity }) => severity === "error");
    expect(errors.map(({ measured }) => measured).join("\n")).toMatch(message);
  });
});
