/**
 * The worker's side of the page, played in Node: ONNX Runtime's WebAssembly, a private file system in memory, and a page that
 * sends messages and waits for others.
 */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { unzipSync } from "fflate";
import { beforeAll, describe, expect, it } from "vitest";
import type { WasmDevice } from "../../src/compute/web/wasm-device.ts";
import { MemoryFolder } from "../../src/folder.ts";
import { readModel } from "../../src/model/checkpoint.ts";
import { OpfsFolder } from "../../src/opfs-folder.ts";
import { CONTROLS } from "../../src/page/tab/settings.ts";
import type { PageMessage, WorkerMessage } from "../../src/web/protocol.ts";
import { LoadError } from "../../src/web/tab-errors.ts";
import { TabSession } from "../../src/web/tab-session.ts";
import { FakeDirectory, type Quota } from "./fake-opfs.ts";
import { openWasmInNode } from "./wasm-in-node.ts";

const RECIPE = fileURLToPath(new URL("../../recipes/countdown/tiny/recipe.yaml", import.meta.url));

/** A whole run in seconds. */
const QUICK = [
  "evaluation.problems=2",
  "evaluation.maxCompletionTokens=8",
  "stages.cold-start.steps=2",
  "stages.cold-start.batchTokens=256",
  "stages.cold-start.warmupSteps=0",
  "stages.r1-zero.iterations=3",
  "stages.r1-zero.warmupSteps=0",
  "stages.r1-zero.maxCompletionTokens=12",
  // Answers of random weights are never right; by their length they differ, so that there is something to learn.
  "stages.r1-zero.rewards=[{ name: format, weight: 0.2 }, { name: equation, weight: 1 }, { name: soft_overlong, weight: 1, options: { maxTokens: 12, cacheTokens: 11 } }]",
];
const SETTINGS = { promptsPerIteration: 2, groupSize: 4 };

let device: WasmDevice;
let recipeText: string;
beforeAll(async () => {
  [device, recipeText] = await Promise.all([openWasmInNode(), readFile(RECIPE, "utf8")]);
});

type Message<Type extends WorkerMessage["type"]> = Extract<WorkerMessage, { readonly type: Type }>;

/** A page: what it has heard, and waiting for more. */
class Page {
  readonly heard: WorkerMessage[] = [];
  readonly root: FakeDirectory;
  readonly session: TabSession;
  #wake = () => {};

  constructor(root: FakeDirectory, { coldStart = noColdStart, isKept = true } = {}) {
    this.root = root;
    this.session = new TabSession({
      ...{ recipeText, overrides: QUICK, isIsolated: false, isKept },
      folder: isKept ? new OpfsFolder(root) : new MemoryFolder("memory:tab"),
      openDevice: async () => ({ device, backend: "wasm", threads: 1 }),
      coldStart,
      storage: async () => ({ usedBytes: 1, quotaBytes: 2 }),
      post: (message) => {
        this.heard.push(message);
        this.#wake();
      },
    });
  }

  say(message: PageMessage): void {
    void this.session.receive(message);
  }

  /** The next message of this type that fits, of those that were not taken yet. */
  async next<Type extends WorkerMessage["type"]>(
    type: Type,
    fits: (message: Message<Type>) => boolean = () => true,
  ): Promise<Message<Type>> {
    for (;;) {
      const found = this.heard.findIndex((message) => message.type === type && fits(message as Message<Type>));
      if (found >= 0) return this.heard.splice(found, 1)[0] as Message<Type>;
      const error = this.heard.find((message) => message.type === "error");
      if (error && type !== "error") throw new Error(`the worker says: ${JSON.stringify(error)}`);
      await new Promise<void>((wake) => {
        this.#wake = wake;
      });
    }
  }

  activity(activity: Message<"state">["activity"]) {
    return this.next("state", (state) => state.activity === activity);
  }

  async open(): Promise<Message<"ready">> {
    this.say({ type: "open", backend: "auto" });
    return this.next("ready");
  }

  async leave(): Promise<void> {
    await this.session.receive({ type: "dispose" });
  }
}

async function noColdStart(): Promise<Uint8Array> {
  throw new LoadError("cold-start.safetensors cannot be loaded: the server answers 404.");
}

async function weightsOf(page: Page) {
  page.say({ type: "download" });
  const { blob, name } = await page.next("download");
  const files = unzipSync(new Uint8Array(await blob.arrayBuffer()));
  return { name, blob, files, weights: files["aha-countdown/model.safetensors"]! };
}

