/**
 * An engine that a program brings, for models that are tables of bigrams: it trains nothing but them, has no reference
 * policy, and keeps its states itself. A recipe names it by `engine.kind` and gives it a key of its own.
 */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, type EngineKind, engines, extend, parseRecipe, prepareRecipe, runRecipe, z } from "aha-rl";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TabularEngine } from "../engine/tabular-engine.ts";

/** Of the tokenizer countdown-compact. */
const VOCABULARY = 121;

class BigramEngine extends TabularEngine {
  override readonly capabilities = { ...new TabularEngine({ vocabSize: 2 }).capabilities, reference: false };
}

const opened: { readonly spread: number; readonly path: string }[] = [];

const bigram: EngineKind = {
  name: "bigram",
  summary: "tables of bigrams, in double precision",
  shape: { spread: z.number().positive().default(0.1).describe("standard deviation of the first logits") },
  openPolicy: async ({ spread }, { path }) => {
    opened.push({ spread: spread as number, path });
    return new BigramEngine({ vocabSize: VOCABULARY, maxContextTokens: 96, initStd: spread as number });
  },
};

const recipe = (keys: string) =>
  parseRecipe(
    `
name: own-engine
model: { init: { tokenizer: countdown-compact, hiddenSize: 16, intermediateSize: 32, numLayers: 1, numHeads: 2, numKvHeads: 1, headDim: 8, maxContextTokens: 96 } }
task: { name: countdown, prompt: compact, counts: [3], max: 10 }
evaluation: { problems: 4, maxCompletionTokens: 16, greedy: never }
trainer: grpo
rewards: [{ name: format }]
iterations: 2
promptsPerIteration: 2
groupSize: 4
maxCompletionTokens: 12
learningRate: 0.05
${keys}
`,
    "own.yaml",
  );

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-own-engine-"));
  extend({ engines: [bigram] });
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("an engine of a program", () => {
  it("runs a recipe that names it: it is opened with its keys, samples, trains, and says what it is", async () => {
    const prepared = await prepareRecipe(recipe("engine: { kind: bigram, spread: 0.5 }"), { out: join(root, "run") });
    try {
      expect(prepared.engine).toBeInstanceOf(BigramEngine);
      await runRecipe(prepared);
    } finally {
      await prepared.close();
    }
    expect(opened.at(-1)).toEqual({ spread: 0.5, path: expect.stringContaining("initial-model") });
    const rows = readFileSync(join(root, "run", "metrics.jsonl"), "utf8")
      .trim()
      .split("\n");
    expect(rows.map((row) => JSON.parse(row) as { step: number }).map(({ step }) => step)).toEqual([1, 2]);
    expect(readFileSync(join(root, "run", "summary.json"), "utf8")).toContain(`"vocabSize": ${VOCABULARY}`);
  });

  it("is refused by name, before the run begins, for a stage that needs what it cannot do", async () => {
    const out = join(root, "refused");
    const prepared = prepareRecipe(recipe("engine: { kind: bigram }\nklCoef: 0.1"), { out });
    await expect(prepared).rejects.toThrow(ConfigError);
    await expect(prepared).rejects.toThrow(/reference policy.*klCoef|klCoef.*reference policy/s);
  });

  it("has its keys checked, is listed by its name, and has the name to itself", () => {
    expect(() => recipe("engine: { kind: bigram, spread: -1 }")).toThrow(/spread/);
    expect(() => recipe("engine: { kind: bigram, maxSlots: 4 }")).toThrow(/maxSlots/);
    expect(() => recipe("engine: { kind: bigrams }")).toThrow(/"bigrams".*bigram/s);
    expect(() => extend({ engines: [bigram] })).toThrow(/bigram/);
    expect(engines.names).toContain("bigram");
  });
});
