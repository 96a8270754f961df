import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { gradients } from "../../src/graph/gradient.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import { multiply } from "../../src/graph/ops/elementwise.ts";
import { Graph } from "../../src/graph/tensor.ts";
import type { GrpoLoss, LossSpec } from "../../src/losses/loss-spec.ts";
import { lossInputs, tokenLoss } from "../../src/losses/token-losses.ts";
import { type LossType, lossWeights } from "../../src/rollout/loss-weights.ts";
import { array } from "../graph/arrays.ts";
import { evaluate } from "../graph/evaluate.ts";

type Columns = Readonly<Record<string, readonly number[]>>;

/** Terms of a loss, Σ weight · term, and its gradient by log-probability; weights are 1 where none are given. */
async function computed(loss: LossSpec, logprobs: readonly number[], columns: Columns = {}) {
  const graph = new Graph();
  const input = (name: string) => graph.input(name, "float32", ["N"]);
  const policy = input("logprobs");
  const terms = tokenLoss(loss, policy, input);
  const total = sum(multiply(terms, input("weights")));
  const [slope] = gradients(total, [policy]);
  const all = { weights: new Array(logprobs.length).fill(1), ...columns, logprobs };
  const feeds = Object.fromEntries(Object.entries(all).map(([name, values]) => [name, array([values.length], values)]));
  const result = await evaluate(graph, { terms, total, slope: slope! }, feeds);
  return { terms: result.terms.values, loss: result.total.values[0]!, gradient: result.slope.values };
}

const GRPO: GrpoLoss = { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.5, klCoef: 0, temperature: 1 };

function expectClose(actual: readonly number[], expected: readonly number[], digits = 5): void {
  expect(actual).toHaveLength(expected.length);
  expected.forEach((value, i) => {
    expect(actual[i], `element ${i}`).toBeCloseTo(value, digits);
  });
}

describe("tokenLoss", () => {
  it("cross_entropy is −logπ, with gradient −1", async () => {
    const { terms, gradient } = await computed({ name: "cross_entropy" }, [-0.5, -3, 0]);
    expectClose(terms, [0.5, 3, 0]);
    expectClose(gradient, [-1, -1, -1]);
  });

  it("grpo is −r·A inside the clip, with gradient −r·A", async () => {
    const columns = { advantages: [2, -3, 0], samplerLogprobs: [-1, -1, -1] };
    const ratio = Math.exp(0.1);
    const { terms, gradient } = await computed(GRPO, [-0.9, -1.1, -0.9], columns);
    expectClose(terms, [-2 * ratio, 3 / ratio, 0]);
    expectClose(gradient, [-2 * ratio, 3 / ratio, 0]);
  });

  it("grpo clips only what moved too far in the direction that its advantage asks for", async () => {
    // Ratios 2 and ½, each with both signs of the advantage; bounds 0.8 and 1.5.
    const logprobs = [Math.log(2), Math.log(2), Math.log(0.5), Math.log(0.5)].map((x) => x - 3);
    const columns = { advantages: [1, -1, 1, -1], samplerLogprobs: [-3, -3, -3, -3] };
    const { terms, gradient } = await computed(GRPO, logprobs, columns);
    expectClose(terms, [-1.5, 2, -0.5, 0.8]);
    expectClose(gradient, [0, 2, -0.5, 0]);
  });

  it("grpo at the policy that sampled has the gradient of the policy: −A", async () => {
    const logprobs = [-0.1, -2, -5];
    const columns = { advantages: [1.5, -0.5, 0.25], samplerLogprobs: logprobs };
    const { terms, gradient } = await computed(GRPO, logprobs, columns);
    expectClose(terms, [-1.5, 0.5, -0.25]);
    expectClose(gradient, [-1.5, 0.5, -0.25]);
  });

  it("grpo adds β · k3, which is zero at the reference, never negative, and has gradient β(1 − e^d)", async () => {
    const logprobs = [-1, -1, -1, -1];
    const differences = [0, 0.5, -0.5, 3];
    const columns = {
      advantages: [0, 0, 0, 0],
      samplerLogprobs: logprobs,
      refLogprobs: differences.map((d) => d - 1),
    };
    const { terms, gradient } = await computed({ ...GRPO, klCoef: 0.7 }, logprobs, columns);
    expectClose(
      terms,
      differences.map((d) => 0.7 * (Math.exp(d) - d - 1)),
    );
    expectClose(
      gradient,
      differences.map((d) => 0.7 * (1 - Math.exp(d))),
    );
    for (const term of terms) expect(term).toBeGreaterThanOrEqual(0);
  });

  it("a weight scales the term and its gradient; 0 silences both", async () => {
    const columns = { advantages: [2, 2], samplerLogprobs: [-1, -1], weights: [0.25, 0] };
    const { loss, gradient } = await computed(GRPO, [-1, -1], columns);
    expect(loss).toBeCloseTo(-0.5, 6);
    expectClose(gradient, [-0.5, 0]);
  });

  it("reads the columns that it needs and no other", () => {
    expect(lossInputs({ name: "cross_entropy" })).toEqual([]);
    expect(lossInputs(GRPO)).toEqual(["advantages", "samplerLogprobs"]);
    expect(lossInputs({ ...GRPO, klCoef: 0.1 })).toEqual(["advantages", "samplerLogprobs", "refLogprobs"]);
  });
});