/** A whole run, undisturbed. */
async function wholeRun() {
  const page = new Page(new FakeDirectory());
  const ready = await page.open();
  page.say({ type: "start", from: "random", settings: SETTINGS });
  await page.activity("finished");
  const { name, blob, files, weights } = await weightsOf(page);
  const heard = [...page.heard];
  await page.leave();
  return { page, ready, heard, name, blob, files, weights };
}

let whole: Awaited<ReturnType<typeof wholeRun>>;
beforeAll(async () => {
  whole = await wholeRun();
}, 120_000);

const of = <Type extends WorkerMessage["type"]>(heard: readonly WorkerMessage[], type: Type) =>
  heard.filter((message) => message.type === type) as Message<Type>[];

describe("a run in a tab", () => {
  it("says what it has, trains, and tells every iteration", () => {
    const { ready, heard } = whole;
    expect(ready).toMatchObject({ backend: "wasm", threads: 1, parameters: 252_096, iterations: 3 });
    expect(ready.starts).toEqual(["cold-start", "random"]);
    expect(ready.limits).toEqual({ largest: 99, counts: [3], min: 1, max: 10, targetMin: 10, targetMax: 99 });
    expect(ready.settings).toMatchObject({
      groupSize: 16,
      temperature: 1,
      formatWeight: 0.2,
      equationWeight: 1,
      seed: 1,
    });
    expect(of(heard, "iteration").map(({ metrics }) => metrics.iteration)).toEqual([1, 2, 3]);
    expect(of(heard, "evaluation").map(({ result }) => [result.iteration, result.problems])).toEqual([
      [0, 2],
      [3, 2],
    ]);
    const phases = new Set(of(heard, "phase").map(({ phase }) => phase));
    expect([...phases]).toEqual(expect.arrayContaining(["demonstrating", "sampling", "judging", "updating", "saving"]));
  });

  it("tells of the cold start: its steps, and what the model writes meanwhile, which nothing is learned from", () => {
    const { heard } = whole;
    const lessons = of(heard, "lessons").flatMap(({ steps }) => steps);
    expect(lessons.map(({ step, steps }) => [step, steps])).toEqual([
      [1, 2],
      [2, 2],
    ]);
    // Random weights give each of the tokens about the same.
    expect(lessons[0]!.loss).toBeGreaterThan(4);
    expect(lessons.every(({ tokenAccuracy = -1 }) => tokenAccuracy >= 0 && tokenAccuracy <= 1)).toBe(true);
    const tried = of(heard, "try-out").map(({ result }) => result);
    expect(tried).toEqual([{ step: 0, answers: 64, formatRate: 0, solveRate: 0 }]);
    const group = of(heard, "group").find(({ tryOutStep }) => tryOutStep === 0)!;
    expect(group).toMatchObject({ iteration: 0, groups: 8 });
    expect(group.completions).toHaveLength(8);
    for (const { advantage, tokens, rewards } of group.completions) {
      expect(advantage).toBe(0);
      expect(rewards).toHaveLength(3);
      expect(tokens.length).toBeGreaterThan(0);
      expect(tokens.every(({ before, after }) => before < 0 && after === null)).toBe(true);
    }
  });

  it("shows a group of each iteration, its tokens, rewards and advantages", () => {
    const groups = of(whole.heard, "group").filter(({ tryOutStep }) => tryOutStep === undefined);
    expect(groups.map(({ iteration, groups }) => [iteration, groups])).toEqual([
      [1, 2],
      [2, 2],
      [3, 2],
    ]);
    for (const { problem, prompt, completions } of groups) {
      expect(prompt).toContain(`[${problem.numbers.join(", ")}], create an equation that equals ${problem.target}.`);
      expect(completions).toHaveLength(4);
      for (const { tokens, rewards, isCut } of completions) {
        expect(tokens.length).toBeLessThanOrEqual(12);
        expect(tokens.every(({ before }) => before < 0)).toBe(true);
        expect(tokens.filter(({ after }) => after === null)).toEqual([]);
        expect(rewards.map(({ name, weight }) => [name, weight])).toEqual([
          ["format", 0.2],
          ["equation", 1],
          ["soft_overlong", 1],
        ]);
        expect(isCut).toBe(tokens.length === 12 && !tokens.at(-1)!.text.includes("<|end"));
      }
    }
  });

  it("gives the model in the Hugging Face layout", async () => {
    const { name, files } = whole;
    expect(name).toBe("aha-countdown-3.zip");
    const folder = new MemoryFolder();
    for (const [path, bytes] of Object.entries(files)) folder.files.set(path.replace("aha-countdown/", ""), bytes);
    expect([...folder.files.keys()].sort()).toEqual([
      ...["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"],
    ]);
    const { config, values } = await readModel(folder);
    expect([config.architecture, config.hiddenSize, values.size]).toEqual(["qwen3", 96, 35]);
  });

  it("is stopped and goes on after the tab was closed, to the same bytes", async () => {
    const root = new FakeDirectory();
    const page = new Page(root);
    await page.open();
    page.say({ type: "start", from: "random", settings: SETTINGS, iterations: 3 });
    await page.activity("paused");
    await page.leave();

    const again = new Page(root);
    const { kept, starts } = await again.open();
    expect(starts).toContain("kept");
    expect(kept).toMatchObject({ iteration: 1, iterations: 3, from: "random", settings: SETTINGS });
    expect(kept!.history.map(({ iteration }) => iteration)).toEqual([1]);
    expect(kept!.lessons.map(({ step }) => step)).toEqual([1, 2]);
    expect(kept!.tryOuts.map(({ step }) => step)).toEqual([0]);
    again.say({ type: "ask", ask: 1, problem: { numbers: [1, 2, 3], target: 6 }, temperature: 1 });
    expect((await again.next("answer", ({ end }) => end !== undefined)).end).toMatchObject({ iteration: 1 });
    again.say({ type: "start", from: "kept", settings: {}, iterations: 1 });
    const { metrics: second } = await again.next("iteration", ({ metrics }) => metrics.iteration === 2);
    await again.activity("paused");
    again.say({ type: "resume" });
    await again.activity("finished");
    expect(Buffer.compare((await weightsOf(again)).weights, whole.weights)).toBe(0);
    await again.leave();

    const finished = new Page(root);
    const end = (await finished.open()).kept!;
    expect(end).toMatchObject({ iteration: 3, iterations: 3 });
    // What the first iteration after the tab was opened again told of itself is what was kept of it.
    expect(second).toEqual(end.history[1]);
    finished.say({ type: "start", from: "kept", settings: {} });
    await finished.activity("finished");
    expect(Buffer.compare((await weightsOf(finished)).weights, whole.weights)).toBe(0);
    await finished.leave();
  }, 120_000);
});

