import { describe, expect, it } from "vitest";
import { gradients } from "../../src/graph/gradient.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import { multiply } from "../../src/graph/ops/elementwise.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { lossInputs, tokenLoss } from "../../src/losses/engine-losses.ts";
import type { ObjectiveRow } from "../../src/losses/evaluate-objective.ts";
import type { LossSpec, PolicyLossSpec } from "../../src/losses/loss-spec.ts";
import { tokenLossOf } from "../../src/losses/policy-objective.ts";
import { array } from "../graph/arrays.ts";
import { evaluate } from "../graph/evaluate.ts";
import { evaluated, golden, relativeGap, stepOf, titledCases } from "./trl-steps.ts";

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

const GRPO: PolicyLossSpec = { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.5, klCoef: 0, temperature: 1 };

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

describe("k1 and k2, and the ratio before the KL term", () => {
  const logprobs = [-1, -1, -1];
  const refLogprobs = [-1, -0.5, -1.5];
  const columns = { advantages: [0, 0, 0], samplerLogprobs: [-1, -1.2, -0.9], refLogprobs };
  const differences = refLogprobs.map((ref) => ref + 1);
  const ratios = [0, 0.2, -0.1].map(Math.exp);

  it.each([
    ["k1", (d: number) => -d, () => 1],
    ["k2", (d: number) => d ** 2 / 2, (d: number) => -d],
    ["k3", (d: number) => Math.exp(d) - d - 1, (d: number) => 1 - Math.exp(d)],
  ] as const)(
    "%s has its value and slope, and with the ratio those of the product",
    async (klEstimator, value, slope) => {
      const plain = await computed({ ...GRPO, klCoef: 0.7, klEstimator }, logprobs, columns);
      expectClose(
        plain.terms,
        differences.map((d) => 0.7 * value(d)),
      );
      expectClose(
        plain.gradient,
        differences.map((d) => 0.7 * slope(d)),
      );
      const corrected = await computed(
        { ...GRPO, klCoef: 0.7, klEstimator, klBiasCorrection: true },
        logprobs,
        columns,
      );
      expectClose(
        corrected.terms,
        differences.map((d, i) => 0.7 * ratios[i]! * value(d)),
      );
      expectClose(
        corrected.gradient,
        differences.map((d, i) => 0.7 * ratios[i]! * (slope(d) + value(d))),
      );
    },
  );
});

describe(`losses and their gradients, as graphs in single precision, are those of TRL ${golden.versions.trl}`, () => {
  const inOnePass = titledCases.filter(([, c]) => tokenLossOf(stepOf(c).objective));

  it.each(inOnePass)("%s", async (_, c) => {
    const { objective, rows, scores } = stepOf(c);
    const loss = tokenLossOf(objective)!;
    const flat = (columnOf: (row: ObjectiveRow) => ArrayLike<number>) =>
      rows.flatMap((row) => Array.from(columnOf(row)));
    const correction = flat((row) => row.correction ?? Array.from(row.weights, () => 1));
    const { gradient, terms, ...result } = await computed(
      loss,
      scores.logprobs.flatMap((row) => Array.from(row)),
      {
        weights: flat((row) => row.weights),
        advantages: flat((row) => row.advantages).map((advantage, i) => advantage * correction[i]!),
        samplerLogprobs: flat((row) => row.oldLogprobs!),
        ...(objective.klCoef > 0 && { refLogprobs: flat((row) => row.refLogprobs!) }),
      },
    );
    const { loss: expected, policyLoss } = evaluated(c);
    const bonus = policyLoss - expected;
    // Terms of both signs cancel: rounding is of their sizes.
    const size = flat((row) => row.weights).reduce((sum, weight, i) => sum + Math.abs(weight * terms[i]!), 0);
    expect(Math.abs(result.loss - bonus - c.loss)).toBeLessThan(golden.tolerance.lossRelative * size);
    expect(relativeGap([gradient], c.gradient)).toBeLessThan(golden.tolerance.gradientRelative);
  });

  it("there are cases of every loss that an engine has, with and without a KL term", () => {
    const names = inOnePass.map(([, c]) => {
      const { name, ...rest } = tokenLossOf(stepOf(c).objective)!;
      return `${name} ${"klCoef" in rest && rest.klCoef > 0}`;
    });
    expect([...new Set(names)].sort()).toEqual(
      ["cispo", "grpo", "sapo"].flatMap((name) => [`${name} false`, `${name} true`]),
    );
  });

  it("ratios lie below the clip, inside, above, and far from it", () => {
    const ratios = Object.values(golden.batches).flatMap(({ logprobs, oldLogprobs }) =>
      logprobs.flat().map((logprob, i) => Math.exp(logprob - oldLogprobs.flat()[i]!)),
    );
    expect(ratios.filter((ratio) => ratio < 0.8).length).toBeGreaterThan(20);
    expect(ratios.filter((ratio) => ratio > 1.3).length).toBeGreaterThan(20);
    expect(ratios.filter((ratio) => ratio > 0.8 && ratio < 1.2).length).toBeGreaterThan(20);
    expect(ratios.filter((ratio) => ratio > 1e3 || ratio < 1e-3).length).toBeGreaterThan(5);
  });
});

it("a ratio that f32 cannot hold leaves a clipped token without gradient, not with NaN", async () => {
  const losses: LossSpec[] = [
    GRPO,
    { name: "cispo", clipEpsilonHigh: 2, klCoef: 0, temperature: 1 },
    { name: "sapo", sapoTemperaturePos: 1, sapoTemperatureNeg: 1, klCoef: 0, temperature: 1 },
  ];
  for (const loss of losses) {
    const { terms, gradient } = await computed(loss, [-1], { advantages: [1], samplerLogprobs: [-150] });
    expect(Number.isFinite(terms[0])).toBe(true);
    expect(gradient[0]).toBeCloseTo(loss.name === "cispo" ? -2 : 0, 6);
  }
});
