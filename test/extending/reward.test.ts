/** A reward that a program brings: one entry, registered, and then a name in recipes like any other. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  Compute,
  ConfigError,
  createReward,
  createRewards,
  defineRewardEntry,
  extend,
  loadPipeline,
  PipelineDirectory,
  parseRecipe,
  planPipeline,
  prepareRecipe,
  type RewardInput,
  RunDirError,
  RunInterrupted,
  resolveStages,
  runRecipe,
  runStages,
  z,
} from "aha-rl";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/** What happened to rewards of the kind `vocabulary`, in order. */
const lives: string[] = [];
let stopRun: AbortController | undefined;

/** The share of a completion's characters that a file lists. It remembers how many it was asked about. */
const vocabulary = defineRewardEntry({
  name: "vocabulary",
  title: "Vocabulary",
  summary: "the share of a completion's characters that a file lists",
  citation: "this test",
  columns: [],
  options: z.strictObject({
    path: z.string().min(1).describe("the file of characters"),
    patience: z.int().default(1).describe("how long it would wait; it changes no score"),
  }),
  paths: { path: "file" },
  identity: ({ patience: _, ...rest }) => rest,
  create: ({ path }) => {
    let known = "";
    let asked = 0;
    return {
      name: "vocabulary",
      open: async (state) => {
        known = await readFile(path, "utf8");
        asked = state === undefined ? 0 : Number(state);
        lives.push(`open ${asked}`);
      },
      judgeBatch: async (inputs) => {
        asked += inputs.length;
        stopRun?.abort();
        return inputs.map(({ completion }) => {
          const letters = [...completion];
          const share = letters.filter((one) => known.includes(one)).length / Math.max(1, letters.length);
          return { score: share, reason: `${letters.length} characters` };
        });
      },
      state: () => String(asked),
      stop: () => void lives.push("stop"),
      close: async () => void lives.push(`close ${asked}`),
    };
  },
});

/** Right where the completion is the column `word`. */
const sameWord = defineRewardEntry({
  name: "same_word",
  title: "Same word",
  summary: "1 where the completion is the word of the row",
  citation: "this test",
  columns: ["word"],
  saysRightFor: [["word"]],
  options: z.strictObject({}),
  create:
    () =>
    ({ completion, columns }: RewardInput) => ({ score: Number(completion === columns.word), reason: "" }),
});

const recipe = (rewards: string) =>
  parseRecipe(
    `
name: own-reward
model: { init: { tokenizer: countdown-compact, hiddenSize: 16, intermediateSize: 32, numLayers: 1, numHeads: 2, numKvHeads: 1, headDim: 8, maxContextTokens: 96 } }
task: { name: countdown, prompt: compact, counts: [3], max: 10 }
evaluation: { problems: 2, maxCompletionTokens: 8 }
engine: { threads: 1 }
trainer: grpo
rewards: [${rewards}]
iterations: 2
promptsPerIteration: 2
groupSize: 4
maxCompletionTokens: 12
learningRate: 1e-2
checkpointEvery: 1
`,
    join(root, "recipe.yaml"),
  );
const OWN = "{ name: vocabulary, as: digits, options: { path: ./digits.txt }, tasks: [countdown] }";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-own-reward-"));
  writeFileSync(join(root, "digits.txt"), "0123456789");
  extend({ rewards: [vocabulary, sameWord] });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function run(name: string, { resume = false, rewards = OWN.replace(", tasks: [countdown]", "") } = {}) {
  const out = join(root, name);
  const prepared = await prepareRecipe(recipe(rewards), { out, resume });
  try {
    const signal = stopRun?.signal;
    await runRecipe(prepared, { ...(signal && { signal }) });
  } finally {
    await prepared.close();
  }
  return out;
}

const textOf = (out: string, file: string) => readFileSync(join(out, file), "utf8");

