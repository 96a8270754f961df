import { describe, expect, it } from "vitest";
import type { SampledSequence } from "../../src/engine/engine.ts";
import { ConfigError } from "../../src/errors.ts";
import { evaluate } from "../../src/eval/evaluate.ts";
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
