/** Sampling steps from their start to their data set, on a tiny model with random weights. */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Compute } from "../../src/compute/compute.ts";
import { writeJsonl } from "../../src/data/jsonl.ts";
import type { Candidate } from "../../src/data-steps/candidate.ts";
import type { DataStepProgress } from "../../src/data-steps/candidates.ts";
import type { DataStepConfig } from "../../src/data-steps/step.ts";
import { dataSteps } from "../../src/data-steps/steps.ts";
import { diskFolder } from "../../src/disk-folder.ts";
import { RunInterrupted } from "../../src/errors.ts";
import { writeInitialModel } from "../../src/recipe/model.ts";
import { readAllJsonl } from "../data/read-all-jsonl.ts";

const TASK = { name: "countdown", prompt: "compact", counts: [3], min: 1, max: 10, values: { min: 0, max: 99 } };
const INIT = {
  ...{ architecture: "qwen3", tokenizer: "countdown-compact", hiddenSize: 16, intermediateSize: 32, numLayers: 1 },
  ...{ numHeads: 1, numKvHeads: 1, headDim: 16, maxContextTokens: 96, rmsNormEpsilon: 1e-6, ropeTheta: 10_000 },
  ...{ tieWordEmbeddings: true, embeddingStd: 0.5, gain: 0.5 },
} as Parameters<typeof writeInitialModel>[1];

let root: string;
let model: string;
beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-sampling-steps-"));
  model = join(root, "model");
  mkdirSync(model);
  await writeInitialModel(diskFolder(model), INIT, 1);
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

function configOf(step: string, more: object): DataStepConfig {
  const shared = { model: { path: model }, task: TASK, maxCompletionTokens: 10, seed: 3 };
  return dataSteps
    .get(step)
    .schema()
    .parse({ ...shared, ...more });
}

let count = 0;
function stepFolder(): string {
  const directory = join(root, `step-${count++}`);
  mkdirSync(directory);
  return directory;
}

function run(
  step: string,
  config: DataStepConfig,
  directory: string,
  more: { signal?: AbortSignal; onProgress?: (progress: DataStepProgress) => void } = {},
) {
  return dataSteps.get(step).run(config, {
    directory,
    compute: Compute.open({ threads: 1 }),
    signal: new AbortController().signal,
    ...more,
  });
}

/** Everything that a step leaves, by file. */
function contentOf(directory: string): Record<string, string> {
  const files = (readdirSync(directory, { recursive: true }) as string[]).filter((name) =>
    statSync(join(directory, name)).isFile(),
  );
  return Object.fromEntries(files.sort().map((name) => [name, readFileSync(join(directory, name), "utf8")]));
}

describe("a sampling step that is stopped in the middle of a part", () => {
  const sampling = { prompts: 6, samples: 3, promptsPerPart: 2 };
  const steps: readonly (readonly [string, object])[] = [
    ["coldStart", { method: "few-shot", examples: 1, keep: [{ tokens: { min: 2 } }], testShare: 0.2 }],
    ["rejectionSampling", { keep: [{ tokens: { min: 2 } }], keepPerPrompt: 2 }],
    ["teacherSamples", { keep: [] }],
    ["preferences", { reward: "repetition_penalty", options: { ngramSize: 2 }, testShare: 0.3 }],
  ];
  it.each(steps)("%s goes on, samples nothing twice, and leaves the same bytes", async (step, more) => {
    const config = configOf(step, { ...sampling, ...more });
    const [whole, stopped] = [stepFolder(), stepFolder()];
    await run(step, config, whole);
    const controller = new AbortController();
    const onProgress = ({ prompts, tokens }: DataStepProgress) => {
      if (prompts === 2 && tokens > 0) controller.abort();
    };
    await expect(run(step, config, stopped, { signal: controller.signal, onProgress })).rejects.toThrow(RunInterrupted);
    expect(Object.keys(contentOf(stopped))).toEqual(["parts/part-000000.jsonl"]);
    const before = statSync(join(stopped, "parts/part-000000.jsonl"));
    let sampledFrom = Number.POSITIVE_INFINITY;
    await run(step, config, stopped, {
      onProgress: ({ prompts, tokens }) => {
        if (tokens > 0) sampledFrom = Math.min(sampledFrom, prompts);
      },
    });
    expect(sampledFrom).toBe(2);
    expect(statSync(join(stopped, "parts/part-000000.jsonl")).ino).toBe(before.ino);
    expect(contentOf(stopped)).toEqual(contentOf(whole));
  });
});

