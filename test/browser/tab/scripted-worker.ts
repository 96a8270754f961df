/**
 * A worker that computes nothing and says what a real one would, from a script: for tests of the page alone. It is bundled in
 * place of dist/web/worker.js, once for each fault that a test wants.
 */

import type {
  GroupMessage,
  IterationMetrics,
  PageMessage,
  RewardPart,
  TabCompletion,
  TabProblem,
  WorkerMessage,
} from "../../../src/web/protocol.ts";

import { RECIPE_SETTINGS } from "../../page/tab/recipe-settings.ts";

/** What goes wrong, put in by esbuild. */
declare const FAULT: string;

const say = (message: WorkerMessage) => postMessage(message);
const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

const ITERATIONS = 110;
/** Where a run pauses by itself, so that a test on a busy machine sees the same run; `endless` and `fast` go on. */
const PAUSE_AT = FAULT === "endless" || FAULT === "fast" ? ITERATIONS : 12;
const LIMITS = { largest: 99, counts: [3], min: 1, max: 10, targetMin: 10, targetMax: 99 };

let settings = RECIPE_SETTINGS;
let iteration = 0;
let until = 0;
let isRunning = false;
let runNumber = 0;
let asking = 0;

/** Numbers that look drawn, the same every time. */
function noise(...key: number[]): number {
  let state = 2166136261;
  for (const one of key) state = Math.imul(state ^ (one + 0x9e37), 16777619) >>> 0;
  state = Math.imul(state ^ (state >>> 15), 2246822519) >>> 0;
  return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
}

const skill = (at: number) => 0.68 - 0.41 * Math.exp(-at / 30);

function metricsOf(at: number): IterationMetrics {
  const wobble = (noise(at, 7) - 0.5) * 0.09;
  const rate = Math.max(0, Math.min(1, skill(at) + wobble));
  return {
    iteration: at,
    solveRate: rate,
    tries: 3.2 + (skill(at) - 0.27) * 9 + wobble * 6,
    length: 52 + (skill(at) - 0.27) * 126 + wobble * 80,
    reward: rate + 0.19,
    formatRate: 0.96,
    learningRate: settings.learningRate,
    zeroVariance: 0.1,
    samplingSeconds: 1.1,
    updateSeconds: 0.9,
    sampledTokens: 16_000,
  };
}

const LINES = [
  "(5-6)*6=1*6=6 too low\n",
  "(5*6)-6=30-6=24 too high\n",
  "(6*6)+5=36+5=41 too high\n",
  "6*(6-5)=6*1=6 too low\n",
];
const HIT = ["(5+6)+6=11+6=17 yes", "</think>\n", "<answer>(5+6)+6</answer>"];
const SLIP = ["(6+6)+5=12+5=18 yes", "</think>\n", "<answer>(6+6)+4</answer>"];
const PROBLEM: TabProblem = { numbers: [6, 6, 5], target: 17 };

/** Cut as the compact tokenizer cuts. */
function tokensOf(text: string): string[] {
  return text.match(/ (?:too (?:low|high)\n|yes)|<\/think>\n|<\/?answer>|\d+|[^\d]/g) ?? [];
}

function completionOf(at: number, sample: number): TabCompletion {
  const isSolved = noise(at, sample) < skill(at);
  const misses = Array.from(
    { length: Math.floor(noise(at, sample, 3) * 5) },
    (_, i) => LINES[(i + sample) % LINES.length]!,
  );
  const text = [...misses, ...(isSolved ? HIT : SLIP)].join("");
  const rewards: RewardPart[] = [
    {
      name: "format",
      weight: settings.formatWeight,
      score: 1,
      reason: "has the form <think>…</think>, <answer>…</answer>",
    },
    {
      name: "equation",
      weight: settings.equationWeight,
      score: isSolved ? 1 : 0,
      reason: isSolved ? "the answer is 17, with every number used once" : "the answer uses 4, which is not given",
    },
  ];
  const reward = rewards.reduce((sum, { weight, score }) => sum + weight * (score ?? 0), 0);
  return {
    tokens: tokensOf(text).map((piece, i) => {
      const before = Math.log(0.05 + 0.94 * noise(at, sample, i, 1));
      const push = (isSolved ? 0.16 : -0.16) * (noise(at, sample, i, 2) - 0.15);
      return { text: piece, before, after: Math.min(-1e-4, before + push) };
    }),
    isSolved,
    isCut: false,
    reward,
    advantage: 0,
    rewards,
  };
}

