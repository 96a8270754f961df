/** A loss that a program brings: one object, registered, and then a `lossType` in recipes like any other. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ConfigError,
  defineLoss,
  defineRewardEntry,
  elementwise,
  extend,
  loadModel,
  losses,
  lossWeights,
  parseRecipe,
  prepareRecipe,
  runRecipe,
  z,
} from "aha-rl";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const { exponential, multiply, negate, scale, stopGradient, subtract } = elementwise;

/** −w·r·A with w = e^(−strength·(r − 1)²), a constant to the gradient: the ratio fades out as it leaves 1. */
const fade = defineLoss({
  name: "fade",
  summary: "the ratio, fading out as it leaves 1; a completion of twice the tokens counts twice",
  citation: "this test",
  options: { fadeStrength: z.number().min(0).default(0.5).describe("fade: how fast the weight falls") },
  mean: ({ stepTokens }) => 1 / stepTokens,
  hasConstantWeight: true,
  value: ({ logRatio, advantage }, { fadeStrength }) => {
    const ratio = Math.exp(logRatio);
    const value = -Math.exp(-fadeStrength * (ratio - 1) ** 2) * ratio * advantage;
    return { value, byLogprob: 0, byLogRatio: value };
  },
  graph: ({ ratios, advantages }, { fadeStrength }) => {
    const distance = subtract(ratios, ratios.graph.scalar(1));
    const weight = stopGradient(exponential(scale(multiply(distance, distance), -fadeStrength)));
    return negate(multiply(multiply(weight, ratios), advantages));
  },
  metrics: (rows, { fadeStrength }) => ({
    "fade/strength": fadeStrength,
    "fade/tokens": rows.reduce((sum, { ratios }) => sum + ratios.length, 0),
  }),
  unread: { clipEpsilon: "fade has a weight in place of the clip (fadeStrength)" },
});

const { graph: _, ...withoutGraph } = fade;

/** Something that completions of random weights differ by: how many of their characters are digits. */
const digits = defineRewardEntry({
  ...{ name: "digits", title: "Digits", summary: "the share of digits", citation: "this test", columns: [] },
  options: z.strictObject({}),
  create:
    () =>
    ({ completion }) => ({ score: (completion.match(/\d/g) ?? []).length / (completion.length + 1), reason: "" }),
});

const recipe = (keys: string) =>
  parseRecipe(
    `
name: own-loss
model: { init: { tokenizer: countdown-compact, hiddenSize: 16, intermediateSize: 32, numLayers: 1, numHeads: 2, numKvHeads: 1, headDim: 8, maxContextTokens: 96 } }
task: { name: countdown, prompt: compact, counts: [3], max: 10 }
evaluation: { problems: 2, maxCompletionTokens: 8 }
engine: { threads: 1 }
trainer: grpo
rewards: [{ name: digits }]
iterations: 2
promptsPerIteration: 3
groupSize: 4
updatesPerIteration: 2
maxCompletionTokens: 12
# Steps in proportion to the gradient, so that rounding stays rounding.
learningRate: 1
adamEpsilon: 1
${keys}
`,
    "own.yaml",
  );

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-own-loss-"));
  extend({
    losses: [fade, { ...withoutGraph, name: "fade_in_two_passes", engineName: "fade_in_two_passes" }],
    rewards: [digits],
  });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Trains by these keys in a folder of that name; the rows of its metrics, and its weights. */
async function train(name: string, keys: string) {
  const out = join(root, name);
  const prepared = await prepareRecipe(recipe(keys), { out });
  try {
    await runRecipe(prepared);
  } finally {
    await prepared.close();
  }
  const rows = readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n");
  const { values } = await loadModel(join(out, "model"));
  return { rows: rows.map((row) => JSON.parse(row) as Record<string, number>), values };
}

describe("a loss of one's own", () => {
  it("trains by its name, with its own options, mean and metrics", async () => {
    const { rows } = await train("whole", "lossType: fade\nfadeStrength: 2");
    expect(rows).toHaveLength(2);
    for (const row of rows) {
      expect(row).toMatchObject({ "fade/strength": 2 });
      expect(row["fade/tokens"]).toBeGreaterThan(0);
      expect(row).not.toHaveProperty("clip_ratio/low_mean");
    }
    expect(rows.some(({ loss }) => loss !== 0)).toBe(true);
    expect([...lossWeights("fade", [1, 3], { maxCompletionTokens: 4 })]).toEqual([1 / 4, 1 / 4]);
  });

  it("needs no graph: its numbers alone train the same, in two passes", async () => {
    const once = await train("once", "lossType: fade\nklCoef: 0.1");
    const twice = await train("twice", "lossType: fade_in_two_passes\nklCoef: 0.1");
    for (const [name, own] of once.values) {
      const other = twice.values.get(name)!;
      const gap = own.reduce((most, value, i) => Math.max(most, Math.abs(value - other[i]!)), 0);
      expect(gap, name).toBeLessThan(1e-5);
    }
    expect(twice.rows.map((row) => row["fade/strength"])).toEqual([0.5, 0.5]);
    for (const [i, { loss, grad_norm }] of once.rows.entries()) {
      expect(grad_norm).toBeGreaterThan(1e-3);
      expect(twice.rows[i]!.grad_norm! / grad_norm!).toBeCloseTo(1, 4);
      expect(twice.rows[i]!.loss).toBeCloseTo(loss!, 5);
    }
  });

  it("has its keys checked like everybody's", () => {
    expect(() => recipe("lossType: fad")).toThrow(/got the text "fad"; did you mean "fade"\?/);
    expect(() => recipe("lossType: fade\nfadeStrength: -1")).toThrow(/fadeStrength: expected a number of at least 0/);
    expect(() => recipe("lossType: fade\nfadeStrenght: 1")).toThrow(/unknown key; did you mean "fadeStrength"\?/);
    expect(() => recipe("fadeStrength: 1")).toThrow(
      /fadeStrength 1 would change nothing: it is of lossType fade or fade_in_two_passes, not dapo/,
    );
    expect(() => recipe("lossType: fade\nclipEpsilon: 0.1")).toThrow(/fade has a weight in place of the clip/);
    expect(() => recipe("lossType: fade\ndelta: 3")).toThrow(/delta 3 would change nothing: it is of lossType grpo/);
  });
});

describe("what cannot be registered", () => {
  const refused = (loss: Parameters<typeof losses.add>[0]) => expect(() => extend({ losses: [loss] }));

  it("is a name that is taken, or none", () => {
    refused(fade).toThrow(ConfigError);
    refused(fade).toThrow(/There is a loss named fade already/);
    refused({ ...fade, name: "a loss" }).toThrow(/cannot name a loss/);
  });

  it("is an option that another loss has with another schema, and nothing is registered then", () => {
    const options = { clipEpsilon: z.number().default(7).describe("another one") };
    refused({ ...fade, name: "other", options }).toThrow(/has an option clipEpsilon, and so has grpo/);
    refused({ ...fade, name: "other", options: { klCoef: z.number() } }).toThrow(/and so has every loss/);
    expect(losses.find("other")).toBeUndefined();
    expect(() => recipe("lossType: dapo")).not.toThrow();
  });
});
