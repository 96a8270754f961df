/** `aha eval`, `chat`, `serve` and `model merge` of an adapter that a recipe of a few steps trained. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { main } from "../../src/cli/main.ts";
import { until } from "../serve/running-server.ts";
import { recordedConsole } from "./console.ts";

const RECIPE = `
name: adapted
model: { path: base, lora: { rank: 4, alpha: 32 } }
task: { name: countdown, prompt: compact }
evaluation: { problems: 2, maxCompletionTokens: 8 }
engine: { threads: 1 }
stages: [{ name: sft, trainer: sft, steps: 4, batchTokens: 256, learningRate: 0.05 }]
`;

const PROMPT = "Using the numbers [6, 3, 3], create an equation that equals 54.\\n<think>";

let root: string;
let base: string;
let run: string;
let merged: string;

async function aha(...args: string[]) {
  const console = recordedConsole();
  const code = await main(args, console);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-adapter-"));
  [base, run, merged] = [join(root, "base"), join(root, "run"), join(root, "merged")];
  await aha("model", "init", "--preset", "tiny", "--tokenizer", "countdown-compact", "--out", base);
  writeFileSync(join(root, "recipe.yaml"), RECIPE);
  expect(await aha("run", join(root, "recipe.yaml"), "--out", run, "--quiet")).toMatchObject({ code: 0 });
  expect(await aha("model", "merge", base, run, "--out", merged)).toMatchObject({ code: 0, stderr: "" });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** The ways to name the policy that the run trained. */
const WAYS: readonly (readonly [string, () => string[]])[] = [
  ["the run", () => [run]],
  ["the adapter in it", () => [join(run, "model")]],
  ["base and --adapter RUN", () => [base, "--adapter", run]],
  ["base and --adapter DIR", () => [base, "--adapter", join(run, "model")]],
];

describe("aha chat", () => {
  it("answers by the adapter however it is named, as the merged model does, and not as the base", async () => {
    const answer = async (...args: string[]) => {
      const said = ["--prompt", PROMPT, "--temperature", "0", "--max-tokens", "12", "--threads", "1", "--json"];
      const { code, stdout } = await aha("chat", ...args, ...said);
      expect(code).toBe(0);
      return (JSON.parse(stdout) as { completion: string }).completion;
    };
    const expected = await answer(merged);
    for (const [way, args] of WAYS) expect(await answer(...args()), way).toBe(expected);
    expect(await answer(base)).not.toBe(expected);
  });
});

describe("aha eval", () => {
  it("evaluates the adapter however it is named, as it evaluates the merged model", async () => {
    const statistics = async (...args: string[]) => {
      const how = ["--task", "countdown", "--set", "task.prompt=compact", "--problems", "2", "--max-tokens", "8"];
      const { code, stdout } = await aha("eval", ...args, ...how, "--threads", "1", "--seed", "3", "--json");
      expect(code).toBe(0);
      return (JSON.parse(stdout) as { statistics: object }).statistics;
    };
    const expected = await statistics(merged);
    for (const [way, args] of WAYS) expect(await statistics(...args()), way).toEqual(expected);
  });

  it("takes task and problems from the run that trained it", async () => {
    const { code, stdout } = await aha("eval", run, "--greedy", "--threads", "1", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ problems: 2, maxCompletionTokens: 8, adapter: join(run, "model") });
  });
});

