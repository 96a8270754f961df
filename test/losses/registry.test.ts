/** What holds for every loss of the registry: its two forms are one, and its slopes are those of its value. */

import { describe, expect, it } from "vitest";
import { z } from "zod";
import { ConfigError } from "../../src/errors.ts";
import { gradients } from "../../src/graph/gradient.ts";
import { sum } from "../../src/graph/ops/broadcast.ts";
import { Graph } from "../../src/graph/tensor.ts";
import { engineLossNames, tokenLoss, tokenTerm } from "../../src/losses/engine-losses.ts";
import { KL_ESTIMATORS } from "../../src/losses/kl.ts";
import { CROSS_ENTROPY, type LossSpec } from "../../src/losses/loss-spec.ts";
import type { PolicyLoss } from "../../src/losses/policy-loss.ts";
import { losses, lossOptions } from "../../src/losses/registry.ts";
import { Random } from "../../src/random.ts";
import { Registry } from "../../src/registry.ts";
import { array } from "../graph/arrays.ts";
import { evaluate } from "../graph/evaluate.ts";

/** Options of a loss: its defaults, and each one at other values that it takes. */
function optionsOf({ options }: Pick<PolicyLoss, "options">): Record<string, unknown>[] {
  const others = Object.entries(options).flatMap(([key, schema]) =>
    [0.1, 0.6, 1.3, 2.5].filter((value) => z.safeParse(schema, value).success).map((value) => ({ [key]: value })),
  );
  return [{}, ...others];
}

/** Tokens with ratios below, inside and above every bound, advantages of both signs and none. */
const random = new Random(7, "losses");
const tokens = Array.from({ length: 64 }, (_, i) => {
  const logprob = -4 * random.uniform() - 0.01;
  return {
    logprob,
    samplerLogprob: logprob - 3 * (random.uniform() - 0.5),
    refLogprob: logprob - 2 * (random.uniform() - 0.5),
    advantage: i % 9 === 0 ? 0 : 4 * (random.uniform() - 0.5),
  };
});

/** Terms of the tokens and their slopes by log-probability, by the graph. */
async function byGraph(loss: LossSpec) {
  const graph = new Graph();
  const input = (name: string) => graph.input(name, "float32", ["N"]);
  const logprobs = input("logprobs");
  const terms = tokenLoss(loss, logprobs, input);
  const [slopes] = gradients(sum(terms), [logprobs]);
  const columns = {
    logprobs: tokens.map(({ logprob }) => logprob),
    samplerLogprobs: tokens.map(({ samplerLogprob }) => samplerLogprob),
    refLogprobs: tokens.map(({ refLogprob }) => refLogprob),
    advantages: tokens.map(({ advantage }) => advantage),
  };
  const feeds = Object.fromEntries(Object.entries(columns).map(([name, of]) => [name, array([of.length], of)]));
  const found = await evaluate(graph, { terms, slopes: slopes! }, feeds);
  return { terms: found.terms.values, slopes: found.slopes.values };
}

const withGraph: LossSpec[] = [
  { name: CROSS_ENTROPY },
  ...losses.all
    .filter(({ graph }) => graph !== undefined)
    .flatMap((loss) =>
      optionsOf(loss).map((options): LossSpec => ({ name: loss.name, temperature: 1, klCoef: 0, ...options })),
    ),
  ...engineLossNames().flatMap((name) =>
    KL_ESTIMATORS.flatMap((klEstimator) =>
      [false, true].map(
        (klBiasCorrection): LossSpec => ({ name, temperature: 1, klCoef: 0.3, klEstimator, klBiasCorrection }),
      ),
    ),
  ),
];

describe("the graph of a loss and its numbers are one", () => {
  it.each(withGraph.map((loss) => [JSON.stringify(loss), loss] as const))("%s", async (_, loss) => {
    const { terms, slopes } = await byGraph(loss);
    for (const [n, token] of tokens.entries()) {
      const { value, slope } = tokenTerm(loss, token);
      expect(Math.abs(terms[n]! - value), `value ${n}`).toBeLessThan(2e-5 * Math.max(1, Math.abs(value)));
      expect(Math.abs(slopes[n]! - slope), `slope ${n}`).toBeLessThan(2e-5 * Math.max(1, Math.abs(slope)));
    }
  });
});

describe("the slopes of a loss are those of its value", () => {
  const cases = losses.all.flatMap((loss) => optionsOf(loss).map((options) => [loss, options] as const));

  it.each(cases.map(([loss, options]) => [`${loss.name} ${JSON.stringify(options)}`, loss, options] as const))(
    "%s",
    (_, loss, given) => {
      const options = lossOptions(loss, given);
      const step = 1e-6;
      for (const { logprob, samplerLogprob, advantage } of tokens) {
        const at = (byLogprob: number, byLogRatio: number) =>
          loss.value(
            {
              ...{ logprob: logprob + byLogprob, logRatio: logprob - samplerLogprob + byLogRatio, advantage },
              sequenceWeight: 0.7,
            },
            options,
          );
        const { byLogprob, byLogRatio } = at(0, 0);
        expect((at(step, 0).value - at(-step, 0).value) / (2 * step)).toBeCloseTo(byLogprob, 5);
        // A weight that is a constant to the gradient has no slope by the ratio that is in it.
        if (loss.hasConstantWeight) expect(byLogRatio).toBe(0);
        else expect((at(0, step).value - at(0, -step).value) / (2 * step)).toBeCloseTo(byLogRatio, 5);
      }
    },
  );
});

describe("every loss", () => {
  it.each(losses.all.map((loss) => [loss.name, loss] as const))(
    "%s says what it is, where from, and what its options mean",
    (_, loss) => {
      expect(loss.summary.length).toBeGreaterThan(20);
      expect(loss.citation.length).toBeGreaterThan(10);
      for (const schema of Object.values(loss.options)) expect((schema as z.ZodType).description).toMatch(/\w{3}/);
      expect(losses.get(loss.engineName).value).toBe(loss.value);
    },
  );

  it("whose terms read more than a token has no graph", () => {
    const names = losses.all.filter(({ graph }) => graph === undefined).map(({ name }) => name);
    expect(names).toEqual(
      losses.all.filter(({ ratio, sequenceWeight }) => ratio === "product" || sequenceWeight).map(({ name }) => name),
    );
  });

  it("is known to TRL's GRPO trainer under its own name, one apart, which has a trainer of its own there", () => {
    expect(losses.all.filter(({ trl }) => trl !== undefined).map(({ name, trl }) => [name, trl!.name])).toEqual(
      losses.names.filter((name) => name !== "rloo").map((name) => [name, name]),
    );
  });

  it("is added once, under a name of its own", () => {
    const registry = new Registry<PolicyLoss>("loss", losses.all);
    expect(() => registry.add(losses.get("dapo"))).toThrow(ConfigError);
    expect(() => registry.add({ ...losses.get("dapo"), name: "a loss" })).toThrow(/cannot name a loss/);
    expect(() => registry.get("dappo")).toThrow(/Did you mean dapo\?/);
  });
});
