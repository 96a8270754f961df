import { describe, expect, it } from "vitest";
import type { ScoreDatum } from "../../src/engine/contract/sampler.ts";
import { type MicroBatch, microBatchTokens, planMicroBatches } from "../../src/engine/local/micro-batches.ts";
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

  it("cuts where a few long completions would make the many short ones long", () => {
    const data = [...Array.from({ length: 10 }, () => datum([1, 2, 3, 4], 10)), datum([1, 2, 3, 4], 100)];
    const plan = planMicroBatches(data, 10_000, { costs: { batch: 5, key: 0 } });
    expect(plan.map(microBatchTokens).sort((a, b) => a - b)).toEqual([3 + 10 * 10, 3 + 100]);
    // A batch that costs more by itself than padding does is not worth it: 11 × 100 + 3 against 103 + 103 and the batch.
    const [whole, ...others] = planMicroBatches(data, 10_000, { costs: { batch: 898, key: 0 } });
    expect([microBatchTokens(whole!), others.length]).toEqual([3 + 11 * 100, 0]);
    expect(planMicroBatches(data, 10_000, { costs: { batch: 896, key: 0 } })).toHaveLength(2);
  });

  it("keeps prompts apart where attending to each other's positions costs more than a batch", () => {
    const data = [1, 2, 3, 4].flatMap((prompt) => Array.from({ length: 4 }, () => datum(Array(50).fill(prompt), 8)));
    expect(planMicroBatches(data, 10_000, { costs: { batch: 16, key: 0 } })).toHaveLength(1);
    expect(planMicroBatches(data, 10_000, { costs: { batch: 16, key: 0.01 } })).toHaveLength(4);
  });

  it("costs no more than any other way to cut the same orders", () => {
    const costs = { batch: 7, key: 0.02 };
    const costOf = ({
      promptLength: P,
      completionLength: C,
      promptRows: { length: R },
      sequences: { length: S },
    }: MicroBatch) => costs.batch + R * P + S * C + costs.key * (R * P * P + S * C * (R * P + C));
    const total = (plan: readonly MicroBatch[]) => plan.reduce((sum, batch) => sum + costOf(batch), 0);
    for (let seed = 0; seed < 6; seed++) {
      const data = groups(seed).slice(0, 9);
      const planned = total(planMicroBatches(data, 10_000, { costs }));
      const byLength = data.toSorted((a, b) => b.completionTokens.length - a.completionTokens.length);
      for (let cuts = 0; cuts < 2 ** 8; cuts++) {
        const parts: ScoreDatum[][] = [[]];
        byLength.forEach((one, i) => {
          parts.at(-1)!.push(one);
          if (i < 8 && (cuts >> i) % 2 === 1) parts.push([]);
        });
        const other = total(
          parts
            .filter((part) => part.length > 0)
            .flatMap((part) => planMicroBatches(part, 10_000, { costs: { batch: 1e9, key: 0 } })),
        );
        expect(planned).toBeLessThanOrEqual(other + 1e-6);
      }
    }
  });

  it("wastes little on ragged groups: under 1.7 positions for each that is needed", () => {
    const data = groups(4);
    const needed = data.reduce((sum, { completionTokens }) => sum + completionTokens.length, 0);
    const spent = planMicroBatches(data, 64).reduce((sum, batch) => sum + microBatchTokens(batch), 0);
    const prompts = new Set(data.map(({ promptTokens }) => promptTokens.join())).size;
    expect(spent).toBeLessThan(1.7 * (needed + prompts * 5));
  });
});