describe("aha serve", () => {
  it("serves the adapter on its base, under the name that was given", async () => {
    const stop = new AbortController();
    const console = recordedConsole({ signal: stop.signal });
    const args = ["serve", base, "--adapter", run, "--port", "0", "--name", "adapted", "--threads", "1", "--json"];
    const code = main(args, console);
    try {
      await Promise.race([until(() => console.stdout().includes("\n")), code]);
      const { url } = JSON.parse(console.stdout()) as { url: string };
      const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
      expect(models.data.map(({ id }) => id)).toEqual(["adapted"]);
      const response = await fetch(`${url}/v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({
          ...{ model: "adapted", prompt: PROMPT.replace("\\n", "\n"), max_tokens: 12, temperature: 0 },
        }),
      });
      const { choices } = (await response.json()) as { choices: { text: string }[] };
      const said = ["--prompt", PROMPT, "--temperature", "0", "--max-tokens", "12", "--threads", "1", "--json"];
      const { stdout } = await aha("chat", merged, ...said);
      expect(choices[0]!.text).toBe((JSON.parse(stdout) as { completion: string }).completion);
    } finally {
      stop.abort();
      expect(await code).toBe(0);
    }
  });
});

describe("aha serve with named adapters", () => {
  it("serves each beside its base, under its own name, on one set of weights", async () => {
    const stop = new AbortController();
    const console = recordedConsole({ signal: stop.signal });
    const named = ["--adapter", `good=${run}`, "--adapter", `same=${join(run, "model")}`];
    const args = ["serve", base, ...named, "--port", "0", "--name", "plain", "--threads", "1", "--json"];
    const code = main(args, console);
    try {
      await Promise.race([until(() => console.stdout().includes("\n")), code]);
      const { url, models } = JSON.parse(console.stdout()) as { url: string; models: string[] };
      expect(models).toEqual(["plain", "good", "same"]);
      const list = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string; parent?: string }[] };
      expect(list.data.map(({ id, parent }) => [id, parent])).toEqual([
        ["plain", undefined],
        ["good", "plain"],
        ["same", "plain"],
      ]);
      const ask = async (model: string | undefined) => {
        const body = { model, prompt: PROMPT.replace("\\n", "\n"), max_tokens: 12, temperature: 0 };
        const response = await fetch(`${url}/v1/completions`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        });
        const answer = (await response.json()) as { model: string; choices: { text: string }[] };
        return { model: answer.model, text: answer.choices?.[0]?.text, status: response.status };
      };
      const chatted = async (directory: string) => {
        const said = ["--prompt", PROMPT, "--temperature", "0", "--max-tokens", "12", "--threads", "1", "--json"];
        return (JSON.parse((await aha("chat", directory, ...said)).stdout) as { completion: string }).completion;
      };
      // All at once: their batches are computed side by side.
      const names = ["plain", "good", "same", "good", "plain", undefined];
      const answers = await Promise.all(names.map(ask));
      expect(answers.map(({ model }) => model)).toEqual(["plain", "good", "same", "good", "plain", "plain"]);
      const [plain, adapted] = [await chatted(base), await chatted(merged)];
      expect(plain).not.toBe(adapted);
      expect(answers.map(({ text }) => text)).toEqual([plain, adapted, adapted, adapted, plain, plain]);
      expect((await ask("other")).status).toBe(404);
    } finally {
      stop.abort();
      expect(await code).toBe(0);
    }
  });

  it.each([
    [
      "two without names",
      () => ["--adapter", run, "--adapter", join(run, "model")],
      /need names, such as --adapter run=/,
    ],
    ["one with and one without", () => ["--adapter", `a=${run}`, "--adapter", run], /need names/],
    ["a name twice", () => ["--adapter", `a=${run}`, "--adapter", `a=${run}`], /the name a comes twice/],
    ["the model's own name", () => ["--adapter", `base=${run}`], /base is the model's own name/],
    ["it of a Tinker server, too", () => ["--tinker", "--adapter", `base=${run}`], /base is the model's own name/],
    ["a directory that is none", () => ["--adapter", `a=${base}`], /is no adapter/],
  ])("refuses %s", async (_, args, message) => {
    const { code, stderr } = await aha("serve", base, "--port", "0", ...args());
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });

  it("refuses an adapter as the base", async () => {
    const { code, stderr } = await aha("serve", run, "--port", "0", "--adapter", `a=${run}`);
    expect(code).toBe(1);
    expect(stderr).toMatch(/is an adapter itself: give its base as DIR/);
  });
});

describe("what is no adapter, or no model", () => {
  it.each([
    ["two adapters", () => ["chat", run, "--adapter", run, "--prompt", "1"], /is an adapter itself: give its base/],
    ["a model as --adapter", () => ["eval", base, "--adapter", base, "--task", "countdown"], /is no adapter/],
    ["an --adapter that is not there", () => ["chat", base, "--adapter", join(root, "gone")], /gone is no adapter/],
    ["an adapter's run to convert", () => ["model", "convert", run, "--out", join(root, "c")], /aha model merge/],
    ["an adapter's run to export", () => ["model", "export", run, "--gguf"], /aha model merge/],
    ["an adapter as the base", () => ["model", "merge", run, run, "--out", join(root, "c")], /not a whole model/],
  ])("is refused: %s", async (_, args, message) => {
    const { code, stdout, stderr } = await aha(...args());
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(message);
    expect(existsSync(join(root, "c"))).toBe(false);
  });

  it("is told in a recipe whose model.path is an adapter, before any run directory is there", async () => {
    const path = join(root, "wrong.yaml");
    writeFileSync(path, readFileSync(join(root, "recipe.yaml"), "utf8").replace("path: base", "path: run/model"));
    const out = join(root, "wrong");
    const { code, stderr } = await aha("run", path, "--out", out);
    expect(stderr).toMatch(/It is a LoRA adapter.*model\.path and this is model\.adapter/);
    expect([code, existsSync(out)]).toEqual([1, false]);
  });
});
