import { describe, expect, it } from "vitest";
import { type AdamWOptions, adamWStep, globalNorm, type OptimizedParameter } from "../../src/optim/adamw.ts";
import { Random } from "../../src/random.ts";

const options: AdamWOptions = { learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 };

function parameter(values: readonly number[], gradient: readonly number[], decays = true): OptimizedParameter {
  return {
    values: Float32Array.from(values),
    gradient: Float32Array.from(gradient),
    firstMoment: new Float32Array(values.length),
    secondMoment: new Float32Array(values.length),
    decays,
  };
}

/** The paper's algorithm 2 with sums in place of recurrences: m_t = (1 − β)·Σ β^(t−i) g_i, in double precision. */
function reference(start: number, slopes: readonly number[], { decays }: { decays: boolean }, o: AdamWOptions): number {
  let w = start;
  slopes.forEach((_, last) => {
    const mean = (beta: number, power: number) =>
      slopes.slice(0, last + 1).reduce((sum, g, i) => sum + (1 - beta) * beta ** (last - i) * g ** power, 0) /
      (1 - beta ** (last + 1));
    const update = mean(o.beta1, 1) / (Math.sqrt(mean(o.beta2, 2)) + o.epsilon);
    w -= o.learningRate * (update + (decays ? o.weightDecay * w : 0));
  });
  return w;
}

describe("adamWStep", () => {
  it.each([true, false])("follows the closed form over ten steps, with decay %s", (decays) => {
    const random = new Random(3, "adamw");
    const starts = Array.from({ length: 7 }, () => random.normal());
    const slopes = starts.map(() => Array.from({ length: 10 }, () => random.normal()));
    const p = parameter(starts, starts, decays);
    for (let step = 1; step <= 10; step++) {
      slopes.forEach((own, i) => {
        p.gradient[i] = own[step - 1]!;
      });
      adamWStep([p], step, 1, options);
    }
    starts.forEach((start, i) => {
      expect(p.values[i]).toBeCloseTo(reference(start, slopes[i]!, { decays }, options), 5);
    });
  });

  it("moves every weight by the learning rate in its first step, against the sign of the gradient", () => {
    const p = parameter([0, 0, 0], [1e-3, -5, 1e4]);
    adamWStep([p], 1, 1, options);
    expect([...p.values].map((value) => value.toFixed(6))).toEqual(["-0.010000", "0.010000", "-0.010000"]);
  });

  it("decays weights apart from the gradient, and only where it should", () => {
    const [matrix, gain] = [parameter([2], [0]), parameter([2], [0], false)];
    adamWStep([matrix, gain], 1, 1, options);
    expect([matrix.values[0]!.toFixed(6), gain.values[0]]).toEqual(["1.998000", 2]);
  });

  it("scales the gradient before the moments, as clipping asks", () => {
    const [scaled, small] = [parameter([1], [8]), parameter([1], [2])];
    adamWStep([scaled], 1, 0.25, options);
    adamWStep([small], 1, 1, options);
    expect(scaled).toEqual({ ...small, gradient: scaled.gradient });
  });

  it("with β = 0 and a huge ε is gradient descent: how tests read a gradient through the contract", () => {
    const p = parameter([1, 1], [0.5, -3], false);
    adamWStep([p], 1, 1, { learningRate: 1e10, beta1: 0, beta2: 0, epsilon: 1e12, weightDecay: 0 });
    expect([...p.values].map((value) => value.toFixed(5))).toEqual(["0.99500", "1.03000"]);
  });
});

describe("globalNorm", () => {
  it("is the norm of all gradients as one vector", () => {
    expect(globalNorm([parameter([0, 0], [3, 0]), parameter([0], [4])])).toBe(5);
    expect(globalNorm([])).toBe(0);
  });

  it("sums in double precision: neither small terms nor large ones are lost", () => {
    const many = new Array(10_000).fill(1e-4);
    expect(globalNorm([parameter([0], [100]), parameter(many, many)])).toBeCloseTo(Math.sqrt(10_000 + 1e-4), 9);
    expect(globalNorm([parameter([0, 0], [3e30, 4e30])]) / 5e30).toBeCloseTo(1, 6);
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])("is not finite where a gradient is %s", (bad) => {
    expect(Number.isFinite(globalNorm([parameter([0, 0], [1, bad])]))).toBe(false);
  });
});