function groupOf(at: number, group: number): GroupMessage {
  const completions = Array.from({ length: settings.groupSize }, (_, sample) => completionOf(at * 31 + group, sample));
  const rewards = completions.map(({ reward }) => reward ?? 0);
  const mean = rewards.reduce((a, b) => a + b, 0) / rewards.length;
  const deviation = Math.sqrt(rewards.reduce((sum, one) => sum + (one - mean) ** 2, 0) / (rewards.length - 1));
  return {
    type: "group",
    iteration: at,
    group,
    groups: settings.promptsPerIteration,
    problem: PROBLEM,
    prompt: "Using the numbers [6, 6, 5], create an equation that equals 17.\n<think>",
    temperature: settings.temperature,
    completions: completions.map((one) => ({
      ...one,
      advantage: deviation === 0 ? 0 : ((one.reward ?? 0) - mean) / (deviation + 1e-4),
    })),
  };
}

const LESSONS = 400;

/** The cold start of a run from random weights: its answers take form. */
async function learn(): Promise<void> {
  isRunning = true;
  const state = { activity: "cold-start", from: "random", iteration: 0 } as const;
  say({ type: "state", runNumber, ...state, iterations: ITERATIONS, settings });
  for (let step = 0; step < LESSONS; step += 20) {
    if (step % 100 === 0) tryOut(step);
    const steps = Array.from({ length: 20 }, (_, i) => {
      const at = step + i + 1;
      return {
        step: at,
        steps: LESSONS,
        loss: 0.6 + 3.9 * Math.exp(-at / 60),
        tokenAccuracy: 0.8 - 0.75 * Math.exp(-at / 60),
      };
    });
    say({ type: "lessons", steps });
    say({ type: "phase", iteration: step, phase: "demonstrating", done: step + 20, total: LESSONS });
    await wait(FAULT === "endless" ? 200 : 4);
    if (FAULT === "learning" && step === 200) return;
  }
  isRunning = false;
  return train();
}

function tryOut(step: number): void {
  const known = step / LESSONS;
  say({ type: "phase", iteration: step, phase: "trying", done: 32, total: 64 });
  say({ type: "try-out", result: { step, answers: 64, formatRate: known, solveRate: known * 0.3 } });
  const { iteration: _, completions, ...group } = groupOf(step, 0);
  say({
    ...group,
    ...{ iteration: 0, tryOutStep: step },
    completions: completions.map((one) => ({
      ...one,
      advantage: 0,
      tokens: one.tokens.map((token) => ({ ...token, after: null })),
      ...(known === 0 && { isSolved: false, reward: 0, tokens: [{ text: "7(=(", before: -4.9, after: null }] }),
    })),
  });
}

function evaluate(): void {
  const rate = skill(iteration);
  const { tries, length } = metricsOf(iteration);
  say({
    type: "evaluation",
    result: { iteration, problems: 100, solveRate: rate, low: rate - 0.09, high: rate + 0.09, tries, length },
  });
}

let watched: number | "mixed" = "mixed";
const shownGroup = () => groupOf(iteration, watched === "mixed" ? 4 : watched);

function tellState(activity: "training" | "paused" | "pausing" | "finished"): void {
  const state = { activity, from: "cold-start", iteration } as const;
  say({ type: "state", runNumber, ...state, iterations: ITERATIONS, settings });
}

async function train(): Promise<void> {
  if (isRunning) return;
  isRunning = true;
  tellState("training");
  if (iteration === 0) evaluate();
  while (iteration < until) {
    const count = settings.groupSize * settings.promptsPerIteration;
    for (const phase of ["sampling", "judging", "updating", "scoring"] as const) {
      say({ type: "phase", iteration: iteration + 1, phase, done: count >> 1, total: count, tokensPerSecond: 4150 });
      await wait(FAULT === "endless" ? 200 : 4);
    }
    iteration++;
    if (FAULT === "crash" && iteration === 3) {
      setTimeout(() => {
        throw new Error("memory access out of bounds");
      });
      return;
    }
    say({ type: "iteration", metrics: metricsOf(iteration) });
    say(shownGroup());
    if (iteration % 10 === 0) evaluate();
    if (iteration % 5 === 0) {
      say({ type: "saved", iteration, bytes: 3_000_000 });
      say({ type: "storage", state: "kept", usedBytes: 3_200_000, quotaBytes: 1e9 });
    }
    if (FAULT === "full" && iteration === 3) {
      say({ type: "storage", state: "full", usedBytes: 3_200_000, quotaBytes: 3_300_000 });
      say({
        type: "error",
        kind: "storage",
        message:
          "The checkpoint of iteration 3 needs 3 MB, and the browser has 0.1 MB left for this page. Training goes on, but closing the tab would lose it. Download the model, or forget what is kept.",
        isFatal: false,
      });
    }
    if (FAULT === "device" && iteration === 3) {
      say({
        type: "error",
        kind: "device",
        message: "The browser has taken the GPU away (it was lost while a program ran). What was saved is kept.",
        isFatal: true,
      });
      return;
    }
  }
  isRunning = false;
  tellState(iteration >= ITERATIONS ? "finished" : "paused");
}

