/** `aha run --trl`, with the seeds' files as they stand, on small checkpoints that `aha model init` made. */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { parse } from "yaml";
import { main } from "../../src/cli/main.ts";
import type { Recipe } from "../../src/recipe/schema.ts";
import type { TrlConversion } from "../../src/recipe/trl/conversion.ts";
import { fixture, fixtureText } from "../recipe/trl/conversions.ts";
import { recordedConsole } from "./console.ts";

const SEEDS = ["seed-000.yaml", "seed-002.yaml", "mini-r1.yaml"];

const SMALL_QWEN2 = {
  architectures: ["Qwen2ForCausalLM"],
  model_type: "qwen2",
  hidden_act: "silu",
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  tie_word_embeddings: true,
  vocab_size: 512,
};

/** Enough to see everything happen. */
const SHORT = ["max_steps=2", "max_completion_length=12", "evaluation.problems=2"].flatMap((set) => ["--set", set]);

let root: string;
/** Plain words only: no chat template, 512 tokens of context. */
let compact: string;
/** A chat template and bytes for everything, 4,096 tokens of context. */
let bytes: string;
/** Rows of another kind. */
let stories: string;
/** A folder with nothing in it. */
let empty: string;

beforeAll(async () => {
  // The Hub's data sets come from the cache alone, which has none.
  vi.stubEnv("HF_HUB_OFFLINE", "1");
  root = mkdtempSync(join(tmpdir(), "aha-run-trl-"));
  vi.stubEnv("HF_HUB_CACHE", join(root, "hub"));
  compact = join(root, "compact");
  bytes = join(root, "bytes");
  empty = join(root, "no-rows");
  mkdirSync(empty);
  stories = join(root, "stories.jsonl");
  writeFileSync(stories, '{"story": "Once upon a time"}\n');
  const tokenizer = join(import.meta.dirname, "../golden/tokenizers/byte-level");
  await aha("model", "init", "--preset", "tiny", "--tokenizer", "countdown-compact", "--out", compact);
  const config = join(root, "qwen2.json");
  writeFileSync(config, JSON.stringify(SMALL_QWEN2));
  await aha("model", "init", "--config", config, "--tokenizer", tokenizer, "--out", bytes);
});
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

