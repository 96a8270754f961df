/** A data step that a program brings: one object, registered, and then a key of a pipeline's stages like any other. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  Compute,
  DataError,
  PipelineDirectory as Directory,
  defineDataStep,
  extend,
  loadPipeline,
  type PipelineDirectory,
  pathAt,
  planPipeline,
  readRows,
  resolveStages,
  runStages,
  writeDataset,
  z,
} from "aha-rl";
import { afterAll, beforeAll, expect, it } from "vitest";

/** Rows of a file in which a text is in capitals. */
const capitals = defineDataStep({
  name: "capitals",
  schema: () =>
    z.strictObject({
      data: z.strictObject({ path: z.string().min(1).describe("a data file") }).describe("what is changed"),
      column: z.string().default("completion").describe("the column whose text becomes capitals"),
      seed: z.int().default(0).describe("of the order of rows"),
      note: z.string().default("").describe("changes nothing"),
    }),
  paths: (config) => pathAt(config, ["data", "path"], "dataset", { hub: true }),
  identity: ({ note: _, ...rest }) => rest,
  run: async ({ data, column, seed }, { directory, onProgress }) => {
    const rows: Record<string, unknown>[] = [];
    for await (const { fields } of readRows(data.path)) {
      if (typeof fields[column] !== "string") throw new DataError(`capitals: a row has no text in ${column}.`);
      rows.push({ ...fields, [column]: fields[column].toUpperCase() });
    }
    onProgress?.({ prompts: 1, totalPrompts: 1, kept: rows.length, candidates: rows.length, tokens: 0 });
    const lineage = { step: "capitals", column };
    const counts = await writeDataset(directory, rows, lineage, { seed, testShare: 0.25 });
    return { ...counts, lineage: { ...lineage, rows: counts } };
  },
});

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-own-step-"));
  const rows = Array.from({ length: 8 }, (_, i) => JSON.stringify({ prompt: `${i}+1=`, completion: `is ${i + 1}` }));
  writeFileSync(join(root, "rows.jsonl"), `${rows.join("\n")}\n`);
  extend({ dataSteps: [capitals] });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const MODEL =
  "{ init: { tokenizer: r1-compact, hiddenSize: 16, intermediateSize: 32, numLayers: 1, numHeads: 2, numKvHeads: 1, headDim: 8, maxContextTokens: 64 } }";

async function load(stages: readonly string[]) {
  const path = join(root, "pipeline.yaml");
  writeFileSync(path, `name: own-step\npipeline:\n${stages.map((stage) => `  - ${stage}\n`).join("")}`);
  const loaded = await loadPipeline(path);
  return { loaded, stages: resolveStages(loaded, join(root, "out")) };
}

const STEP = "{ name: loud, capitals: { data: { path: ./rows.jsonl } } }";
const TRAIN = `{ name: learn, evaluate: false, train: { trainer: sft, steps: 1, learningRate: 1e-3, model: ${MODEL}, evaluation: { problems: 1, maxCompletionTokens: 8 }, task: { name: conversations, chat: false, data: { from: loud } } } }`;

async function runIn(directory: PipelineDirectory, { loaded, stages }: Awaited<ReturnType<typeof load>>) {
  return runStages(loaded, stages, directory, {
    ...{ choice: {}, signal: new AbortController().signal, offline: true, observe: () => {} },
    reportRun: async () => {},
  });
}

it("makes a data set that the next stage trains on; what has not changed is not made again", async () => {
  const pipeline = await load([STEP, TRAIN]);
  const about = { pipeline: "own-step", seed: 0, threads: Compute.open({ threads: 1 }).threads };
  const directory = await Directory.open(join(root, "out"), about);
  try {
    const summary = await runIn(directory, pipeline);
    expect(summary.stages.map(({ name, kind, rows, session }) => ({ name, kind, rows, session }))).toEqual([
      { name: "loud", kind: "capitals", rows: { train: 6, test: 2 }, session: "run" },
      expect.objectContaining({ name: "learn", kind: "train", session: "run" }),
    ]);
    const made = readFileSync(join(root, "out/stages/loud/data/train.jsonl"), "utf8");
    expect(made.trim().split("\n")).toHaveLength(6);
    expect(made).toContain('"completion":"IS ');
    // A key that changes nothing, by the step's own word.
    const noted = await load([STEP.replace("{ data", "{ note: hello, data"), TRAIN]);
    const inputs = { stages: noted.stages, directory: directory.path, source: noted.loaded.path };
    const planned = await planPipeline({ ...inputs, lineage: directory.lineage, hashes: new Map() }, {});
    expect(planned.map(({ action }) => action)).toEqual(["reuse", "reuse"]);
    const other = await load([STEP.replace("{ data", "{ column: prompt, data"), TRAIN]);
    const again = await planPipeline(
      { ...inputs, stages: other.stages, lineage: directory.lineage, hashes: new Map() },
      {},
    );
    expect(again[0]).toMatchObject({ action: "run", reason: 'changed: loud.column "completion" → "prompt"' });
  } finally {
    directory.close();
  }
});

it("has its keys checked like everybody's, its files read, and its output's kind known", async () => {
  await expect(load([STEP.replace("capitals", "capital")])).rejects.toThrow(
    /loud\.capital: unknown key; did you mean "capitals"\?/,
  );
  await expect(load([STEP.replace("{ data", "{ colum: a, data")])).rejects.toThrow(
    /loud\.colum: unknown key; did you mean "column"\?/,
  );
  await expect(load([STEP, TRAIN.replace(`model: ${MODEL}`, "model: { from: loud }")])).rejects.toThrow(
    /learn\.model: expected a model, but "loud" makes a dataset/,
  );
  const missing = await load([STEP.replace("rows.jsonl", "other.jsonl")]);
  const inputs = { stages: missing.stages, directory: join(root, "elsewhere"), source: missing.loaded.path };
  const planning = planPipeline(
    { ...inputs, lineage: { stages: {}, superseded: {}, threads: 1 }, hashes: new Map() },
    {},
  );
  await expect(planning).rejects.toThrow(/Cannot read .*other\.jsonl/);
});

it("is refused twice", () => {
  expect(() => extend({ dataSteps: [capitals] })).toThrow(/There is a data step named capitals already/);
});
