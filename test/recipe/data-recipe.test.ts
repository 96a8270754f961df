import { cpSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { main } from "../../src/cli/main.ts";
import { RunInterrupted } from "../../src/errors.ts";
import { initializeParameters } from "../../src/model/initialize.ts";
import { saveModel } from "../../src/model/on-disk.ts";
import { presetConfig } from "../../src/model/presets.ts";
import { readRun } from "../../src/run/run-reader.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import { recordedConsole } from "../cli/console.ts";
import { SAMPLE_DATA } from "../data/sample-data.ts";
import { temporaryFolder } from "../data/temporary-folder.ts";
import { readRollouts } from "../run/read-rollouts.ts";
import { CONVERSATIONS_RECIPE as CONVERSATIONS, runSmoke, SMOKE_RECIPE } from "./smoke.ts";

const makeFiles = temporaryFolder();
const BYTE_LEVEL = join(import.meta.dirname, "../golden/tokenizers/byte-level");

/** `aha run` in this process. */
async function ahaRun(recipe: string, out: string, ...sets: string[]) {
  const console = recordedConsole();
  const args = ["run", recipe, "--out", out, ...sets.flatMap((set) => ["--set", set])];
  const code = await main(args, console);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

describe("a recipe on conversations", () => {
  let whole: string;
  beforeAll(async () => {
    whole = join(makeFiles({}), "run");
    await runSmoke(whole, { recipe: CONVERSATIONS, overrides: [] });
  });

  test("trains by SFT on rows of the data set, then by GRPO on their prompts, and leaves a model", async () => {
    const { metrics } = readRun(whole);
    const sft = metrics.filter(({ stage }) => stage === "cold-start");
    expect(sft.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
    expect(sft.every(({ loss, epoch }) => Number.isFinite(loss) && epoch! > 0)).toBe(true);
    expect(sft.map(({ epoch }) => epoch)).toEqual(sft.map(({ epoch }) => epoch).toSorted((a, b) => a! - b!));
    for (const { prompt } of await readRollouts(whole))
      expect(prompt).toMatch(/^<\|im_start\|>system\nThink step by step/);
    expect(existsSync(join(whole, "model", "model.safetensors"))).toBe(true);
  });

  test("that is stopped in the middle and resumed ends byte for byte as one that was not", async () => {
    const path = join(makeFiles({}), "run");
    const controller = new AbortController();
    const stopped = runSmoke(path, {
      recipe: CONVERSATIONS,
      overrides: [],
      signal: controller.signal,
      observe: (event) => {
        if (event.type === "metrics" && event.row.step === 3) controller.abort();
      },
    });
    await expect(stopped).rejects.toThrow(RunInterrupted);
    await runSmoke(path, { recipe: CONVERSATIONS, overrides: [], resume: true });
    for (const file of ["metrics.jsonl", "rollouts.jsonl", "evaluations.jsonl", "model/model.safetensors"]) {
      expect(readFileSync(join(path, file)).equals(readFileSync(join(whole, file)))).toBe(true);
    }
  });

  test("takes a checkpoint with a tokenizer and chat template of its own, and prompt and completion columns of CSV", async () => {
    const model = makeFiles({});
    cpSync(BYTE_LEVEL, model, { recursive: true });
    const tokenizer = await loadTokenizer(model);
    const config = {
      ...presetConfig("tiny", tokenizer),
      numLayers: 1,
      hiddenSize: 32,
      headDim: 8,
      maxContextTokens: 256,
    };
    await saveModel(model, config, initializeParameters(config, { seed: 1 }));
    const rows = Array.from(
      { length: 20 },
      (_, i) => `${i} plus 1?,"<think>\nadd, naïve é\n</think>\n\\boxed{${i + 1}}"`,
    );
    const data = join(makeFiles({ "sums.csv": `question,solution\n${rows.join("\n")}\n` }), "sums.csv");
    const path = join(makeFiles({}), "run");
    const overrides = [
      `model={path: ${model}}`,
      `task={name: conversations, answer: solution, data: {path: ${data}, columns: {prompt: question, completion: solution}}}`,
      "evaluation={problems: 2, maxCompletionTokens: 16}",
      "stages.cold-start.batchTokens=400",
      "stages.r1-zero.maxCompletionTokens=16",
    ];
    const summary = await runSmoke(path, { recipe: CONVERSATIONS, overrides });
    expect(summary.stages.map(({ steps }) => steps)).toEqual([4, 2]);
    const [rollout] = await readRollouts(path);
    expect(rollout!.prompt).toMatch(/^<\|im_start\|>system\nBe brief\.<\|im_end\|>\n<\|im_start\|>user\n\d+ plus 1\?/);
  });
});

test("a Countdown recipe takes Parquet in the Hub's layout, shuffled, cut and split", async () => {
  const path = join(makeFiles({}), "run");
  const folder = join(SAMPLE_DATA, "countdown-3to4");
  const overrides = [
    `task={name: countdown, prompt: compact, data: {path: ${folder}, select: 100, testShare: 0.1}}`,
    "evaluation.problems=10",
    "stages.cold-start.steps=2",
    "stages.r1-zero.iterations=1",
  ];
  const summary = await runSmoke(path, { overrides });
  expect(summary.stages.map(({ steps }) => steps)).toEqual([2, 4]);
  expect(readRun(path).metrics[0]!.epoch).toBeGreaterThan(0);
});

describe("bad data is refused before any training, and nothing is left behind", () => {
  const out = () => join(makeFiles({}), "run");
  const setPath = (path: string) => `task.data.path=${path}`;

  test.each([
    [
      "a column that the mapping names and the data lack",
      CONVERSATIONS,
      ["task.data.columns={prompt: problem}"],
      /train-00000-of-00001\.parquet, row 1: expected the column problem, which data\.columns names for prompt.*: system, conversations\./,
    ],
    [
      "data of another form",
      CONVERSATIONS,
      [setPath(join(SAMPLE_DATA, "countdown-3to4.csv"))],
      /countdown-3to4\.csv:2: expected a conversation in one of the columns.*the columns of this row are: target, nums\./,
    ],
    [
      "Countdown without its columns",
      SMOKE_RECIPE,
      [`task={name: countdown, prompt: compact, data: {path: ${join(SAMPLE_DATA, "numinamath-tir")}}}`],
      /parquet, row 1: expected a Countdown problem.*nums is not a list.*: problem, solution, messages\./,
    ],
    [
      "a reward whose columns are not there",
      CONVERSATIONS,
      ["stages.r1-zero.rewards=[{name: equation}]"],
      /The reward equation reads the columns nums, target, which problems of the task conversations do not have.*system, conversations/,
    ],
    [
      "a split that is not there",
      CONVERSATIONS,
      ["task.data.split=trian"],
      /has no split trian; it has: train\. Did you mean train/,
    ],
    [
      "more rows than there are",
      CONVERSATIONS,
      ["task.data.select=1000"],
      /data\.select asks for 1000 rows of .*, which has 60/,
    ],
    [
      "more held-out problems than there are",
      CONVERSATIONS,
      ["evaluation.problems=40"],
      /Asked for 40 held-out problems/,
    ],
    [
      "a misspelt key",
      CONVERSATIONS,
      ["task.data.shufle=true"],
      /task\.data\.shufle: unknown key; did you mean "shuffle"/,
    ],
    [
      "a tokenizer without a chat template",
      CONVERSATIONS,
      ["model.init.tokenizer=countdown-compact"],
      /parquet, row \d+: This tokenizer has no chat template/,
    ],
  ])("%s", async (_, recipe, sets, message) => {
    const path = out();
    const { code, stderr } = await ahaRun(recipe, path, ...sets);
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(existsSync(path)).toBe(false);
  });

  test.each([
    [
      "rows.jsonl",
      `${'{"prompt": "a", "completion": "b"}\n'.repeat(30)}{"prompt": "a"`,
      /rows\.jsonl:31: expected one JSON object/,
    ],
    [
      "rows.csv",
      `prompt,completion\n${"a,b\n".repeat(30)}a,b,c\n`,
      /rows\.csv:32: expected 2 cells.*\(prompt, completion\), the row has 3/,
    ],
    [
      "rows.jsonl",
      `${'{"prompt": "a", "completion": "b"}\n'.repeat(30)}{"promt": "a"}\n`,
      /rows\.jsonl:31: expected a conversation.*: promt\./,
    ],
    ["rows.parquet", "PAR1 and no more", /rows\.parquet is not a whole Parquet file/],
  ])("a damaged %s", async (name, text, message) => {
    const path = out();
    const { code, stderr } = await ahaRun(CONVERSATIONS, path, setPath(join(makeFiles({ [name]: text }), name)));
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
    expect(existsSync(path)).toBe(false);
  });

  test("a row that SFT cannot learn from, wherever it is", async () => {
    const text = Array.from({ length: 30 }, (_, i) =>
      JSON.stringify({ prompt: `q${i}`, ...(i === 17 ? {} : { completion: "a" }) }),
    );
    const data = join(makeFiles({ "rows.jsonl": text.join("\n") }), "rows.jsonl");
    const { code, stderr } = await ahaRun(
      CONVERSATIONS,
      out(),
      setPath(data),
      "task.data.select=30",
      "task.data.seed=1",
      "evaluation.problems=3",
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(/rows\.jsonl:18: expected an answer to learn from/);
  });
});
