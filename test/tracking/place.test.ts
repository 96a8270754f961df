/** A tracker that is down, slow or emptied: the run goes on, and nothing is lost or sent twice. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RunDirectory } from "../../src/run/run-directory.ts";
import { type Place, trackerOf } from "../../src/tracking/place.ts";
import type { Points } from "../../src/tracking/points.ts";
import type { RunEnd } from "../../src/tracking/tracker.ts";
import { addStep, expectedScalars, openRun, RECIPE, trackedRun } from "./runs.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "aha-place-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const END: RunEnd = { state: "interrupted", reason: "stopped" };
const HASTY = { firstWaitMs: 5, maxWaitMs: 20, finishMs: 300 };

/** A place in memory that can be down, hang, or take a batch in part. */
class MemoryPlace implements Place {
  points: [tag: string, step: number, value: number][] = [];
  texts: [tag: string, step: number][] = [];
  ends: string[] = [];
  isDown = false;
  hangs = false;
  /** Takes so many points of the next batch, and fails. */
  breaksAfter = Number.POSITIVE_INFINITY;
  writes = 0;
  asked = 0;

  async lastSteps(): Promise<ReadonlyMap<string, number>> {
    this.asked++;
    if (this.isDown) throw new Error("connection refused.");
    return new Map([...this.points.map(([tag, step]) => [tag, step] as const), ...this.texts]);
  }

  async write(points: readonly Points[]): Promise<void> {
    this.writes++;
    if (this.hangs) await new Promise(() => {});
    if (this.isDown) throw new Error("connection refused.");
    for (const [index, { step, scalars, texts }] of points.entries()) {
      if (index >= this.breaksAfter) {
        this.breaksAfter = Number.POSITIVE_INFINITY;
        throw new Error("half of it");
      }
      for (const [tag, value] of scalars) this.points.push([tag, step, value]);
      for (const { tag } of texts) this.texts.push([tag, step]);
    }
  }

  async finish(end: RunEnd): Promise<void> {
    if (this.isDown) throw new Error("connection refused.");
    this.ends.push(end.state);
  }

  get scalars(): Record<string, [number, number][]> {
    const found: Record<string, [number, number][]> = {};
    for (const [tag, step, value] of this.points) found[tag] = [...(found[tag] ?? []), [step, value]];
    return found;
  }
}

const options = { name: "memory", completions: 2, isBehind: false, patience: HASTY };
const moment = (ms = 30) => new Promise((resolve) => setTimeout(resolve, ms));