describe("a run that is left in its cold start", () => {
  it("saves the step that it was in", async () => {
    const root = new FakeDirectory();
    const page = new Page(root);
    await page.open();
    page.say({ type: "start", from: "random", settings: SETTINGS });
    await page.next("try-out");
    await page.leave();
    const again = new Page(root);
    expect((await again.open()).kept!.lessons.map(({ step }) => step)).toEqual([1]);
    await again.leave();
  }, 60_000);

  it("tells nothing more, so that the next one's curves are its own", async () => {
    const page = new Page(new FakeDirectory());
    await page.open();
    page.say({ type: "start", from: "random", settings: SETTINGS });
    // The first step is next.
    await page.next("try-out");
    page.heard.length = 0;
    page.say({ type: "start", from: "random", settings: SETTINGS, iterations: 0 });
    await page.next("state", ({ activity, runNumber }) => activity === "paused" && runNumber === 2);
    expect(page.heard.filter(({ type }) => type !== "state")).toEqual([]);
    expect(of(page.heard, "state").map(({ runNumber }) => runNumber)).not.toContain(1);
    await page.leave();
  }, 60_000);
});

describe("the page's controls", () => {
  it("change a run that goes on, and what changed stands in its history", async () => {
    const root = new FakeDirectory();
    const page = new Page(root);
    await page.open();
    page.say({ type: "start", from: "random", settings: SETTINGS, iterations: 3 });
    await page.activity("paused");
    page.say({ type: "change", settings: { groupSize: 3, klCoef: 0.1 } });
    await page.next("state", ({ activity, settings }) => activity === "paused" && settings.groupSize === 3);
    page.say({ type: "resume", iterations: 1 });
    const group = await page.next("group", ({ iteration }) => iteration === 2);
    expect(group.completions).toHaveLength(3);
    const { metrics } = await page.next("iteration", ({ metrics }) => metrics.iteration === 2);
    expect(metrics.changed).toEqual({ groupSize: 3, klCoef: 0.1 });
    await page.activity("paused");
    page.say({ type: "watch", group: 1 });
    const watched = await page.next("group", ({ group }) => group === 1);
    expect(watched.completions.every(({ tokens }) => tokens.every(({ after }) => after !== null))).toBe(true);
    await page.leave();
    const again = new Page(root);
    expect((await again.open()).kept!.settings).toMatchObject({ groupSize: 3, klCoef: 0.1 });
    await again.leave();
  }, 120_000);

  // Weights of rewards are fixed here, by the overrides above.
  const free = CONTROLS.filter(({ key }) => !key.endsWith("Weight"));
  it.each(free.flatMap(({ key, values }) => [values[0]!, values.at(-1)!].map((value) => [key, value] as const)))(
    "work at the ends of their sliders: %s %d",
    async (key, value) => {
      const page = new Page(new FakeDirectory(), { coldStart: async () => whole.weights });
      await page.open();
      // A run that goes on is changed, as by somebody who moves the slider.
      page.say({ type: "start", from: "cold-start", settings: SETTINGS, iterations: 1 });
      await page.activity("paused");
      page.say({ type: "change", settings: { [key]: value } });
      await page.next("state", ({ activity, settings }) => activity === "paused" && settings[key] === value);
      page.say({ type: "resume", iterations: 1 });
      const { metrics } = await page.next("iteration", ({ metrics }) => metrics.iteration === 2);
      expect(metrics.changed).toEqual({ [key]: value });
      expect(Number.isFinite(metrics.reward)).toBe(true);
      await page.activity("paused");
      expect((await weightsOf(page)).weights.length).toBe(whole.weights.length);
      await page.leave();
    },
    120_000,
  );

  it.each([
    [{ groupSize: 1 }, "groupSize: expected a whole number from 2 to 64, not 1"],
    [{ temperature: Number.NaN }, "temperature: expected a number from 0.1 to 2, not NaN"],
    [{ learningRate: -1 }, "learningRate: expected a number from 0 to 0.1, not -1"],
    [{ evil: 1 } as object, "There is no setting evil"],
  ])("are refused where they cannot be: %j", async (settings, message) => {
    const page = new Page(new FakeDirectory());
    await page.open();
    page.say({ type: "start", from: "random", settings });
    expect(await page.next("error")).toMatchObject({
      kind: "settings",
      isFatal: false,
      message: expect.stringContaining(message),
    });
    await page.leave();
  });
});

