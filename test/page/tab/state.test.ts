import { describe, expect, it } from "vitest";
import { BLANK, type News, stateAfter, type TabState } from "../../../src/page/tab/state.ts";
import { remedyFor, Telling } from "../../../src/page/tab/telling.ts";
import { LOOK_EVERY, Watch } from "../../../src/page/tab/watch.ts";
import type { IterationMetrics, ReadyMessage, RunStateMessage, TabSettings } from "../../../src/web/protocol.ts";
import { RECIPE_SETTINGS } from "./recipe-settings.ts";

const settings = RECIPE_SETTINGS;
const metrics = (iteration: number): IterationMetrics => ({
  iteration,
  solveRate: 0.3,
  tries: 3.5,
  length: 60,
  reward: 0.5,
  formatRate: 1,
  learningRate: 2e-4,
  zeroVariance: 0,
  samplingSeconds: 1,
  updateSeconds: 1,
  sampledTokens: 100,
});
const run = (activity: RunStateMessage["activity"], iteration = 0, runNumber = 1): RunStateMessage => {
  return { type: "state", runNumber, activity, from: "cold-start", iteration, iterations: 110, settings };
};
const evaluated = (iteration: number) => {
  return { iteration, problems: 100, solveRate: 0.3, low: 0.2, high: 0.4, tries: 3, length: 50 };
};
const ready: ReadyMessage = {
  type: "ready",
  backend: "wasm",
  threads: 2,
  isIsolated: true,
  parameters: 263_000,
  limits: { largest: 99, counts: [3], min: 1, max: 10, targetMin: 10, targetMax: 99 },
  iterations: 110,
  settings,
  starts: ["kept", "cold-start", "random"],
  kept: {
    iteration: 2,
    iterations: 110,
    from: "cold-start",
    settings: { ...settings, klCoef: 0.01 },
    savedAt: 0,
    history: [metrics(1), metrics(2)],
    evaluations: [evaluated(0)],
    lessons: [],
    tryOuts: [],
  },
};
const stateOf = (...news: News[]): TabState => news.reduce(stateAfter, BLANK);
const fault = (kind: "fault" | "storage" | "memory", isFatal = false): News => ({
  type: "error",
  kind,
  message: "M.",
  isFatal,
});