interface Golden {
  readonly versions: { readonly trl: string };
  readonly tolerance: { readonly lossRelative: number; readonly gradientRelative: number };
  readonly maxCompletionTokens: number;
  readonly cases: readonly {
    readonly lossType: LossType;
    readonly klCoef: number;
    readonly clipEpsilon: number;
    readonly clipEpsilonHigh: number;
    readonly advantages: readonly number[];
    readonly logprobs: readonly (readonly number[])[];
    readonly samplerLogprobs: readonly (readonly number[])[];
    readonly refLogprobs: readonly (readonly number[])[];
    readonly loss: number;
    readonly gradient: readonly (readonly number[])[];
  }[];
}

const golden: Golden = JSON.parse(await readFile(new URL("../golden/grpo-loss.json", import.meta.url), "utf8"));

describe(`losses and their gradients are those of TRL ${golden.versions.trl}`, () => {
  it.each(
    golden.cases.map(
      (c, i) => [`${i}: ${c.lossType}, β ${c.klCoef}, clip ${c.clipEpsilon}/${c.clipEpsilonHigh}`, c] as const,
    ),
  )("%s", async (_, { lossType, klCoef, clipEpsilon, clipEpsilonHigh, ...data }) => {
    const lengths = data.logprobs.map(({ length }) => length);
    const weights = lossWeights(lossType, lengths, golden.maxCompletionTokens);
    const perToken = (values: ArrayLike<number>) => lengths.flatMap((length, i) => new Array(length).fill(values[i]));
    const result = await computed(
      { name: "grpo", clipEpsilon, clipEpsilonHigh, klCoef, temperature: 1 },
      data.logprobs.flat(),
      {
        weights: perToken(weights),
        advantages: perToken(data.advantages),
        samplerLogprobs: data.samplerLogprobs.flat(),
        ...(klCoef > 0 && { refLogprobs: data.refLogprobs.flat() }),
      },
    );
    expect(Math.abs(result.loss / data.loss - 1)).toBeLessThan(golden.tolerance.lossRelative);
    const expected = data.gradient.flat();
    const gap = Math.hypot(...expected.map((value, i) => result.gradient[i]! - value));
    expect(gap / Math.hypot(...expected)).toBeLessThan(golden.tolerance.gradientRelative);
  });

  it("some ratios lie below the clip, some inside and some above", () => {
    const ratios = golden.cases.flatMap(({ logprobs, samplerLogprobs }) =>
      logprobs.flat().map((logprob, i) => Math.exp(logprob - samplerLogprobs.flat()[i]!)),
    );
    expect(ratios.filter((ratio) => ratio < 0.8).length).toBeGreaterThan(20);
    expect(ratios.filter((ratio) => ratio > 1.3).length).toBeGreaterThan(20);
    expect(ratios.filter((ratio) => ratio > 0.8 && ratio < 1.2).length).toBeGreaterThan(20);
  });
});