describe("a problem that somebody types", () => {
  it("is answered, also while the run waits; or refused by what is wrong with it", async () => {
    const page = new Page(new FakeDirectory());
    await page.open();
    page.say({ type: "start", from: "random", settings: SETTINGS, iterations: 0 });
    await page.activity("paused");
    page.say({ type: "ask", ask: 7, problem: { numbers: [1, 2, 3], target: 6 }, temperature: 0 });
    const { end } = await page.next("answer", ({ end }) => end !== undefined);
    expect(end).toMatchObject({ isSolved: false, tokens: 8, how: "length", iteration: 0 });
    for (const [numbers, target, message] of [
      [[1, 200], 6, "Expected a number from 0 to 99, not 200"],
      [[1, 2], Number.NaN, "Expected a target from 0 to 99, not NaN"],
      [[], 6, "Expected 1 to 6 numbers, not 0"],
      [[0.5], 6, "Expected a number from 0 to 99, not 0.5"],
    ] as const) {
      page.say({ type: "ask", ask: 8, problem: { numbers, target }, temperature: 1 });
      expect(await page.next("error")).toMatchObject({
        kind: "problem",
        ask: 8,
        message: expect.stringContaining(message),
      });
    }
    await page.leave();
  }, 60_000);
});

describe("a checkpoint that is dropped on the page", () => {
  const drop = async (files: Record<string, Uint8Array>) => {
    const page = new Page(new FakeDirectory());
    await page.open();
    const dropped = Object.entries(files).map(([path, bytes]) => ({ path, blob: new Blob([bytes.slice()]) }));
    page.say({ type: "drop", files: dropped });
    return page;
  };

  it("is taken, zipped or not, and a run begins with it", async () => {
    const page = await drop({ "aha-countdown-3.zip": new Uint8Array(await whole.blob.arrayBuffer()) });
    expect(await page.next("dropped")).toMatchObject({ parameters: 252_096 });
    page.say({ type: "start", from: "dropped", settings: SETTINGS, iterations: 0 });
    expect(await page.activity("paused")).toMatchObject({ from: "dropped", iteration: 0 });
    expect(Buffer.compare((await weightsOf(page)).weights, whole.weights)).toBe(0);
    await page.leave();
    const files = await drop(whole.files);
    await files.next("dropped");
    await files.leave();
  }, 60_000);

  it("is refused where it is damaged", async () => {
    for (const files of [
      { "model.zip": new TextEncoder().encode("no zip") },
      { "aha/config.json": whole.files["aha-countdown/config.json"]! },
      { ...whole.files, "aha-countdown/model.safetensors": whole.weights.slice(0, 1000) },
      { ...whole.files, "aha-countdown/model.safetensors": whole.weights.slice().fill(255, -8) },
    ]) {
      const page = await drop(files);
      expect(await page.next("error")).toMatchObject({ kind: "damaged-checkpoint", isFatal: false });
      await page.leave();
    }
  });

  it("is refused where it is of another model", async () => {
    const text = new TextDecoder().decode(whole.files["aha-countdown/tokenizer.json"]!);
    const tokenizer = new TextEncoder().encode(text.replace("too low", "too law"));
    const config = JSON.parse(new TextDecoder().decode(whole.files["aha-countdown/config.json"]!)) as object;
    const other = new TextEncoder().encode(JSON.stringify({ ...config, num_attention_heads: 6 }));
    for (const [name, bytes] of [
      ["tokenizer.json", tokenizer],
      ["config.json", other],
    ] as const) {
      const page = await drop({ ...whole.files, [`aha-countdown/${name}`]: bytes });
      const error = await page.next("error");
      expect(error.message).toMatch(/another model/);
      expect(["foreign-checkpoint", "damaged-checkpoint"]).toContain(error.kind);
      await page.leave();
    }
  });
});

