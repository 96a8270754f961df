/**
 * Peak memory of training at a large vocabulary, over the tokens of a micro-batch and over the chunk of logits: it should
 * grow with the chunk and with what a layer keeps for each token, not with tokens × vocabulary. Every point is a process
 * of its own, because a process keeps the memory that it once took.
 */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Datum } from "../src/engine/engine.ts";
import { createLocalEngine } from "../src/engine/local/create.ts";
import { Random } from "../src/random.ts";
import type { BenchOptions } from "./main.ts";
import { median, peakMemoryMiB, seconds } from "./measure.ts";

const run = promisify(execFile);

/** One GRPO forward + backward of `batch` completions of `tokens` tokens on one prompt, all in one micro-batch. */
export async function benchMemoryPoint(options: BenchOptions): Promise<Record<string, unknown>> {
  const { batch, prompt, tokens, chunk, repeat, threads, seed } = options;
  const positions = batch * tokens;
  const engine = await createLocalEngine(options.model, {
    threads,
    microBatchTokens: prompt + positions,
    ...(chunk > 0 && { logitChunkTokens: chunk }),
  });
  const random = new Random(seed, "bench/memory");
  const draw = (length: number) => Int32Array.from({ length }, () => random.integer(engine.info.vocabSize));
  const promptTokens = draw(prompt);
  const column = (value: () => number) => Float32Array.from({ length: tokens }, value);
  const data = Array.from({ length: batch }, (): Datum => {
    return {
      promptTokens,
      completionTokens: draw(tokens),
      weights: column(() => 1 / positions),
      advantages: column(() => random.normal()),
      samplerLogprobs: column(() => -12),
    };
  });
  const loadedMiB = peakMemoryMiB();
  await engine.forward(data, { temperature: 1, policy: "policy" });
  const forwardMiB = peakMemoryMiB();
  const loss = { name: "grpo", clipEpsilon: 0.2, clipEpsilonHigh: 0.2, klCoef: 0, temperature: 1 } as const;
  const times: number[] = [];
  for (let i = 0; i <= repeat; i++) times.push(await seconds(() => engine.forwardBackward(data, loss)));
  const { vocabSize } = engine.info;
  await engine.dispose();
  return {
    bench: "memory-point",
    tokens: positions,
    chunk,
    whole_logits_mib: (positions * vocabSize * 4) / 2 ** 20,
    loaded_mib: loadedMiB,
    forward_peak_mib: forwardMiB,
    peak_memory_mib: peakMemoryMiB(),
    forward_backward_s: median(times.length > 1 ? times.slice(1) : times),
  };
}

/** `benchMemoryPoint` over 1, 2 and 4 batches, and for the largest over chunks of logits, the last of them all tokens. */
export async function benchMemory(options: BenchOptions): Promise<Record<string, unknown>> {
  const { batch, tokens, prompt, chunk } = options;
  const largest = batch * 4;
  const whole = largest * tokens + prompt;
  const points = [
    ...[1, 2, 4].map((factor) => ({ batch: batch * factor, chunk })),
    ...[0.5, 2, 4].map((factor) => ({ batch: largest, chunk: Math.round(chunk * factor) })),
    { batch: largest, chunk: whole },
  ];
  const results: Record<string, unknown> = { bench: "memory" };
  for (const point of points) {
    const { tokens: count, ...figures } = await measure({ ...options, ...point });
    const title = `${count} tokens, ${point.chunk === whole ? "whole logits" : `chunks of ${point.chunk}`}`;
    const { forward_peak_mib, peak_memory_mib, forward_backward_s } = figures;
    results[`${title}: peak_memory_mib`] = peak_memory_mib;
    results[`${title}: forward_peak_mib`] = forward_peak_mib;
    results[`${title}: forward_backward_s`] = forward_backward_s;
  }
  return results;
}

/** A point in a process of its own. */
async function measure(options: BenchOptions): Promise<Record<string, number>> {
  const names = ["batch", "prompt", "tokens", "chunk", "repeat", "threads", "seed"] as const;
  const flags = names.flatMap((name) => [`--${name}`, String(options[name])]);
  const bench = fileURLToPath(new URL("./main.ts", import.meta.url));
  const point = ["memory-point", "--model", options.model, ...flags, "--json"];
  const { stdout } = await run(process.execPath, ["--import", "tsx", bench, ...point]);
  return JSON.parse(stdout) as Record<string, number>;
}
