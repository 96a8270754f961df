/**
 * No dead knobs: every key of the recipe's schema is read by the code that runs recipes. The recipe is handed over
 * wrapped in a proxy that writes down what is asked for; keys are taken from the schema, so that a key that is added and
 * forgotten fails here.
 *
 * What it cannot see: whether a value that is read changes anything, and, since a task checks its options against its
 * schema again, whether a task's own options are used.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import { type Recipe, recipeSchema } from "../../src/recipe/schema.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import { startTinker } from "../tinker/tinker-server.ts";
import { constantEcho, teacherServer } from "../train/distill/teacher-server.ts";
import { CONVERSATIONS_RECIPE, MATH_RECIPE, QUICK, REWARD_MODEL_RECIPE, runSmoke } from "./smoke.ts";

/** Every optional key gets a value, so that it can be read. */
const EVERYTHING = [
  ...QUICK,
  "stages.r1-zero.clipEpsilonHigh=0.3",
  "stages.r1-zero.delta=4",
  "stages.r1-zero.offPolicyMaskThreshold=9",
  "stages.r1-zero.samplerCorrection=token_truncate",
  "stages.r1-zero.samplerCorrectionMin=0.1",
  "engine.threads=1",
  "engine.logitChunkTokens=64",
  "model.lora={rank: 2, alpha: 4, dropout: 0.1, rsLora: true, targets: [q_proj, down_proj]}",
  "model.quantization=nf4",
  "engine.microBatchTokens=512",
  "bestCheckpoint={metric: meanLength, mode: min, useAsModel: true}",
  "evaluation.samples=2",
  "evaluation.passAt=[2]",
  "completionSamples={share: 0.5}",
  "rollouts.keepFiles=2",
  "task.targetMax=60",
];

const PREFERENCES = join(import.meta.dirname, "../../recipes/data/preferences");

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-knobs-"));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

/** A run of an engine that is a server. Returns the keys of another engine there. */
async function runOnServer(base: string, read: Set<string>): Promise<string> {
  const tokenizer = await loadTokenizer(base);
  const { url } = await startTinker({
    model: base,
    tokenizer,
    name: "base",
    directory: join(root, "kept"),
    threads: 1,
  });
  const keys = `kind: tinker, url: "${url}", baseModel: base, rank: 2, profile: aha, patienceSeconds: 60`;
  await runSmoke(join(root, "server"), {
    overrides: [...QUICK, `model={path: ${base}}`, `engine={${keys}, threads: 1}`],
    wrap: (recipe) => recording(recipe, read),
  });
  return keys;
}

it("every key of the schema is read by a run", async () => {
  const read = new Set<string>();
  await runSmoke(join(root, "init"), { overrides: EVERYTHING, wrap: (recipe) => recording(recipe, read) });
  const base = join(root, "init", "initial-model");
  const adapter = join(root, "init", "model");
  const onServer = await runOnServer(base, read);
  const file = join(root, "problems.jsonl");
  writeFileSync(file, problems());
  await runSmoke(join(root, "path"), {
    overrides: [
      ...QUICK,
      `model={path: ${base}, adapter: ${adapter}}`,
      `task={name: countdown, prompt: compact, heldOutShare: 0.5, file: ${file}}`,
    ],
    wrap: (recipe) => recording(recipe, read),
  });
  const conversations = join(root, "conversations");
  mkdirSync(conversations);
  for (const split of ["train", "test"]) writeFileSync(join(conversations, `${split}.jsonl`), questions(split));
  const more = `[{path: ${conversations}, split: test, share: 0.5}]`;
  const data = `{path: ${conversations}, select: 20, testSplit: test, more: ${more}}`;
  const task = `{name: conversations, form: prompt, system: Add., answer: completion, data: ${data}}`;
  await runSmoke(join(root, "data"), {
    recipe: CONVERSATIONS_RECIPE,
    overrides: [`task=${task}`, "stages.r1-zero.klCoef=0.01", "stages.r1-zero.refSyncSteps=1"],
    wrap: (recipe) => recording(recipe, read),
  });
  const columns = "columns: {problem: prompt, solution: completion}";
  await runSmoke(join(root, "math"), {
    recipe: MATH_RECIPE,
    overrides: [
      `task={name: math, prompt: compact, gold: solution, data: {path: ${conversations}, ${columns}}}`,
      "evaluation.problems=2",
      "stages.cold-start.steps=1",
      "stages.r1-zero.iterations=1",
    ],
    wrap: (recipe) => recording(recipe, read),
  });
  const server = await teacherServer(constantEcho);
  const distill = (name: string, teacher: string) =>
    `{name: ${name}, trainer: distill, iterations: 1, promptsPerIteration: 2, maxCompletionTokens: 8, learningRate: 1e-4, teacher: {${teacher}}}`;
  const teachers = [
    `path: ${base}, engine: { device: cpu }`,
    `path: ${base}, engine: { ${onServer} }`,
    `endpoint: { baseUrl: "${server.url}", model: m, apiKeyEnv: NO_KEY, attempts: 2, concurrency: 3, timeoutMs: 9000 }`,
  ];
  await runSmoke(join(root, "distilled"), {
    overrides: [`stages=[${teachers.map((teacher, i) => distill(`from-${i}`, teacher)).join(", ")}]`],
    wrap: (recipe) => recording(recipe, read),
  });
  await server.close();
  const pairs = join(root, "numbered-pairs");
  mkdirSync(pairs);
  const numbered = (split: string) =>
    readFileSync(join(PREFERENCES, `${split}.jsonl`), "utf8").replaceAll(/\}$/gm, ', "better": 0}');
  for (const split of ["train", "test"]) writeFileSync(join(pairs, `${split}.jsonl`), numbered(split));
  await runSmoke(join(root, "pairs"), {
    recipe: REWARD_MODEL_RECIPE,
    overrides: [
      "epochs=1",
      "batchPairs=48",
      `task.data.path=${pairs}`,
      "task.answers={columns: [chosen, rejected], better: better}",
    ],
    wrap: (recipe) => recording(recipe, read),
  });
  const countdown = "{name: countdown, prompt: compact, counts: [3], max: 10, languages: [english]}";
  await runSmoke(join(root, "mixture"), {
    overrides: [
      ...QUICK,
      `task={name: mixture, tasks: [{weight: 2, task: ${countdown}}, {weight: 1, task: {name: assistant}}]}`,
      "stages.r1-zero.rewards=[{name: equation, tasks: [countdown]}]",
    ],
    wrap: (recipe) => recording(recipe, read),
  });
  // A mixture makes its tasks as a recipe makes its one.
  const keys = schemaKeys(recipeSchema()).map((key) => key.replace("task.tasks.task.", "task."));
  expect(keys.filter((key) => !read.has(key) && !read.has(key.replace("task.", "task.tasks.task.")))).toEqual([]);
});