describe("preferences", () => {
  interface Written {
    readonly prompt: string;
    readonly completion: string;
    readonly isSolved: boolean;
  }
  /** The pairs that are made of these completions, four of each of the prompts. */
  async function pairsOf(written: readonly Written[], more: object = {}) {
    const directory = stepFolder();
    const candidates = written.map(
      ({ prompt, completion, isSolved }, i): Candidate => ({
        ...{ promptId: Math.floor(i / 4), sample: i % 4, problemId: Math.floor(i / 4), prompt, columns: { target: i } },
        ...{ completion, finished: true, lengthTokens: completion.length, solved: isSolved, scores: {}, dropped: null },
      }),
    );
    mkdirSync(join(directory, "parts"));
    await writeJsonl(join(directory, "parts", "part-000000.jsonl"), candidates);
    const config = configOf("preferences", { prompts: written.length / 4, samples: 4, promptsPerPart: 64, ...more });
    const { lineage } = await run("preferences", config, directory);
    const rows = async (split: string) =>
      (await readAllJsonl(join(directory, "data", `${split}.jsonl`))).map(({ fields }) => fields);
    return { lineage, rows, directory };
  }
  /** A prompt's completions: a text in capitals is one that solves it. */
  const asked = (prompt: string, ...texts: readonly string[]): Written[] =>
    texts.map((completion) => ({ prompt, completion, isSolved: /^[A-Z]/.test(completion) }));

  it("by the verdict: what solves the problem is chosen, equally good ones make no pair, equal texts are counted", async () => {
    const { lineage, rows } = await pairsOf([
      ...asked("two", "YES", "no", "nay", "AYE"),
      ...asked("none", "a", "b", "c", "d"),
      ...asked("all", "A", "B", "C", "D"),
      // Letter case and white space aside these are one text.
      ...asked("same", "SAME", " same", "same ", "same"),
    ]);
    const pairs = await rows("train");
    expect(pairs).toEqual([
      expect.objectContaining({
        prompt: "two",
        chosen: expect.stringMatching(/^(YES|AYE)$/),
        rejected: expect.stringMatching(/^(no|nay)$/),
        ...{ kind: "reasoning", promptId: 0 },
      }),
    ]);
    expect(lineage).toMatchObject({
      ...{ step: "preferences", by: "verdict solved", prompts: 4, candidates: 16, solved: 7, dropped: {}, pairs: 1 },
      ...{ promptsWithoutPair: 3, pairsOfEqualTexts: 1, rows: { train: 1, test: 0 } },
    });
  });

  it("takes up to pairsPerPrompt pairs of a prompt, each of other completions", async () => {
    const { lineage, rows } = await pairsOf(
      [...asked("two", "YES", "no", "nay", "AYE"), ...asked("one", "x", "ONE", "y", "z")],
      { pairsPerPrompt: 3 },
    );
    const pairs = await rows("train");
    expect(lineage).toMatchObject({ pairs: 3, promptsWithoutPair: 0 });
    const ofTwo = pairs.filter(({ prompt }) => prompt === "two");
    expect(ofTwo.map(({ chosen }) => chosen).sort()).toEqual(["AYE", "YES"]);
    expect(ofTwo.map(({ rejected }) => rejected).sort()).toEqual(["nay", "no"]);
    expect(pairs.filter(({ prompt }) => prompt === "one").map(({ chosen }) => chosen)).toEqual(["ONE"]);
  });

  it("holds out whole prompts", async () => {
    const prompts = Array.from({ length: 10 }, (_, i) => asked(`prompt ${i}`, "YES", "no", "nay", "AYE")).flat();
    const { lineage, rows } = await pairsOf(prompts, { pairsPerPrompt: 2, testShare: 0.3 });
    expect(lineage).toMatchObject({ pairs: 20, rows: { train: 14, test: 6 } });
    const promptsOf = async (split: string) => new Set((await rows(split)).map(({ prompt }) => prompt));
    const [train, test] = [await promptsOf("train"), await promptsOf("test")];
    expect([train.size, test.size]).toEqual([7, 3]);
    expect([...test].filter((prompt) => train.has(prompt))).toEqual([]);
  });

  it("of summaries: what follows the thinking, to the prompt without its tag; none where the thinking has no end", async () => {
    const { lineage, rows } = await pairsOf(
      [
        ...asked("two\n<think>", "YES</think>\nright ", "no end", "no</think>\nwrong", "NO end"),
        ...asked("same\n<think>", "A</think>\nsame", "b</think>\nsame", "no end", "no end"),
      ],
      { part: "summary" },
    );
    expect(await rows("train")).toEqual([
      expect.objectContaining({ prompt: "two\n", chosen: "right", rejected: "wrong" }),
    ]);
    expect(lineage).toMatchObject({ dropped: { "part summary": 4 }, pairsOfEqualTexts: 1, promptsWithoutPair: 1 });
  });

  it("without any pair are an error that says why, and leave no data set", async () => {
    const nothing = pairsOf([...asked("none", "a", "b", "c", "d"), ...asked("same", "SAME", "same", "same", "same")]);
    await expect(nothing).rejects.toThrow(
      /no two of 8 completions make a pair\. No filter dropped any\.\nPrompts without a pair:\n {2}all equally good.*: 1 prompt\n {2}the better and the worse have the same text: 1 prompt\n/,
    );
    expect(readdirSync(join(root, `step-${count - 1}`)).sort()).toEqual(["parts", "rejected.jsonl"]);
  });
});
