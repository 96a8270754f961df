/** A task that a program brings: problems and their judge under a name, alone or in a mixture. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ConfigError,
  DataError,
  defineTask,
  extend,
  type Problem,
  parseRecipe,
  pathAt,
  prepareRecipe,
  RunDirError,
  type RunEvent,
  RunInterrupted,
  readRows,
  runRecipe,
  type Task,
  uniformAt,
  z,
} from "aha-rl";
import { afterAll, beforeAll, expect, it } from "vitest";

/** Sums of two numbers of a file, to be written behind "A:". */
const sums = defineTask({
  name: "sums",
  summary: "sums of two numbers of a file",
  options: z.strictObject({
    numbers: z.string().min(1).describe('a file of numbers, one {"n": 3} a line'),
    limit: z.int().min(1).default(100).describe("numbers beyond it are left out"),
  }),
  paths: (spec) => pathAt(spec, ["numbers"], "file"),
  create: async ({ numbers, limit }, { seed }): Promise<Task> => {
    const all: number[] = [];
    for await (const { fields } of readRows(numbers)) {
      if (typeof fields.n !== "number") throw new DataError(`task sums: a row of ${numbers} has no number n.`);
      if (fields.n <= limit) all.push(fields.n);
    }
    const problem = (id: number, root: number): Problem => {
      const draw = (k: number) => all[Math.floor(uniformAt(root, id, [k]) * all.length)]!;
      const [a, b] = [draw(0), draw(1)];
      return { id, prompt: `${a}+${b}=`, columns: { a, b, sum: a + b } };
    };
    return {
      name: "sums",
      trainCount: Number.POSITIVE_INFINITY,
      trainProblem: (index) => problem(index, seed),
      heldOut: (count) => Array.from({ length: count }, (_, index) => problem(2 ** 31 + index, 0)),
      demonstrate: ({ columns }) => ({ completion: String(columns.sum), weightedSpans: [] }),
      judge: ({ columns }, completion) => ({
        solved: completion.trim() === String(columns.sum),
        wellFormed: /^\d+$/.test(completion.trim()),
        tries: 1,
        statistics: { empty: Number(completion === "") },
      }),
      statisticKinds: { empty: "share" },
    };
  },
});

const recipe = (task: string, trainer: string) =>
  parseRecipe(
    `
name: own-task
model: { init: { tokenizer: r1-compact, hiddenSize: 16, intermediateSize: 32, numLayers: 1, numHeads: 2, numKvHeads: 1, headDim: 8, maxContextTokens: 128 } }
task: ${task}
evaluation: { problems: 4, maxCompletionTokens: 8 }
engine: { threads: 1 }
${trainer}
`,
    join(root, "recipe.yaml"),
  );
const SFT = "trainer: sft\nsteps: 3\nbatchTokens: 256\nlearningRate: 1e-2\ncheckpointEvery: 1";
const GRPO =
  "trainer: grpo\niterations: 1\npromptsPerIteration: 4\ngroupSize: 2\nmaxCompletionTokens: 8\nlearningRate: 1e-3\n" +
  "rewards: [{ name: exact_match, options: { column: sum }, tasks: [sums] }, { name: repetition_penalty }]";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-own-task-"));
  const rows = [1, 2, 3, 500].map((n) => JSON.stringify({ n }));
  writeFileSync(join(root, "numbers.jsonl"), `${rows.join("\n")}\n`);
  extend({ tasks: [sums] });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function run(name: string, task: string, trainer: string, { resume = false, stop = false } = {}) {
  const out = join(root, name);
  const prepared = await prepareRecipe(recipe(task, trainer), { out, resume });
  try {
    const stopping = new AbortController();
    const observe = ({ type }: RunEvent) => {
      if (stop && type === "metrics") stopping.abort();
    };
    await runRecipe(prepared, { signal: stopping.signal, observe });
  } finally {
    await prepared.close();
  }
  const rowsOf = (file: string) =>
    readFileSync(join(out, file), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  return { out, rowsOf };
}

it("is trained on and evaluated by its name, its files relative to the recipe", async () => {
  const { rowsOf } = await run("alone", "{ name: sums, numbers: ./numbers.jsonl }", SFT);
  const [evaluation] = rowsOf("evaluations.jsonl");
  expect(evaluation).toMatchObject({ statistics: expect.objectContaining({ empty: expect.any(Number) }) });
  expect(recipe("{ name: sums, numbers: ./numbers.jsonl }", SFT).task).toEqual({
    ...{ name: "sums", numbers: join(root, "numbers.jsonl"), limit: 100 },
  });
});

it("takes turns with Aha's own in a mixture, where rewards know it by name", async () => {
  const mixture =
    "{ name: mixture, tasks: [{ task: { name: sums, numbers: ./numbers.jsonl } }, { task: { name: math, prompt: compact } }] }";
  const { rowsOf } = await run("mixed", mixture, GRPO);
  const rollouts = rowsOf("rollouts.jsonl") as { rewards: Record<string, { score: number | null }>; prompt: string }[];
  expect(rollouts).toHaveLength(8);
  const judged = rollouts.filter(({ rewards }) => rewards.exact_match!.score !== null);
  expect(judged.map(({ prompt }) => /^\d\+\d=$/.test(prompt))).toEqual([true, true, true, true]);
  expect(rowsOf("evaluations.jsonl")[0]).toMatchObject({
    statistics: expect.objectContaining({ "sums/solveRate": expect.any(Number), "math/solveRate": expect.any(Number) }),
  });
});

it("has its files watched: a resume is refused where they hold something else", async () => {
  const task = "{ name: sums, numbers: ./numbers.jsonl }";
  await expect(run("watched", task, SFT, { stop: true })).rejects.toThrow(RunInterrupted);
  writeFileSync(join(root, "numbers.jsonl"), '{"n": 4}\n');
  const resumed = run("watched", task, SFT, { resume: true });
  await expect(resumed).rejects.toThrow(RunDirError);
  await expect(resumed).rejects.toThrow(/numbers\.jsonl has changed/);
});

it("has its keys checked like everybody's, and is registered once", () => {
  expect(() => recipe("{ name: sums, numbrs: a }", SFT)).toThrow(/task\.numbrs: unknown key; did you mean "numbers"\?/);
  expect(() => recipe("{ name: sum, numbers: a }", SFT)).toThrow(/got the text "sum"; did you mean "sums"\?/);
  expect(() => extend({ tasks: [sums] })).toThrow(ConfigError);
});