async function aha(...args: string[]) {
  const console = recordedConsole();
  const code = await main(args, console);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

const dry = (...args: string[]) => aha("run", "--dry-run", "--trl", ...args);

/** The conversion that `--json` prints. */
function conversionIn(stdout: string): TrlConversion & { type: string; file: string } {
  return JSON.parse(stdout.split("\n")[0]!) as TrlConversion & { type: string; file: string };
}

describe("aha run --trl FILE --model DIR", () => {
  it.each(SEEDS)("trains by %s as it stands, two steps of it", async (name) => {
    const out = join(root, "runs", name);
    const { code, stdout, stderr } = await aha(
      "run",
      "--trl",
      fixture(name),
      "--model",
      compact,
      "--out",
      out,
      ...SHORT,
    );
    expect(stderr).toContain("Stage 1 of 1: grpo");
    expect(code).toBe(0);
    expect(stdout).toMatch(/What each key became\n(.*\n)*No meaning here\n(.*\n)*The batch\n/);
    expect(stdout).toContain(`The model:  ${join(out, "model")}`);
    expect(readdirSync(out)).toEqual(expect.arrayContaining(["trl.yaml", "recipe.yaml", "summary.json", "model"]));
    expect(readFileSync(join(out, "trl.yaml"), "utf8")).toBe(fixtureText(name));
    expect(readFileSync(join(out, "events.jsonl"), "utf8")).toMatch(
      /"event":"converted","from":".*","trlVersion":"0.14"/,
    );
    const metrics = readFileSync(join(out, "metrics.jsonl"), "utf8").trimEnd().split("\n");
    expect(metrics.map((line) => (JSON.parse(line) as { step: number }).step)).toEqual([1, 2]);
    const rollouts = readFileSync(join(out, "rollouts.jsonl"), "utf8").trimEnd().split("\n");
    expect(rollouts).toHaveLength(2 * 8 * (parse(fixtureText(name)) as { num_generations: number }).num_generations);
  });

  it("asks in the words of the file's script where the model can read them", async () => {
    const out = join(root, "runs", "words");
    const { code } = await aha(
      ...["run", "--trl", fixture("seed-002.yaml"), "--model", bytes, "--out", out, ...SHORT],
      ...["--set", "max_steps=1", "--set", "per_device_train_batch_size=1", "--set", "gradient_accumulation_steps=1"],
    );
    expect(code).toBe(0);
    const [rollout] = readFileSync(join(out, "rollouts.jsonl"), "utf8").split("\n");
    expect((JSON.parse(rollout!) as { prompt: string }).prompt).toMatch(
      /使用给定的数字 \[[\s\S]*让我们逐步解决这个问题。\n<think>$/,
    );
  });

  it("writes a recipe.yaml that is Aha's own, and runs again to the same numbers", async () => {
    const first = join(root, "runs", "seed-000.yaml");
    const again = join(root, "runs", "again");
    expect((await aha("run", join(first, "recipe.yaml"), "--out", again, "--quiet")).code).toBe(0);
    const metrics = (path: string) => readFileSync(join(path, "metrics.jsonl"), "utf8");
    expect(metrics(again)).toBe(metrics(first));
    expect(existsSync(join(again, "trl.yaml"))).toBe(false);
  });

  it("goes on with an interrupted run by --resume", async () => {
    const out = join(root, "runs", "resumed");
    const args = ["run", "--trl", fixture("mini-r1.yaml"), "--model", compact, "--out", out, ...SHORT];
    const stopped = new AbortController();
    stopped.abort();
    expect(await main(args, recordedConsole({ signal: stopped.signal }))).toBe(130);
    expect((await aha(...args, "--resume", "--set", "beta=0.5")).stderr).toContain(
      "stages.0.klCoef was 0.001, now 0.5",
    );
    expect((await aha(...args, "--resume")).code).toBe(0);
    expect(readFileSync(join(out, "metrics.jsonl"), "utf8")).toBe(
      readFileSync(join(root, "runs", "mini-r1.yaml", "metrics.jsonl"), "utf8"),
    );
  });

  it("prints the conversion as the first of its JSON lines", async () => {
    const out = join(root, "runs", "json");
    const { stdout, stderr } = await aha(
      ...["run", "--trl", fixture("mini-r1.yaml"), "--model", compact, "--out", out, "--json", ...SHORT],
    );
    expect(stderr).toBe("");
    expect(conversionIn(stdout)).toMatchObject({ type: "trl", version: "0.14", batch: { promptsPerStep: 8 } });
    expect(parse(readFileSync(join(out, "recipe.yaml"), "utf8"))).toMatchObject(conversionIn(stdout).recipe);
    const last = stdout.trimEnd().split("\n").at(-1)!;
    expect(JSON.parse(last)).toMatchObject({ type: "finished" });
  });
});

describe("a model that stands in", () => {
  it("gets shorter completions where its context is too short, and that is said", async () => {
    const { stdout } = await dry(fixture("mini-r1.yaml"), "--model", compact, "--json", "--set", "max_steps=2");
    const { recipe, keys } = conversionIn(stdout);
    const line = keys.find(({ key }) => key === "max_completion_length")!;
    expect(line.value).toBe(1024);
    expect(line.recipeValue).toBeLessThan(512);
    expect(line.note).toMatch(/^of 1024: what the model's context of 512 leaves beside prompts of up to \d+ tokens$/);
    expect(recipe.evaluation.maxCompletionTokens).toBe(line.recipeValue);
  });

  it("gets the compact prompt where it cannot read the script's, unless --prompt insists", async () => {
    const { stdout } = await dry(fixture("seed-000.yaml"), "--model", compact);
    expect(stdout).toMatch(/prompt: compact, for chinese does not go with the model: its tokenizer cannot render/);
    const insisted = await dry(fixture("seed-000.yaml"), "--model", compact, "--prompt", "chinese");
    expect(insisted.stderr).toMatch(/--prompt chinese does not go with .*chat template/);
  });

  it("gets the compact prompt where its tokenizer has no signs for the script's, or its context no room", async () => {
    const characters = join(root, "characters");
    await aha("model", "init", "--preset", "tiny", "--tokenizer", "characters", "--out", characters);
    const chinese = await dry(fixture("seed-002.yaml"), "--model", characters, "--set", "max_steps=1");
    expect(chinese.stdout.replace(/\s+/g, " ")).toContain("has no tokens for the prompt chinese");
    const english = await dry(fixture("mini-r1.yaml"), "--model", characters, "--set", "max_steps=1");
    expect(english.stdout.replace(/\s+/g, " ")).toMatch(/its prompts have up to \d+ tokens, the model's context 512/);
  });

  it("gives way nowhere where everything fits", async () => {
    const { stdout } = await dry(fixture("seed-002.yaml"), "--model", bytes, "--json", "--set", "max_steps=2");
    const { recipe } = conversionIn(stdout);
    expect(recipe).toMatchObject({ task: { prompt: "chinese" }, evaluation: { maxCompletionTokens: 1024 } });
  });
});

describe("--dry-run", () => {
  it("prints keys, reasons and the batch, and leaves nothing", async () => {
    const before = readdirSync(root);
    const { code, stdout, stderr } = await dry(fixture("mini-r1.yaml"), "--num-processes", "3");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/learning_rate +5e-7 +→ stages\.grpo\.learningRate: 5e-7/);
    expect(stdout).toMatch(/no vLLM: .*\n +use_vllm: true, vllm_device: "cuda:3", vllm_gpu_memory_utilization: 0\.5/);
    expect(stdout).toContain("one optimizer step: 24 prompts, 192 completions");
    expect(stdout).toContain("it would be 3 prompts, 24 completions: --trl-version 1.16");
    expect(stdout).toMatch(/model_name_or_path .*→ model\.path: "Qwen\/Qwen2\.5-3B-Instruct@main"/);
    expect(readdirSync(root)).toEqual(before);
  });

  it("reads accelerate's file", async () => {
    const { stdout } = await dry(fixture("seed-002.yaml"), "--accelerate", fixture("seed-002-accelerate.yaml"));
    expect(stdout).toContain("one optimizer step: 16 prompts, 32 completions");
    expect(stdout).toMatch(/ZeRO spreads .*\n.*deepspeed_config\.offload_optimizer_device: "cpu"/);
  });
});

it("--engine prints the server that the launcher's keys describe", async () => {
  const files = [fixture("seed-002.yaml"), "--accelerate", fixture("seed-002-accelerate.yaml")] as const;
  const { code, stdout } = await dry(...files, "--engine", "tinker");
  expect(code).toBe(0);
  expect(stdout).toMatch(/offload_param_device .*→ the server: trainer\.policy\.fsdp_config\.cpu_offload: true/);
  expect(stdout).toContain("The server, read in SkyRL's source and not run");
  expect(stdout).toMatch(/model\.lora of rank 32 and alpha 32, where the file trains all weights/);
});

describe("an adapter", () => {
  it("is trained by the notebook's file, on four bits, and saved in PEFT's format", async () => {
    const out = join(root, "runs", "notebook");
    const { code, stdout } = await aha(
      ...["run", "--trl", fixture("notebook.yaml"), "--trl-version", "0.14", "--model", compact, "--out", out],
      ...SHORT,
      ...["--set", "lora_r=2"],
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(/lora_r +2 +→ model\.lora\.rank: 2/);
    expect(stdout).toMatch(/load_in_4bit +true +→ model\.quantization: "nf4"/);
    expect(stdout).toMatch(/lora_target_modules +null +→ model\.lora\.targets: q_proj, v_proj \(PEFT's default/);
    const config = JSON.parse(readFileSync(join(out, "model", "adapter_config.json"), "utf8")) as object;
    expect(config).toMatchObject({ peft_type: "LORA", r: 2, lora_alpha: 32, target_modules: ["q_proj", "v_proj"] });
  });
});

describe("--data FILE", () => {
  it("gives the problems", async () => {
    const data = join(root, "problems.jsonl");
    await aha("data", "countdown", "--count", "64", "--out", data);
    const out = join(root, "runs", "data");
    const { code } = await aha(
      ...[
        "run",
        "--trl",
        fixture("seed-000.yaml"),
        "--model",
        compact,
        "--data",
        data,
        "--out",
        out,
        "--quiet",
        ...SHORT,
      ],
    );
    expect(code).toBe(0);
    expect((parse(readFileSync(join(out, "recipe.yaml"), "utf8")) as Recipe).task).toMatchObject({
      data: { path: data, seed: 42, testShare: 0.1 },
    });
    const rows = readFileSync(data, "utf8").trimEnd().split("\n");
    const numbers = rows.map((row) => `[${(JSON.parse(row) as { nums: number[] }).nums.join(", ")}]`);
    const [rollout] = readFileSync(join(out, "rollouts.jsonl"), "utf8").split("\n");
    const { prompt } = JSON.parse(rollout!) as { prompt: string };
    expect(numbers).toContain(/\[.*\]/.exec(prompt)![0]);
  });
});

describe("aha run --trl refuses, before any training and leaving nothing behind,", () => {
  const cases: Record<string, [() => string[], RegExp]> = {
    "a file that is not there": [() => ["--trl", "nowhere.yaml"], /nowhere\.yaml.*does not exist/],
    "a model that is not on this machine": [
      () => ["--trl", fixture("seed-002.yaml")],
      /Qwen2___5-3B-Instruct is not on this machine; --model DIR/,
    ],
    "a --model that is none": [() => ["--trl", fixture("mini-r1.yaml"), "--model", root], /neither a model directory/],
    "an unknown key": [
      () => ["--trl", fixture("mini-r1.yaml"), "--model", compact, "--set", "num_generation=4"],
      /Did you mean "num_generations"/,
    ],
    "a batch that does not divide": [
      () => [
        "--trl",
        fixture("mini-r1.yaml"),
        "--model",
        compact,
        "--trl-version",
        "1.16",
        "--set",
        "num_generations=3",
      ],
      /num_generations \(3\) does not divide .* = 8/,
    ],
    "data that are not Countdown's": [
      () => ["--trl", fixture("mini-r1.yaml"), "--model", compact, "--data", stories],
      /stories\.jsonl:1: expected a Countdown problem .*columns of this row are: story/,
    ],
    "accelerate's file": [
      () => ["--trl", fixture("seed-002-accelerate.yaml"), "--model", compact, "--set", "max_steps=2"],
      /has only keys of accelerate \(.*Give the training file as --trl, and this one as --accelerate/,
    ],
    "data that are a directory without any": [
      () => ["--trl", fixture("mini-r1.yaml"), "--model", compact, "--data", empty],
      /no-rows.*data/,
    ],
    "data that are nowhere": [
      () => ["--trl", fixture("mini-r1.yaml"), "--model", compact, "--data", "nowhere.jsonl"],
      /--data nowhere\.jsonl does not exist/,
    ],
    "processes that are no number": [
      () => ["--trl", fixture("mini-r1.yaml"), "--num-processes", "two"],
      /--num-processes must be a whole number of at least 1/,
    ],
    "a recipe beside it": [() => ["some.yaml", "--trl", fixture("mini-r1.yaml")], /expected no arguments but options/],
    "its options without it": [() => ["some.yaml", "--dry-run"], /--dry-run goes with --trl/],
  };
  for (const [what, [args, message]] of Object.entries(cases)) {
    it(what, async () => {
      const out = join(root, "refused", "run");
      const { code, stderr } = await aha("run", ...args(), "--out", out);
      expect(stderr).toMatch(message);
      expect(stderr).not.toMatch(/\n\s+at /);
      expect([code, existsSync(join(root, "refused"))]).toEqual([1, false]);
    });
  }

  it("a run directory that is taken", async () => {
    const out = join(root, "taken");
    mkdirSync(out);
    writeFileSync(join(out, "thesis.tex"), "");
    const { code, stderr } = await aha(
      "run",
      "--trl",
      fixture("mini-r1.yaml"),
      "--model",
      compact,
      "--out",
      out,
      ...SHORT,
    );
    expect([code, readdirSync(out)]).toEqual([1, ["thesis.tex"]]);
    expect(stderr).toMatch(/taken is not empty/);
  });
});
