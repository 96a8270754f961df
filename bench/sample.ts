/**
 * Sampling alone: `batch` completions of exactly `tokens` tokens, `samples` of each random prompt of `prompt` tokens. The
 * peer completes as many prompts of that length.
 */

import { AhaError } from "../src/errors.ts";
import { Random } from "../src/random.ts";
import { openEngine } from "./engine.ts";
import { median, peakMemoryMiB, seconds } from "./measure.ts";
import type { BenchOptions, Figures } from "./options.ts";

export async function benchSample(options: BenchOptions): Promise<Figures> {
  const { batch, samples, prompt, tokens, repeat, seed } = options;
  if (batch % samples !== 0) throw new AhaError(`--batch ${batch} is no multiple of --samples ${samples}`);
  const engine = await openEngine(options);
  const random = new Random(seed, "bench/sample");
  const prompts = Array.from({ length: batch / samples }, (_, promptId) => ({
    tokens: Int32Array.from({ length: prompt }, () => 3 + random.integer(engine.info.vocabSize - 3)),
    numSamples: samples,
    promptId,
  }));
  const sampling = { temperature: 1, topP: 1, topK: 0, maxCompletionTokens: tokens, stopTokenIds: [], seed };
  const times: number[] = [];
  for (let iteration = 0; iteration <= repeat; iteration++) {
    times.push(await seconds(() => engine.sample(prompts, { ...sampling, iteration })));
  }
  await engine.dispose();
  const s = median(times.slice(1));
  return { bench: "sample", seconds: s, tokens_per_s: (batch * tokens) / s, peak_memory_mib: peakMemoryMiB() };
}