describe("what can be missing", () => {
  it("is told: the cold start, a run, room", async () => {
    const quota: Quota = { bytes: Number.POSITIVE_INFINITY, used: 0 };
    const page = new Page(new FakeDirectory(quota));
    await page.open();
    page.say({ type: "pause" });
    expect(await page.next("error")).toMatchObject({ kind: "settings", message: "There is no run yet: start one." });
    page.say({ type: "start", from: "cold-start", settings: {} });
    expect(await page.next("error")).toMatchObject({ kind: "load" });
    page.say({ type: "start", from: "random", settings: SETTINGS, iterations: 3 });
    await page.activity("paused");
    quota.bytes = quota.used;
    page.heard.length = 0;
    page.say({ type: "resume" });
    expect(await page.next("error")).toMatchObject({ kind: "storage", isFatal: false });
    expect(await page.next("storage")).toMatchObject({ state: "full" });
    await page.activity("paused");
    // It goes on in memory, and saves again when there is room.
    quota.bytes = Number.POSITIVE_INFINITY;
    page.say({ type: "resume" });
    await page.activity("finished");
    expect(Buffer.compare((await weightsOf(page)).weights, whole.weights)).toBe(0);
    page.say({ type: "forget" });
    await page.next("storage");
    expect([...page.root.entries.keys()]).toEqual([]);
    await page.leave();
  }, 120_000);

  it("is no private file system: the run goes on in memory, and is gone with the tab", async () => {
    const page = new Page(new FakeDirectory(), { isKept: false });
    await page.open();
    expect(await page.next("storage")).toMatchObject({ state: "none" });
    page.say({ type: "start", from: "random", settings: SETTINGS, iterations: 1 });
    await page.activity("paused");
    await page.leave();
  }, 60_000);

  it("is a cold start of any weights that fit: the run begins after it", async () => {
    const page = new Page(new FakeDirectory(), { coldStart: async () => whole.weights });
    await page.open();
    // It answers before there is a run, and leaves nothing behind.
    page.say({ type: "ask", ask: 1, problem: { numbers: [1, 2, 3], target: 6 }, temperature: 1 });
    expect((await page.next("answer", ({ end }) => end !== undefined)).end).toMatchObject({ iteration: 0 });
    expect([...page.root.entries.keys()]).toEqual([]);
    page.say({ type: "start", from: "cold-start", settings: SETTINGS, iterations: 1 });
    await page.next("evaluation", ({ result }) => result.iteration === 0);
    await page.next("iteration", ({ metrics }) => metrics.iteration === 1);
    await page.leave();
  }, 60_000);
});
