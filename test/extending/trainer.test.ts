/** A trainer that a program brings: one object, registered, and then a name in recipes like any other. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ConfigError,
  defineTrainer,
  extend,
  judgeCompletions,
  optimizerIssues,
  optimizerShape,
  parseRecipe,
  prepareRecipe,
  type RunEvent,
  RunInterrupted,
  requireLossCapability,
  requirePromptsFit,
  runRecipe,
  type StageContext,
  StageLoop,
  sampleCompletions,
  trainProblems,
  writeReport,
  z,
} from "aha-rl";
import { afterAll, beforeAll, expect, it } from "vitest";

const shape = {
  iterations: z.int().min(1).describe("sample-then-imitate cycles"),
  prompts: z.int().min(1).describe("problems in each"),
  samples: z.int().min(1).default(4).describe("completions of each problem"),
  maxCompletionTokens: z.int().min(1).describe("longest completion"),
  ...optimizerShape,
};
type Config = z.infer<z.ZodObject<typeof shape>>;

/** Expert iteration: imitate the best of the model's own completions (here the longest, which always is one). */
async function trainOnBest(context: StageContext<"policy">, config: Config) {
  const { engine, tokenizer, task, log, seed } = context;
  const loop = new StageLoop(context, config, { iterations: config.iterations, steps: config.iterations });
  return loop.run(async (iteration) => {
    const problems = [...trainProblems(task, iteration * config.prompts, config.prompts)];
    const { maxCompletionTokens } = config;
    const options = { temperature: 1, topP: 1, topK: 0, maxCompletionTokens, seed, iteration };
    const completions = await loop.timed("sampling", () =>
      sampleCompletions(engine, tokenizer, problems, config.samples, options, loop.sampling),
    );
    const rollouts = await judgeCompletions(completions, task, []);
    const best = problems.map(
      ({ promptId }) =>
        rollouts.filter((one) => one.promptId === promptId).sort((a, b) => b.tokens.length - a.tokens.length)[0]!,
    );
    const total = best.reduce((sum, { tokens }) => sum + tokens.length, 0);
    const data = best.map(({ promptTokens, tokens }) => ({
      ...{ promptTokens, completionTokens: tokens },
      weights: new Float32Array(tokens.length).fill(1 / total),
    }));
    const { loss } = await loop.step((adam) => engine.step(data, { name: "cross_entropy" }, adam));
    log.event("imitated", { iteration, completions: best.length });
    loop.state.numTokens += total;
    return { iteration, loss, length: total / best.length, num_tokens: loop.state.numTokens };
  });
}

const bestOwn = defineTrainer({
  name: "best_own",
  trains: "policy",
  unit: "iteration",
  isOnPolicy: true,
  shape: () => shape,
  issues: (config) => optimizerIssues(config, config.iterations),
  check: ({ engine, tokenizer, task, stage }, config) => {
    requireLossCapability(engine, "cross_entropy", { stage, key: "trainer" });
    requirePromptsFit(engine, tokenizer, trainProblems(task, 0, config.prompts), config.maxCompletionTokens);
  },
  train: trainOnBest,
  words: {
    title: "expert iteration",
    explain: ({ samples }) => `It imitates the best of ${samples} answers of its own.`,
  },
  curves: [{ title: "Length of what it imitates", caption: "In tokens.", metrics: { length: "tokens" } }],
});

const recipeText = (stage: string) => `
name: own-trainer
model: { init: { tokenizer: countdown-compact, hiddenSize: 16, intermediateSize: 32, numLayers: 1, numHeads: 2, numKvHeads: 1, headDim: 8, maxContextTokens: 96 } }
task: { name: countdown, prompt: compact, counts: [3], max: 10 }
evaluation: { problems: 4, maxCompletionTokens: 16 }
engine: { threads: 1 }
stages:
  - { name: warm-up, trainer: sft, steps: 2, batchTokens: 512, learningRate: 1e-3 }
  - { name: own, ${stage} }
`;
const STAGE =
  "trainer: best_own, iterations: 4, prompts: 2, maxCompletionTokens: 12, learningRate: 1e-3, checkpointEvery: 1";
const recipe = (stage = STAGE) => parseRecipe(recipeText(stage), "own.yaml");

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-own-trainer-"));
  extend({ trainers: [bestOwn] });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const metricsIn = (out: string) => readFileSync(join(out, "metrics.jsonl"), "utf8");

/** Runs in a folder of that name; stopped in the stage's iteration of that number, if there is one. */
async function run(name: string, { stopIn, resume = false }: { stopIn?: number; resume?: boolean } = {}) {
  const out = join(root, name);
  const prepared = await prepareRecipe(recipe(), { out, resume });
  const stop = new AbortController();
  const events: RunEvent[] = [];
  try {
    const observe = (event: RunEvent) => {
      events.push(event);
      if (event.type === "metrics" && event.stage === "own" && event.row.iteration === stopIn) stop.abort();
    };
    const summary = await runRecipe(prepared, { signal: stop.signal, observe });
    return { out, events, summary };
  } finally {
    await prepared.close();
  }
}

it("is trained by its name, beside a trainer of Aha's, with every default of its schema", async () => {
  const { out, events, summary } = await run("whole");
  const rows = metricsIn(out)
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(rows.filter(({ stage }) => stage === "own").map(({ step, iteration }) => [step, iteration])).toEqual([
    ...[
      [1, 0],
      [2, 1],
      [3, 2],
      [4, 3],
    ],
  ]);
  expect(recipe().stages[1]).toMatchObject({ samples: 4, weightDecay: 0, evaluateEvery: 0 });
  expect(summary.stages.map(({ trainer, steps }) => [trainer, steps])).toEqual([
    ["sft", 2],
    ["best_own", 4],
  ]);
  // It is on policy, so the model before it is what the model after it is compared with.
  expect(summary.before.moment).toBe("after warm-up, before own");
  expect(events.some((event) => event.type === "progress" && event.progress.phase === "sampling")).toBe(true);
  const page = readFileSync(await writeReport(out), "utf8");
  expect(page).toContain("expert iteration");
  expect(page).toContain("Length of what it imitates");
});

it("is interrupted and resumed to the byte by the loop alone", async () => {
  const { out } = await run("straight");
  const stopped = join(root, "stopped");
  await expect(run("stopped", { stopIn: 1 })).rejects.toThrow(RunInterrupted);
  await run("stopped", { resume: true });
  expect(metricsIn(stopped)).toBe(metricsIn(out));
  const weights = (path: string) => readFileSync(join(path, "model", "model.safetensors"));
  expect(weights(stopped).equals(weights(out))).toBe(true);
});

it("has its keys checked like everybody's, with the nearest name", () => {
  expect(() => recipe(STAGE.replace("prompts", "promts"))).toThrow(
    /stages\.own\.promts: unknown key; did you mean "prompts"\?/,
  );
  expect(() => recipe(STAGE.replace("best_own", "best_ow"))).toThrow(
    /got the text "best_ow"; did you mean "best_own"\?/,
  );
  expect(() => recipe(`${STAGE}, warmupSteps: 9`)).toThrow(/warmupSteps \(9\) is more than the 4 optimizer steps/);
});

it("is refused twice, and under a key that every stage has", () => {
  expect(() => extend({ trainers: [bestOwn] })).toThrow(ConfigError);
  expect(() => extend({ trainers: [bestOwn] })).toThrow(/There is a trainer named best_own already/);
});
