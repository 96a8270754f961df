import { describe, expect, it } from "vitest";
import { CONFORMANCE_CHECKS, runConformance } from "../../src/engine/conformance.ts";
import type { Policy } from "../../src/engine/contract/policy.ts";
import { emptyDirectory, MODELS, openEngine } from "./models.ts";
import { TabularEngine } from "./tabular-engine.ts";

const openTabular = async (): Promise<Policy> => new TabularEngine({ vocabSize: 23, seed: 4, initStd: 1 });

describe.each(Object.entries(MODELS))("the embedded engine, %s", (_, config) => {
  const open = async () => openEngine(config);
  it.each(CONFORMANCE_CHECKS.map((check) => [check.name, check] as const))("%s", (_name, check) =>
    check.run({ open, emptyDirectory }),
  );
});

describe("the embedded engine with two slots and micro-batches of 12 positions", () => {
  const config = MODELS["tied, query and key norms"];
  const open = async () => openEngine(config, undefined, { maxSlots: 2, microBatchTokens: 12 });
  it.each(CONFORMANCE_CHECKS.map((check) => [check.name, check] as const))("%s", (_name, check) =>
    check.run({ open, emptyDirectory }),
  );
});

describe("the reference engine", () => {
  it.each(CONFORMANCE_CHECKS.map((check) => [check.name, check] as const))("%s", (_name, check) =>
    check.run({ open: openTabular, emptyDirectory }),
  );
});

/** The reference engine with one verb of another make. */
async function brokenEngine(change: (engine: Policy) => Partial<Policy>): Promise<Policy> {
  const engine = await openTabular();
  const changed = change(engine);
  return new Proxy(engine, {
    get: (target, key) => {
      const own: unknown = changed[key as keyof Policy] ?? target[key as keyof Policy];
      return typeof own === "function" ? own.bind(target) : own;
    },
  });
}

describe("the suite notices an engine that", () => {
  it.each<[string, (engine: Policy) => Partial<Policy>]>([
    [
      "reports log-probabilities of another temperature",
      (engine) => ({ score: (data, options) => engine.score(data, { ...options, temperature: 1 }) }),
    ],
    [
      "draws other numbers in another batch",
      (engine) => ({
        sample: (prompts, params) => engine.sample(prompts, { ...params, seed: params.seed + prompts.length }),
      }),
    ],
    [
      "has a gradient of half the size",
      (engine) => ({
        forwardBackward: async (data, loss) => {
          const halved = data.map((datum) => ({ ...datum, weights: datum.weights.map((w) => w / 2) }));
          const result = await engine.forwardBackward(halved, loss);
          return { ...result, loss: 2 * result.loss };
        },
      }),
    ],
    ["does not clip", (engine) => ({ optimStep: (params) => engine.optimStep({ ...params, maxGradNorm: 0 }) })],
    ["restores nothing", () => ({ loadState: async () => {} })],
    ["freezes nothing", () => ({ freezeReference: async () => {} })],
    [
      "keeps stop tokens out for good",
      (engine) => ({ sample: (prompts, params) => engine.sample(prompts, { ...params, minCompletionTokens: 99 }) }),
    ],
  ])("%s", async (_, change) => {
    const results = await runConformance({ open: () => brokenEngine(change), emptyDirectory });
    expect(results).toHaveLength(CONFORMANCE_CHECKS.length);
    const failures = results.filter(({ error }) => error !== undefined);
    expect(failures.length).toBeGreaterThan(0);
    expect(failures.length).toBeLessThan(results.length);
  });
});
