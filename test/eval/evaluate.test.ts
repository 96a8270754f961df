import { describe, expect, it } from "vitest";
import type { SampledSequence } from "../../src/engine/contract/sampler.ts";
import { ConfigError } from "../../src/errors.ts";
import { compareEvaluations } from "../../src/eval/compare.ts";
import { evaluate, statisticNames } from "../../src/eval/evaluate.ts";
import { EOS, lettersTask, lettersTokenizer, newEngine } from "../train/letters.ts";

const options = { temperature: 1, samples: 2, maxCompletionTokens: 4, seed: 1 };

/** An engine that answers with the given texts, in order; a text that ends in "…" was cut off. */
function answering(...texts: string[]) {
  const engine = newEngine();
  engine.sample = async (prompts) =>
    prompts.flatMap(({ numSamples }, promptIndex) =>
      Array.from({ length: numSamples }, (_, sampleIndex): SampledSequence => {
        const text = texts[promptIndex * numSamples + sampleIndex]!;
        const cut = text.endsWith("…");
        const tokens = Int32Array.from([...lettersTokenizer.encode(text.replace("…", "")), ...(cut ? [] : [EOS])]);
        const logprobs = new Float32Array(tokens.length);
        return { promptIndex, sampleIndex, tokens, logprobs, finishReason: cut ? "length" : "stop" };
      }),
    );
  return engine;
}

describe("evaluate", () => {
  it("reports rates, lengths, tries, pass@k and the majority by hand-counted numbers", async () => {
    // Problems 1 → a, 2 → b, 3 → c, two samples each.
    const engine = answering("a", "a", "b", "ca", "", "a1a1…");
    const { statistics, intervals, completions } = await evaluate(
      engine,
      lettersTokenizer,
      lettersTask,
      lettersTask.heldOut(3),
      options,
    );
    expect(statistics).toMatchObject({
      solveRate: 3 / 6,
      formatRate: 3 / 6,
      meanLength: (2 + 2 + 2 + 3 + 1 + 4) / 6,
      truncatedRate: 1 / 6,
      tries: (1 + 1 + 1 + 2 + 0 + 4) / 6,
      solvedPerTry: 3 / 9,
      digits: 2 / 6,
      passAt2: 2 / 3,
      majorityRate: 2 / 3,
      reflectionWords: 0,
    });
    expect(statistics).toMatchObject({ minLength: 1, maxLength: 4, minTerminatedLength: 1, maxTerminatedLength: 3 });
    expect(statistics.meanTerminatedLength).toBeCloseTo((2 + 2 + 2 + 3 + 1) / 5, 12);
    // Every mean has an interval around it; extremes have none.
    for (const [name, value] of Object.entries(statistics)) {
      if (/^(min|max)/.test(name)) expect(intervals).not.toHaveProperty(name);
      else expect(intervals[name]![0] <= value && value <= intervals[name]![1]).toBe(true);
    }
    // Three problems are three trials, however many samples.
    expect(intervals.solveRate![1] - intervals.solveRate![0]).toBeGreaterThan(0.7);
    expect(completions.map(({ problemId, sample, solved }) => [problemId, sample, solved])).toEqual([
      [1, 0, true],
      [1, 1, true],
      [2, 0, true],
      [2, 1, false],
      [3, 0, false],
      [3, 1, false],
    ]);
  });

  it("reports pass@k at the k that are asked for, and names them all before anything is sampled", async () => {
    const engine = answering("a", "b", "a", "x");
    const four = { ...options, samples: 4, passAt: [1, 3] };
    const found = await evaluate(engine, lettersTokenizer, lettersTask, lettersTask.heldOut(1), four);
    expect(found.statistics).toMatchObject({ passAt1: 0.5, passAt3: 1 });
    expect(found.statistics).not.toHaveProperty("passAt2");
    const judged = lettersTask.judge(lettersTask.heldOut(1)[0]!, "a1");
    const names = statisticNames([judged], four);
    for (const name of ["passAt3", "majorityRate", "solvedPerTry", "maxTerminatedLength"])
      expect(names).toContain(name);
    expect(statisticNames([judged], options)).toContain("passAt2");
    expect(statisticNames([judged], { samples: 1 })).not.toContain("majorityRate");
  });

  it("compares two policies on the same problems", async () => {
    const of = (...texts: string[]) =>
      evaluate(answering(...texts), lettersTokenizer, lettersTask, lettersTask.heldOut(3), { ...options, samples: 1 });
    const [worse, better] = [await of("x", "x", "c"), await of("a", "b", "xx")];
    const { differences, mcNemar } = compareEvaluations(worse, better, 1);
    expect(mcNemar).toEqual({ onlyFirst: 1, onlySecond: 2, pValue: 1 });
    expect(differences.solveRate!.difference).toBeCloseTo(1 / 3, 12);
    expect(differences.solveRate!.interval).toEqual([-1, 1]);
    expect(differences.formatRate!.interval[0]).toBeLessThanOrEqual(differences.formatRate!.difference);
    expect(compareEvaluations(worse, worse, 1).differences.solveRate).toEqual({ difference: 0, interval: [0, 0] });
    expect(compareEvaluations(worse, better, 1)).toEqual(compareEvaluations(worse, better, 1));
  });

  it("has no solvedPerTry where nothing was tried, and no pass@k of one sample", async () => {
    const engine = answering("");
    const one = { ...options, samples: 1 };
    const { statistics } = await evaluate(engine, lettersTokenizer, lettersTask, lettersTask.heldOut(1), one);
    expect(statistics).not.toHaveProperty("solvedPerTry");
    expect(Object.keys(statistics).some((name) => name.startsWith("passAt"))).toBe(false);
    expect(statistics.solveRate).toBe(0);
  });

  it("is a function of the seed", async () => {
    const run = async (seed: number) =>
      (await evaluate(newEngine(), lettersTokenizer, lettersTask, lettersTask.heldOut(8), { ...options, seed }))
        .completions;
    expect(await run(1)).toEqual(await run(1));
    expect(await run(2)).not.toEqual(await run(1));
  });

  it("refuses problems that do not fit", async () => {
    const refused = evaluate(newEngine(), lettersTokenizer, lettersTask, lettersTask.heldOut(1), {
      ...options,
      maxCompletionTokens: 16,
    });
    await expect(refused).rejects.toThrow(ConfigError);
  });
});