describe("a place", () => {
  it("gets every point in order, once", async () => {
    const run = await openRun(root, "whole");
    const place = new MemoryPlace();
    const tracker = trackerOf(place, trackedRun(run), options);
    for (let step = 1; step <= 6; step++) addStep(run, step, tracker);
    await tracker.finish?.(END);
    expect(place.scalars).toEqual(expectedScalars(6));
    expect(place.texts.filter(([tag]) => tag === "train/completions")).toHaveLength(6);
    expect(place.ends).toEqual(["interrupted"]);
    run.close();
  });

  it("that is down is said once, and gets all of it when it is back", async () => {
    const run = await openRun(root, "down");
    const place = new MemoryPlace();
    const warnings: string[] = [];
    const tracker = trackerOf(place, trackedRun(run, { warn: (message) => warnings.push(message) }), options);
    addStep(run, 1, tracker);
    await moment();
    place.isDown = true;
    for (let step = 2; step <= 4; step++) {
      addStep(run, step, tracker);
      await moment(10);
    }
    place.isDown = false;
    addStep(run, 5, tracker);
    await tracker.finish?.(END);
    expect(place.scalars).toEqual(expectedScalars(5));
    expect(warnings).toEqual([
      "The tracker memory failed: connection refused. The run goes on; what the tracker misses is in the run directory " +
        "and is sent when it can be.",
    ]);
    run.close();
  });

  it("that is down to the end says what sends the rest, and a later session does", async () => {
    const run = await openRun(root, "late");
    const place = new MemoryPlace();
    place.isDown = true;
    const warnings: string[] = [];
    const warn = (message: string) => void warnings.push(message);
    const tracker = trackerOf(place, trackedRun(run, { warn }), options);
    for (let step = 1; step <= 3; step++) addStep(run, step, tracker);
    await tracker.finish?.(END);
    expect(warnings).toHaveLength(2);
    expect(warnings[1]).toContain(`aha track ${run.path} --to memory sends the rest`);
    place.isDown = false;
    const later = trackerOf(place, trackedRun(run), { ...options, isBehind: true });
    await later.finish?.(END);
    expect(place.scalars).toEqual(expectedScalars(3));
    run.close();
  });

  it("that hangs does not hold the run's end up", async () => {
    const run = await openRun(root, "hangs");
    const place = new MemoryPlace();
    place.hangs = true;
    const warnings: string[] = [];
    const tracker = trackerOf(place, trackedRun(run, { warn: (message) => warnings.push(message) }), options);
    addStep(run, 1, tracker);
    const before = performance.now();
    await tracker.finish?.(END);
    expect(performance.now() - before).toBeLessThan(5_000);
    expect(warnings.join()).toContain("it was not done within 0.3 seconds");
    run.close();
  });

  it("that took a part of a batch before it failed gets the rest only", async () => {
    const run = await openRun(root, "part");
    const place = new MemoryPlace();
    place.breaksAfter = 2;
    const tracker = trackerOf(place, trackedRun(run), options);
    for (let step = 1; step <= 4; step++) addStep(run, step, tracker);
    await tracker.finish?.(END);
    expect(place.scalars).toEqual(expectedScalars(4));
    run.close();
  });

  it("that was emptied while the run goes gets everything again", async () => {
    const run = await openRun(root, "emptied");
    const place = new MemoryPlace();
    const tracker = trackerOf(place, trackedRun(run), options);
    for (let step = 1; step <= 3; step++) addStep(run, step, tracker);
    await moment();
    place.points = [];
    place.texts = [];
    place.breaksAfter = 0;
    addStep(run, 4, tracker);
    await tracker.finish?.(END);
    expect(place.scalars).toEqual(expectedScalars(4));
    run.close();
  });

  it("that falls far behind is caught up with from the logs", async () => {
    const run = await openRun(root, "far");
    const place = new MemoryPlace();
    place.isDown = true;
    const tracker = trackerOf(place, trackedRun(run), { ...options, completions: 0 });
    for (let step = 1; step <= 1_200; step++) addStep(run, step, tracker);
    await moment();
    place.isDown = false;
    addStep(run, 1_201, tracker);
    await tracker.finish?.(END);
    expect(place.scalars).toEqual(expectedScalars(1_201));
    run.close();
  });

  it.each([1, 2, 3])(
    "has every step once after a kill behind step 3 and a resume; %i were sent by then",
    async (sent) => {
      const run = await openRun(root, `resumed-${sent}`);
      const place = new MemoryPlace();
      const tracker = trackerOf(place, trackedRun(run), options);
      for (let step = 1; step <= sent; step++) addStep(run, step, tracker);
      await moment();
      for (let step = sent + 1; step <= 3; step++) addStep(run, step);
      await run.saveCheckpoint(
        { stage: "rl", step: 3, trainerState: {}, stageComplete: false, keep: 1 },
        async () => {},
      );
      if (sent === 3) addStep(run, 4, tracker);
      else addStep(run, 4);
      await moment();
      run.close();
      const again = await RunDirectory.resume(run.path, RECIPE);
      const resumed = { resumed: { stage: "rl", step: 3 } };
      const second = trackerOf(place, trackedRun(again, resumed), { ...options, isBehind: true });
      for (let step = 4; step <= 6; step++) addStep(again, step, second);
      await second.finish?.(END);
      expect(place.scalars).toEqual(expectedScalars(6));
      again.close();
    },
  );
});
