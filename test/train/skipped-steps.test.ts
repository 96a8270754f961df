import { describe, expect, it } from "vitest";
import { SkippedSteps } from "../../src/train/skipped-steps.ts";

function steps(maxInARow: number) {
  const events: Record<string, unknown>[] = [];
  const log = { event: (name: string, data: object) => events.push({ name, ...data }) };
  return { skipped: new SkippedSteps(0, maxInARow, log as never), events };
}

const OVERFLOW = { loss: 0.5, gradNorm: Number.POSITIVE_INFINITY, applied: false };

describe("skipped steps", () => {
  it("of a gradient that overflowed at a scale of the loss are told and counted, but are no divergence", () => {
    const { skipped, events } = steps(1);
    for (let step = 1; step <= 5; step++) skipped.record({ ...OVERFLOW, lossScale: 2 ** (17 - step) }, step);
    expect(skipped.divergence(5, true)).toBeUndefined();
    expect(skipped.takeCount()).toBe(5);
    expect(events[0]).toMatchObject({ name: "step-skipped", step: 1 });
    expect(events[0]!.reason).toContain("loss scale of 65536");
  });

  it("at a scale of 1, and of a loss that is not finite, are a divergence as without one", () => {
    const { skipped } = steps(1);
    skipped.record({ ...OVERFLOW, lossScale: 1 }, 1);
    skipped.record({ ...OVERFLOW, loss: Number.NaN, lossScale: 1024 }, 2);
    expect(skipped.divergence(2, true)?.message).toContain("in 2 optimizer steps in a row");
  });
});