describe("the page's state", () => {
  it("knows that a run was asked for, until it is there or cannot be", () => {
    const start: News = { type: "sent", message: { type: "start", from: "cold-start", settings: {} } };
    expect(stateOf(ready, start).isStarting).toBe(true);
    expect(stateOf(ready, start, run("training")).isStarting).toBe(false);
    expect(stateOf(ready, start, fault("fault")).isStarting).toBe(false);
    expect(stateOf(ready, start, fault("memory", true)).isStarting).toBe(false);
  });

  it("takes nothing of the old run into a new one's curves, and no state of it for the new one's", () => {
    const old: News[] = [
      { type: "lessons", steps: [{ step: 3, steps: 2400, loss: 4.6 }] },
      { type: "try-out", result: { step: 10, answers: 64, formatRate: 0.1, solveRate: 0 } },
      { type: "iteration", metrics: metrics(1) },
      { type: "evaluation", result: evaluated(0) },
      { type: "saved", iteration: 1, bytes: 1 },
      run("paused", 1),
    ];
    const begun = stateOf(ready, run("paused"), {
      type: "sent",
      message: { type: "start", from: "random", settings: {} },
    });
    expect(old.reduce(stateAfter, begun)).toBe(begun);
    const there = stateAfter(begun, run("cold-start", 0, 2));
    expect([there.isStarting, there.lessons, there.history]).toEqual([false, [], []]);
    expect(stateAfter(there, old[0]!).lessons).toHaveLength(1);
  });

  it("has the steps of a cold start, and those that are done again after a resume only once", () => {
    const lesson = (step: number, loss: number) => ({ step, steps: 2400, loss });
    const tried = (step: number, formatRate: number) => ({ step, answers: 64, formatRate, solveRate: 0 });
    const state = stateOf(
      ready,
      { type: "sent", message: { type: "start", from: "random", settings: {} } },
      run("cold-start"),
      { type: "try-out", result: tried(0, 0) },
      { type: "lessons", steps: [lesson(1, 4.8), lesson(2, 4.7), lesson(3, 4.6)] },
      { type: "try-out", result: tried(10, 0.1) },
      { type: "lessons", steps: [lesson(2, 4.75)] },
      { type: "try-out", result: tried(10, 0.2) },
    );
    expect(state.lessons).toEqual([lesson(1, 4.8), lesson(2, 4.75)]);
    expect(state.tryOuts).toEqual([tried(0, 0), tried(10, 0.2)]);
    const again = stateAfter(state, { type: "sent", message: { type: "start", from: "cold-start", settings: {} } });
    expect([again.lessons, again.tryOuts]).toEqual([[], []]);
  });

  it("takes the curves of a kept run where it goes on, and none where it starts anew", () => {
    expect(stateOf(ready).history).toHaveLength(2);
    const kept = stateOf(ready, { type: "sent", message: { type: "start", from: "kept", settings: {} } });
    expect(kept.history.map(({ iteration }) => iteration)).toEqual([1, 2]);
    expect(kept.settings?.klCoef).toBe(0.01);
    const fresh = stateAfter(kept, { type: "sent", message: { type: "start", from: "random", settings: {} } });
    expect([fresh.history, fresh.evaluations, fresh.group]).toEqual([[], [], undefined]);
  });

  it("replaces iterations that are computed again", () => {
    const news = [1, 2, 3, 2].map((one): News => ({ type: "iteration", metrics: metrics(one) }));
    expect(stateOf(run("training"), ...news).run?.iteration).toBe(2);
    expect(stateOf(...news).history.map(({ iteration }) => iteration)).toEqual([1, 2]);
  });

  it("leaves the parts alone that news does not concern", () => {
    const before = stateOf(ready, { type: "iteration", metrics: metrics(1) });
    const now = stateAfter(before, { type: "phase", iteration: 2, phase: "sampling", done: 1, total: 2 });
    expect(now.history).toBe(before.history);
    expect(now.ready).toBe(before.ready);
  });

  it("adds up the text of the answer that was asked for, and drops what belongs to an older one", () => {
    const problem = { numbers: [6, 6, 5], target: 17 };
    const asked = stateOf({ type: "sent", message: { type: "ask", ask: 2, problem, temperature: 1 } });
    const told = (ask: number, text: string): News => ({ type: "answer", ask, text });
    const now = [told(1, "old"), told(2, "(5+6)"), told(2, "+6")].reduce(stateAfter, asked);
    expect(now.answer?.text).toBe("(5+6)+6");
    const long = Array.from({ length: 30 }, () => told(2, "x".repeat(10_000))).reduce(stateAfter, now);
    expect(long.answer?.text.length).toBe(100_000);
    const failed = stateAfter(now, { type: "error", kind: "problem", message: "No.", isFatal: false, ask: 2 });
    expect(failed.answer?.fault).toBe("No.");
    expect(failed.troubles).toEqual([]);
  });

  it("tells each kind of trouble once, at most three, and nothing works behind a fatal one", () => {
    const now = stateOf(ready, fault("fault"), fault("fault"), fault("storage"));
    expect(now.troubles.map(({ kind }) => kind)).toEqual(["fault", "storage"]);
    expect(new Set(now.troubles.map(({ id }) => id)).size).toBe(2);
    expect(stateAfter(now, { type: "put-away", id: now.troubles[0]!.id }).troubles).toHaveLength(1);
    expect(stateAfter(now, fault("memory", true)).worker).toBe("stopped");
    const begun = stateAfter(stateAfter(now, fault("memory", true)), {
      type: "sent",
      message: { type: "open", backend: "auto" },
    });
    expect([begun.worker, begun.troubles]).toEqual(["loading", []]);
  });

  it("remembers which settings changed, and when", () => {
    const change = (some: Partial<TabSettings>): News => ({
      type: "sent",
      message: { type: "change", settings: some },
    });
    const now = stateOf(
      ready,
      run("training", 4),
      change({ klCoef: 0.1 }),
      change({ groupSize: 8 }),
      run("training", 5),
      change({ klCoef: 0 }),
    );
    expect(now.changes).toEqual([
      { iteration: 4, settings: { klCoef: 0.1, groupSize: 8 } },
      { iteration: 5, settings: { klCoef: 0 } },
    ]);
  });
});