it("a key that nobody reads is found", () => {
  const read = new Set<string>();
  const recipe = recording({ a: 1, b: { c: 2, d: 3 }, list: [{ trainer: "x", e: 4 }] }, read);
  expect([recipe.a, recipe.b.c, recipe.list[0]!.e]).toEqual([1, 2, 4]);
  expect([...read].sort()).toEqual(["a", "b", "b.c", "list", "list.x.e"]);
});

/** A data file for `task.file`, a*b+c for small numbers. */
function problems(): string {
  const lines: string[] = [];
  for (let a = 2; a < 8; a++) {
    for (let b = 2; b < 8; b++) lines.push(JSON.stringify({ nums: [a, b, 5], target: a * b + 5 }));
  }
  return `${lines.join("\n")}\n`;
}

/** Prompts and completions for `task.data`. */
function questions(split: string): string {
  const first = split === "train" ? 0 : 60;
  const lines = Array.from({ length: 30 }, (_, i) => JSON.stringify({ prompt: `${first + i}+1=`, completion: "5" }));
  return `${lines.join("\n")}\n`;
}

/** A view on `value` that notes the path of every key that is read; list items are named by their trainer. */
function recording<T extends object>(value: T, read: Set<string>, path = ""): T {
  return new Proxy(value, {
    get(target, key, receiver) {
      const inner: unknown = Reflect.get(target, key, receiver);
      if (typeof key === "symbol" || typeof inner === "function") return inner;
      const item = Array.isArray(target) && /^\d+$/.test(key);
      const name = item ? ((inner as { trainer?: string } | undefined)?.trainer ?? "") : key;
      const at = [path, name].filter((part) => part !== "").join(".");
      if (!item) read.add(at);
      return typeof inner === "object" && inner !== null ? recording(inner, read, at) : inner;
    },
  });
}

/** Paths of all keys below a schema, in the form that `recording` writes. */
function schemaKeys(schema: unknown, path: readonly string[] = []): string[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return schemaKeys(schema.unwrap(), path);
  }
  if (schema instanceof z.ZodArray) return schemaKeys(schema.element, path);
  if (schema instanceof z.ZodDiscriminatedUnion) {
    return schema.options.flatMap((option) => {
      const trainer = option instanceof z.ZodObject ? option.shape.trainer : undefined;
      return schemaKeys(option, trainer instanceof z.ZodLiteral ? [...path, String(trainer.value)] : path);
    });
  }
  if (!(schema instanceof z.ZodObject)) return [];
  return Object.entries(schema.shape).flatMap(([key, inner]) => [
    [...path, key].join("."),
    ...schemaKeys(inner, [...path, key]),
  ]);
}

it("keys are taken from the schema, through unions and defaults", () => {
  const keys = schemaKeys(recipeSchema());
  for (const key of [
    "seed",
    "model.init.headDim",
    "stages.sft.batchTokens",
    "stages.grpo.rewards.weight",
    "task.counts",
  ]) {
    expect(keys).toContain(key);
  }
  const recipeType: keyof Recipe = "stages";
  expect(keys).toContain(recipeType);
});
