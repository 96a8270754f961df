import { describe, expect, it } from "vitest";
import type { ScoreDatum } from "../../src/engine/contract/sampler.ts";
import { microBatchTokens, planMicroBatches } from "../../src/engine/local/micro-batches.ts";
import { Random } from "../../src/random.ts";

const datum = (prompt: readonly number[], completionLength: number): ScoreDatum => ({
  promptTokens: Int32Array.from(prompt),
  completionTokens: new Int32Array(completionLength),
});

/** Groups of four completions of ragged lengths for each of six prompts. */
function groups(seed: number): ScoreDatum[] {
  const random = new Random(seed, "groups");
  return Array.from({ length: 6 }, (_, p) => Array.from({ length: 1 + random.integer(9) }, () => p)).flatMap((prompt) =>
    Array.from({ length: 4 }, () => datum(prompt, 1 + random.integer(12))),
  );
}

describe("planMicroBatches", () => {
  it.each([1, 16, 40, 100, 10_000])("puts every datum in exactly one batch, with budget %i", (budget) => {
    const data = groups(budget);
    const plan = planMicroBatches(data, budget);
    const members = plan.flatMap(({ sequences }) => sequences.map((sequence) => sequence.datum));
    expect(members.sort((a, b) => a - b)).toEqual(data.map((_, i) => i));
    for (const batch of plan) {
      expect(microBatchTokens(batch) <= budget || batch.sequences.length === 1).toBe(true);
      for (const { datum: index, promptRow } of batch.sequences) {
        const { promptTokens, completionTokens } = data[index]!;
        const shared = data[batch.promptRows[promptRow]!]!;
        expect([...shared.promptTokens]).toEqual([...promptTokens]);
        expect(promptTokens.length - 1).toBeLessThanOrEqual(batch.promptLength);
        expect(completionTokens.length).toBeLessThanOrEqual(batch.completionLength);
      }
    }
  });

  it("computes an equal prompt once in a batch", () => {
    const data = [datum([1, 2, 3], 4), datum([5, 6, 7], 4), datum([1, 2, 3], 4)];
    const [batch, ...others] = planMicroBatches(data, 1000);
    expect(others).toEqual([]);
    expect(batch!.promptRows).toHaveLength(2);
    expect(microBatchTokens(batch!)).toBe(2 * 2 + 3 * 4);
  });

  it("does not take prompts for equal whose tokens only read alike", () => {
    expect(planMicroBatches([datum([1, 23], 1), datum([12, 3], 1)], 100)[0]!.promptRows).toHaveLength(2);
  });

  it("gives a prompt of one token a position of padding, since no tensor is empty", () => {
    const [batch] = planMicroBatches([datum([4], 3)], 100);
    expect([batch!.promptLength, microBatchTokens(batch!)]).toEqual([1, 4]);
  });

  it("is a function of the data: the same plan again", () => {
    expect(planMicroBatches(groups(3), 64)).toEqual(planMicroBatches(groups(3), 64));
  });

  it("wastes little on ragged groups: under 1.7 positions for each that is needed", () => {
    const data = groups(4);
    const needed = data.reduce((sum, { completionTokens }) => sum + completionTokens.length, 0);
    const spent = planMicroBatches(data, 64).reduce((sum, batch) => sum + microBatchTokens(batch), 0);
    const prompts = new Set(data.map(({ promptTokens }) => promptTokens.join())).size;
    expect(spent).toBeLessThan(1.7 * (needed + prompts * 5));
  });
});