const HOSTILE = '<img src=x onerror="document.title=1">\u202Eevil\n<answer>(5+6)+6</answer>';

async function answer(ask: number, problem: TabProblem): Promise<void> {
  asking = ask;
  const text = FAULT === "hostile" ? HOSTILE : [...LINES, ...LINES, ...HIT].join("");
  for (const piece of tokensOf(text)) {
    if (asking !== ask) break;
    say({ type: "answer", ask, text: piece });
    await wait(8);
  }
  const isStopped = asking !== ask;
  const isSolved = !isStopped && problem.target === 17;
  const reason = isSolved ? "the answer is 17, with every number used once" : `the answer is 17, not ${problem.target}`;
  const how = isStopped ? "stopped" : "stop";
  say({ type: "answer", ask, text: "", end: { isSolved, reason, tokens: 90, how, iteration } });
}

async function open(): Promise<void> {
  const totalBytes = 12_400_000;
  for (let loadedBytes = 0; loadedBytes <= totalBytes; loadedBytes += 1_550_000) {
    say({ type: "loading", part: loadedBytes < 11e6 ? "runtime" : "model", loadedBytes, totalBytes });
    await wait(20);
  }
  // It loads for as long as somebody waits.
  if (FAULT === "loading") return;
  if (FAULT === "load") {
    const message = "ort.wasm did not come: the server answered 404. Build the page again (npm run web), or reload.";
    return say({ type: "error", kind: "load", message, isFatal: true });
  }
  const none = FAULT === "plain";
  say({ type: "storage", state: none ? "none" : "kept", usedBytes: 0, quotaBytes: none ? 0 : 1e9 });
  say({
    type: "ready",
    backend: "wasm",
    backendReason: "This browser has no WebGPU.",
    threads: none ? 1 : 2,
    isIsolated: !none,
    parameters: 263_000,
    limits: LIMITS,
    iterations: ITERATIONS,
    settings,
    starts: ["cold-start", "random"],
  });
}

addEventListener("message", ({ data }: MessageEvent<PageMessage>) => {
  switch (data.type) {
    case "open":
      return void open();
    case "start":
      settings = { ...settings, ...data.settings };
      iteration = 0;
      runNumber++;
      until = Math.min(data.iterations ?? ITERATIONS, PAUSE_AT);
      return void (data.from === "random" ? learn() : train());
    case "resume":
      until = iteration + (data.iterations ?? PAUSE_AT);
      return void train();
    case "pause":
      until = iteration + 1;
      return tellState("pausing");
    case "change":
      settings = { ...settings, ...data.settings };
      return tellState(isRunning ? "training" : "paused");
    case "watch":
      watched = data.group;
      return iteration > 0 ? say(shownGroup()) : undefined;
    case "ask":
      return void answer(data.ask, data.problem);
    case "stop-asking":
      asking = 0;
      return;
    case "download":
      return say({ type: "download", name: "aha-countdown.zip", blob: new Blob(["PK"]) });
    case "drop": {
      const name = data.files[0]!.path;
      if (name.includes("foreign")) {
        const message = `${name} is a model of 494.03M parameters with a vocabulary of 151,936 tokens. This page trains one with 131 tokens: drop a checkpoint that it has saved, or one of recipes/countdown/tiny.`;
        return say({ type: "error", kind: "foreign-checkpoint", message, isFatal: false });
      }
      if (name.includes("damaged")) {
        const message = `${name} ends after 1,000 of 1,052,672 bytes. Download or copy it again.`;
        return say({ type: "error", kind: "damaged-checkpoint", message, isFatal: false });
      }
      return say({ type: "dropped", name, parameters: 263_000 });
    }
    case "forget":
      return say({ type: "storage", state: "kept", usedBytes: 0, quotaBytes: 1e9 });
    case "dispose":
      return close();
  }
});
