import { describe, expect, it } from "vitest";
import { learningRateAt, SCHEDULES } from "../../src/optim/schedule.ts";

const at = (step: number, overrides: object = {}) =>
  learningRateAt(step, 10, {
    learningRate: 2,
    schedule: "constant",
    warmupSteps: 0,
    minLearningRateRatio: 0,
    ...overrides,
  });

describe("learningRateAt", () => {
  it("warms up linearly from peak / warmupSteps and reaches the peak with the last warm-up step", () => {
    const rates = [0, 1, 2, 3, 4].map((step) => at(step, { warmupSteps: 4 }));
    expect(rates).toEqual([0.5, 1, 1.5, 2, 2]);
  });

  it("falls linearly from the peak to the floor", () => {
    const rates = [0, 5, 9, 10, 99].map((step) => at(step, { schedule: "linear", minLearningRateRatio: 0.5 }));
    expect(rates).toEqual([2, 1.5, 1.1, 1, 1]);
  });

  it("falls along half a cosine, half-way to the floor at half time", () => {
    const cosine = { schedule: "cosine", warmupSteps: 2, minLearningRateRatio: 0.1 };
    expect(at(2, cosine)).toBeCloseTo(2, 12);
    expect(at(4, cosine)).toBeCloseTo(0.2 + 1.8 * ((1 + Math.SQRT1_2) / 2), 12);
    expect(at(6, cosine)).toBeCloseTo(1.1, 12);
    expect(at(10, cosine)).toBeCloseTo(0.2, 12);
  });

  it.each(SCHEDULES)("%s stays within (0, peak] and never rises after the warm-up", (schedule) => {
    const rates = Array.from({ length: 10 }, (_, step) =>
      at(step, { schedule, warmupSteps: 3, minLearningRateRatio: 0.05 }),
    );
    expect(rates.every((rate) => rate > 0 && rate <= 2)).toBe(true);
    for (let step = 3; step < 10; step++) expect(rates[step]!).toBeLessThanOrEqual(rates[step - 1]!);
  });

  it("stays finite where the whole stage is warm-up", () => {
    expect(at(9, { schedule: "cosine", warmupSteps: 10 })).toBe(2);
    expect(at(10, { schedule: "cosine", warmupSteps: 10 })).toBe(2);
  });
});
