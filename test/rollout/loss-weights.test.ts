import { describe, expect, it } from "vitest";
import { losses } from "../../src/losses/registry.ts";
import { lossWeights } from "../../src/rollout/loss-weights.ts";

const TEN = { maxCompletionTokens: 10 };

describe("lossWeights", () => {
  it("grpo: every completion counts 1/N, shared by its tokens", () => {
    expect([...lossWeights("grpo", [2, 8], TEN)]).toEqual([1 / 4, 1 / 16]);
  });

  it("dapo: every token of the step counts the same", () => {
    expect([...lossWeights("dapo", [2, 8], TEN)]).toEqual([1 / 10, 1 / 10]);
  });

  it.each(["dapo", "cispo", "vespo"] as const)("%s counts the tokens of the iteration's mean step", (lossType) => {
    const context = { ...TEN, tokensPerStep: 20 };
    expect([...lossWeights(lossType, [2, 8], context)]).toEqual([1 / 20, 1 / 20]);
    expect([...lossWeights("bnpo", [2, 8], context)]).toEqual([1 / 10, 1 / 10]);
  });

  it("luspo sums a completion's tokens, and takes the mean over completions", () => {
    expect([...lossWeights("luspo", [2, 8], TEN)]).toEqual([1 / 2, 1 / 2]);
  });

  it("dr_grpo: every token counts 1/(N · maxCompletionTokens), whatever the lengths", () => {
    expect([...lossWeights("dr_grpo", [2, 8], TEN)]).toEqual([1 / 20, 1 / 20]);
    expect(lossWeights("dr_grpo", [1, 1], TEN)[0]).toBe(1 / 20);
  });

  it.each([
    ["grpo", 1 / (3 * 4)],
    ["dapo", 1 / 10],
    ["dr_grpo", 1 / (3 * 10)],
    ["luspo", 1 / 3],
    ["bnpo", 1 / 10],
  ] as const)("%s: a masked completion weighs 0 but stays in N", (lossType, first) => {
    expect(lossWeights(lossType, [4, 0, 6], TEN)[0]).toBeCloseTo(first, 12);
    expect(lossWeights(lossType, [4, 0, 6], TEN)[1]).toBe(0);
  });

  it.each(losses.names)("%s: weights nothing where everything is masked", (lossType) => {
    expect([...lossWeights(lossType, [0, 0], TEN)]).toEqual([0, 0]);
  });

  it.each(losses.names)("%s: is the same in any order", (lossType) => {
    const weights = lossWeights(lossType, [3, 5, 7], { maxCompletionTokens: 8 });
    expect([...lossWeights(lossType, [7, 3, 5], { maxCompletionTokens: 8 })]).toEqual([
      weights[2],
      weights[0],
      weights[1],
    ]);
  });

  it("all but dr_grpo and luspo are means: a constant term of 1 per token sums to 1", () => {
    const lengths = [3, 5, 7];
    for (const lossType of losses.names) {
      if (lossType === "dr_grpo" || lossType === "luspo") continue;
      const weights = lossWeights(lossType, lengths, { maxCompletionTokens: 8 });
      expect(lengths.reduce((sum, length, i) => sum + length * weights[i]!, 0)).toBeCloseTo(1, 12);
    }
  });
});
