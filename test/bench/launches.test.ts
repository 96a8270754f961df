import { describe, expect, it } from "vitest";
import { countLaunches } from "../../bench/launches.ts";

/** What docs/gpu.md promises of a step. */
describe("a step on a GPU", () => {
  it("takes few launches, bytes and waits", async () => {
    const [two, four] = [await countLaunches("webgpu", 2, 1), await countLaunches("webgpu", 4, 1)];
    for (const counted of [two, four]) {
      expect(counted["bytes up a sequence"]).toBeLessThanOrEqual(1024);
      expect(counted["bytes down a sequence"]).toBeLessThanOrEqual(16);
      expect(counted["waits in decoding"]).toBe(1);
      expect(counted["waits in training"]).toBe(1);
    }
    // Less than three in models of so many layers that most groups are full.
    expect(four["AdamW, a tensor"]).toBeLessThanOrEqual(3.5);
    expect(four.norm).toBeLessThan(50);
    expect((four["decoding: launches"] - two["decoding: launches"]) / 2).toBeLessThanOrEqual(30);
  });
});
