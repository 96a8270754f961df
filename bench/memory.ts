/**
 * Peak memory at a large vocabulary, over tokens and over the chunk of logits: it should grow with the chunk and with what
 * a layer keeps for each token, not with tokens × vocabulary. Every point is a process of its own.
 *
 * `memory` measures forward and backward alone; `chunks` the GRPO step of `grpo.ts`.
 */

import type { Datum } from "../src/engine/contract/policy.ts";
import { Random } from "../src/random.ts";
import { measureApart } from "./apart.ts";
import { openEngine } from "./engine.ts";
import { median, peakMemoryMiB, seconds } from "./measure.ts";
import type { BenchOptions, Figures } from "./options.ts";

/** The engine's own chunk at a vocabulary of 151,936 tokens. */
const CHUNK = 220;

/** One GRPO forward + backward of `batch` completions of `tokens` tokens on one prompt, all in one micro-batch. */
export async function benchMemoryPoint(options: BenchOptions): Promise<Figures> {
  const { batch, prompt, tokens, chunk, repeat, seed } = options;
  const positions = batch * tokens;
  const engine = await openEngine(options, prompt + positions);
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
  await engine.score(data, { temperature: 1 });
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
export async function benchMemory(options: BenchOptions): Promise<Figures[]> {
  const { tokens, prompt } = options;
  const batch = options.given.has("batch") ? options.batch : 4;
  const repeat = options.given.has("repeat") ? options.repeat : 1;
  const chunk = options.chunk || CHUNK;
  const largest = batch * 4;
  const whole = largest * tokens + prompt;
  const points = [
    ...[1, 2, 4].map((factor) => ({ batch: batch * factor, chunk })),
    ...[0.5, 2, 4].map((factor) => ({ batch: largest, chunk: Math.round(chunk * factor) })),
    { batch: largest, chunk: whole },
  ];
  const rows: Figures[] = [];
  for (const point of points) {
    const figures = await measureApart("memory-point", { ...options, repeat, ...point });
    rows.push({
      tokens: figures.tokens!,
      chunk: point.chunk === whole ? "whole" : point.chunk,
      whole_logits_mib: figures.whole_logits_mib!,
      forward_peak_mib: figures.forward_peak_mib!,
      peak_memory_mib: figures.peak_memory_mib!,
      forward_backward_s: figures.forward_backward_s!,
    });
  }
  return rows;
}

/** The GRPO step over chunks of logits: ¼, ½, 1, 2, 4 times `--chunk`, and whole. */
export async function benchChunks(options: BenchOptions): Promise<Figures[]> {
  const { prompts, group, tokens } = options;
  const chunk = options.chunk || CHUNK;
  const whole = 1e6;
  const rows: Figures[] = [];
  for (const size of [...[0.25, 0.5, 1, 2, 4].map((factor) => Math.round(chunk * factor)), whole]) {
    const figures = await measureApart("grpo", { ...options, chunk: size });
    rows.push({
      completion_tokens: prompts * group * tokens,
      chunk: size === whole ? "whole" : size,
      loaded_peak_mib: figures.loaded_peak_mib!,
      sampling_peak_mib: figures.sampling_peak_mib!,
      peak_memory_mib: figures.peak_memory_mib!,
      training_s: figures.training_s!,
      s_per_step: figures.s_per_step!,
    });
  }
  return rows;
}