describe("a reward of one's own", () => {
  it("judges by its name, under the name that the recipe gives it, with its file relative to the recipe", async () => {
    const out = await run("whole");
    const rows = textOf(out, "metrics.jsonl").trim().split("\n");
    for (const row of rows) expect(JSON.parse(row)["rewards/digits/mean"]).toBeGreaterThanOrEqual(0);
    expect(JSON.parse(textOf(out, "rollouts.jsonl").split("\n")[0]!).rewards.digits.reason).toMatch(/ characters$/);
    expect(recipe(OWN).stages[0]).toMatchObject({
      rewards: [{ options: { path: join(root, "digits.txt") } }],
    });
  });

  it("is opened before the first step, stopped where the user stops, closed after, and remembers up to the checkpoint", async () => {
    const straight = textOf(await run("straight"), "metrics.jsonl");
    lives.length = 0;
    stopRun = new AbortController();
    await expect(run("stopped")).rejects.toThrow(RunInterrupted);
    stopRun = undefined;
    // What was judged when the user stopped is dropped with its iteration, and so is what was remembered of it.
    expect(lives.filter((one) => one !== "close 0")).toEqual(["open 0", "open 0", "stop", "close 8"]);
    lives.length = 0;
    await run("stopped", { resume: true });
    expect(textOf(join(root, "stopped"), "metrics.jsonl")).toBe(straight);
    expect(lives.at(-1)).toBe("close 16");
  });

  it("keeps its life behind the names and tasks that a recipe gives it", async () => {
    lives.length = 0;
    const spec = {
      name: "vocabulary",
      as: "digits",
      options: { path: join(root, "digits.txt") },
      tasks: ["countdown"],
    };
    const [{ reward }] = createRewards([spec]) as [ReturnType<typeof createRewards>[number]];
    if ("judge" in reward) throw new TypeError("expected a reward that judges in batches");
    await reward.open?.("5");
    const input = { prompt: "", completion: "12", columns: { task: "countdown" } };
    expect(await reward.judgeBatch([input, { ...input, columns: { task: "math" } }])).toMatchObject([
      { score: 1 },
      { score: null, reason: "is for countdown" },
    ]);
    expect(reward.state?.()).toBe("6");
    reward.stop?.();
    await reward.close?.();
    expect(lives).toEqual(["open 5", "stop", "close 6"]);
  });

  it("says right and wrong for Aha's own rewards, by the columns that it names", async () => {
    const cosine = createReward("cosine", { maxLength: 10 });
    if ("judge" in cosine) throw new TypeError("expected a reward that asks another one");
    const input = { prompt: "", completion: "yes", columns: { word: "yes" } };
    const [right, wrong] = await cosine.judgeBatch([input, { ...input, columns: { word: "no" } }]);
    expect(right!.score).toBeGreaterThan(0.5);
    expect(wrong!.score).toBeLessThan(0);
  });

  it("has its file watched: a resume is refused where it holds something else", async () => {
    stopRun = new AbortController();
    await expect(run("watched")).rejects.toThrow(RunInterrupted);
    stopRun = undefined;
    writeFileSync(join(root, "digits.txt"), "abc");
    const resumed = run("watched", { resume: true });
    await expect(resumed).rejects.toThrow(RunDirError);
    await expect(resumed).rejects.toThrow(/digits\.txt has changed/);
    writeFileSync(join(root, "digits.txt"), "0123456789");
  });

  it("identifies a data set by the options that its scores are a function of, and by its file", async () => {
    const load = async (options: string) => {
      const path = join(root, "pipeline.yaml");
      const keep = `[{ reward: vocabulary, options: { path: ./digits.txt${options} }, min: 0 }]`;
      const task = "{ name: countdown, prompt: compact, counts: [3], max: 10 }";
      const step = `model: { path: whole/model }, task: ${task}, prompts: 2, samples: 2, maxCompletionTokens: 8, keep: ${keep}`;
      writeFileSync(path, `name: own-reward\npipeline:\n  - { name: filtered, rejectionSampling: { ${step} } }\n`);
      const loaded = await loadPipeline(path);
      return { loaded, stages: resolveStages(loaded, join(root, "out")) };
    };
    const { loaded, stages } = await load("");
    const about = { pipeline: "own-reward", seed: 0, threads: Compute.open({ threads: 1 }).threads };
    const directory = await PipelineDirectory.open(join(root, "out"), about);
    try {
      await runStages(loaded, stages, directory, {
        ...{ choice: {}, signal: new AbortController().signal, offline: true, observe: () => {} },
        reportRun: async () => {},
      });
      const planned = async (options: string) => {
        const changed = await load(options);
        const inputs = { stages: changed.stages, directory: directory.path, source: changed.loaded.path };
        const [plan] = await planPipeline({ ...inputs, lineage: directory.lineage, hashes: new Map() }, {});
        return [plan!.action, plan!.reason];
      };
      expect(await planned(", patience: 7")).toEqual(["reuse", "nothing has changed"]);
      writeFileSync(join(root, "digits.txt"), "abc");
      expect(await planned("")).toEqual(["run", "changed: the file digits.txt"]);
    } finally {
      directory.close();
      writeFileSync(join(root, "digits.txt"), "0123456789");
    }
  });

  it("has its options checked like everybody's, and its columns asked for", async () => {
    expect(() => recipe("{ name: vocabulry }")).toThrow(/There is no reward "vocabulry".*Did you mean vocabulary\?/);
    expect(() => recipe("{ name: vocabulary }")).toThrow(/reward vocabulary: path: is missing/);
    await expect(run("columns", { rewards: "{ name: same_word }" })).rejects.toThrow(
      /The reward same_word reads the column word, which problems of the task countdown do not have/,
    );
    expect(() => extend({ rewards: [vocabulary] })).toThrow(ConfigError);
  });
});