describe("what readers of the screen are told", () => {
  it("is when the run begins, pauses and ends, and how it goes every half minute at most", () => {
    const telling = new Telling();
    const { kept: _, ...first } = ready;
    let state = stateOf(first, run("training"));
    const said: (string | undefined)[] = [telling.next(state, 0)];
    for (let iteration = 1; iteration <= 50; iteration++) {
      state = stateAfter(state, { type: "iteration", metrics: metrics(iteration) });
      state = stateAfter(state, run("training", iteration));
      said.push(telling.next(state, iteration * 2000));
    }
    said.push(telling.next(stateAfter(state, run("paused", 50)), 101_000));
    const sentences = said.filter((one) => one !== undefined);
    expect(sentences).toHaveLength(5);
    expect(sentences[0]).toBe("Training.");
    expect(sentences[1]).toBe("Iteration 15 of 110: 30 % solved, 3.5 tries per answer.");
    expect(sentences.at(-1)).toMatch(/^Paused\. Iteration 50/);
  });

  it("is whether the answer to their own problem is right, once", () => {
    const telling = new Telling();
    const problem = { numbers: [6, 6, 5], target: 18 };
    const end = { isSolved: false, reason: "the answer is 17, not 18", tokens: 9, how: "stop", iteration: 1 } as const;
    const state = stateOf(
      { type: "sent", message: { type: "ask", ask: 1, problem, temperature: 1 } },
      { type: "answer", ask: 1, text: "", end },
    );
    expect(telling.next(state, 0)).toBe("Its answer is wrong: the answer is 17, not 18.");
    expect(telling.next(state, 1)).toBeUndefined();
  });

  it("offers a new worker only where the old one is of no use", () => {
    expect(remedyFor({ id: 1, kind: "crash", message: "", isFatal: true }).action?.does).toBe("restart");
    expect(remedyFor({ id: 1, kind: "silence", message: "", isFatal: false }).action?.does).toBe("restart");
    expect(remedyFor({ id: 1, kind: "fault", message: "", isFatal: false }).action).toBeUndefined();
    expect(remedyFor({ id: 1, kind: "storage", message: "", isFatal: false }).action?.does).toBe("forget");
  });
});

describe("the watch", () => {
  it("tells sleep from a timer that the browser stretches, and gives the worker its time again", () => {
    const watch = new Watch(0);
    expect(watch.look(60_000, true)).toBeUndefined();
    expect(watch.look(60_000 + 61 * 60_000, true)).toEqual({ what: "slept", minutes: 61 });
    expect(watch.look(62 * 60_000 + LOOK_EVERY, true)).toBeUndefined();
  });

  it("tells silence once, only where something is expected, and again after the worker has spoken", () => {
    const watch = new Watch(0);
    const looks = (from: number, to: number, isExpected: boolean) => {
      const told: unknown[] = [];
      for (let now = from; now <= to; now += LOOK_EVERY) told.push(watch.look(now, isExpected));
      return told.filter((one) => one !== undefined);
    };
    expect(looks(0, 200_000, false)).toEqual([]);
    expect(looks(205_000, 400_000, true)).toEqual([{ what: "silent" }]);
    watch.heard(400_000);
    expect(looks(405_000, 480_000, true)).toEqual([]);
    expect(looks(485_000, 500_000, true)).toEqual([{ what: "silent" }]);
  });
});
