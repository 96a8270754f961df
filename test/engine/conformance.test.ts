import { describe, expect, it } from "vitest";
import { conformanceChecks, runConformance } from "../../src/engine/conformance.ts";
import type { Policy } from "../../src/engine/contract/policy.ts";
import { emptyDirectory, MODELS, openEngine } from "./models.ts";
import { TabularEngine } from "./tabular-engine.ts";

const openTabular = async (): Promise<Policy> => new TabularEngine({ vocabSize: 23, seed: 4, initStd: 1 });

async function promisesOf(open: () => Promise<Policy>) {
  const engine = await open();
  const checks = conformanceChecks(engine.capabilities);
  await engine.dispose();
  return checks.map((check) => [check.name, check] as const);
}

for (const [name, config] of Object.entries(MODELS)) {
  const open = () => openEngine(config);
  const promises = await promisesOf(open);
  describe(`the embedded engine, ${name}`, () => {
    it.each(promises)("%s", (_name, check) => check.run({ open, emptyDirectory }));
  });
}

const openNarrow = () =>
  openEngine(MODELS["tied, query and key norms"], undefined, { maxSlots: 2, microBatchTokens: 12 });

describe("the embedded engine with two slots and micro-batches of 12 positions", async () => {
  it.each(await promisesOf(openNarrow))("%s", (_name, check) => check.run({ open: openNarrow, emptyDirectory }));
});

describe("the reference engine", async () => {
  it.each(await promisesOf(openTabular))("%s", (_name, check) => check.run({ open: openTabular, emptyDirectory }));
});

/** The reference engine as a server might offer it: no entropies, no norms, no reference, one temperature. */
async function openFrugal(): Promise<Policy> {
  return brokenEngine((engine) => {
    const silent = <T extends object>({ entropies: _, ...result }: T & { entropies?: unknown }) => result;
    return {
      capabilities: {
        ...engine.capabilities,
        ...{ losses: ["cross_entropy"], entropies: false, scoringTemperature: false, keptTokens: false },
        ...{ seededDraws: false, sessions: false, reference: false, referenceMixing: false, entropyBonus: false },
        ...{ gradientNorm: false, gradientClipping: false },
      },
      score: async (data, options) => silent(await engine.score(data, options)),
      forwardBackward: async (data, loss) => silent(await engine.forwardBackward(data, loss)),
      optimStep: async (params) => ({ applied: (await engine.optimStep(params)).applied }),
      step: async (...parts) => {
        const { gradNorm: _, ...result } = silent(await engine.step(...parts));
        return result;
      },
    } as Partial<Policy>;
  });
}

describe("an engine that can little", () => {
  it("is asked to keep its own promises alone", async () => {
    const results = await runConformance({ open: openFrugal, emptyDirectory });
    expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
    const all = await promisesOf(openTabular);
    expect(results.length).toBeGreaterThan(10);
    expect(results.length).toBeLessThan(all.length);
  });
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
    expect(results).toHaveLength((await promisesOf(openTabular)).length);
    const failures = results.filter(({ error }) => error !== undefined);
    expect(failures.length).toBeGreaterThan(0);
    expect(failures.length).toBeLessThan(results.length);
  });
});
