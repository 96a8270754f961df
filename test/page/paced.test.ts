import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Paced } from "../../src/page/paced.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Paced work that takes some time, and when it began. */
function watched(everyMs: number, workMs: number) {
  const begins: number[] = [];
  const start = performance.now();
  const paced = new Paced(everyMs, async () => {
    begins.push(Math.round(performance.now() - start));
    await new Promise((resolve) => setTimeout(resolve, workMs));
  });
  return { paced, begins };
}

it("does what is asked for at once, and again only when some time has passed", async () => {
  const { paced, begins } = watched(500, 10);
  paced.ask();
  await vi.advanceTimersByTimeAsync(100);
  paced.ask();
  await vi.advanceTimersByTimeAsync(3000);
  expect(begins).toEqual([0, 500]);
  paced.ask();
  await vi.advanceTimersByTimeAsync(1);
  expect(begins.at(-1)).toBe(3100);
});

it("is never put off by asking again and again, as a run does that writes all the time", async () => {
  const { paced, begins } = watched(500, 10);
  for (let i = 0; i < 95; i++) {
    paced.ask();
    await vi.advanceTimersByTimeAsync(20);
  }
  expect(begins).toEqual([0, 500, 1000, 1500]);
});

it("does not overlap: work that takes longer is followed at once by what was asked for meanwhile", async () => {
  const { paced, begins } = watched(100, 700);
  paced.ask();
  await vi.advanceTimersByTimeAsync(300);
  paced.ask();
  paced.ask();
  await vi.advanceTimersByTimeAsync(2000);
  expect(begins).toEqual([0, 701]);
});

it("begins nothing after its end", async () => {
  const { paced, begins } = watched(100, 10);
  paced.ask();
  await vi.advanceTimersByTimeAsync(20);
  paced.ask();
  paced.end();
  await vi.advanceTimersByTimeAsync(1000);
  expect(begins).toEqual([0]);
});
