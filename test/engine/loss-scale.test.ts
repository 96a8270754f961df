import { describe, expect, it } from "vitest";
import { LossScale } from "../../src/engine/local/loss-scale.ts";

describe("LossScale", () => {
  it("doubles after 2,000 steps, and begins to count again where it overflowed", () => {
    const scale = new LossScale({ value: 1024, steps: 1998 });
    scale.stepTaken();
    expect(scale.state).toEqual({ value: 1024, steps: 1999 });
    scale.stepTaken();
    expect(scale.state).toEqual({ value: 2048, steps: 0 });
    scale.stepTaken();
    scale.overflowed();
    expect(scale.state).toEqual({ value: 1024, steps: 0 });
  });

  it("stays between 1 and 2²⁴", () => {
    const low = new LossScale({ value: 2, steps: 0 });
    for (let i = 0; i < 3; i++) low.overflowed();
    expect(low.value).toBe(1);
    const high = new LossScale({ value: 2 ** 24, steps: 1999 });
    high.stepTaken();
    expect(high.value).toBe(2 ** 24);
  });
});
