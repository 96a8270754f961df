/**
 * SFT steps as `aha run` takes them, on the rows of `sft-rows.ts`: tokenizing, the engine's own batching without padding
 * from row to row, loss on completions, forward, backward and AdamW. The trainer is the product's own. Tokens are those of
 * rows, prompts included; what a program computes for padding counts as time and not as tokens.
 *
 * The peer (peers/trl_sft.py) is given the very tokens, step by step, in a file: `first_loss` is the same on both sides.
 */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Policy } from "../src/engine/contract/policy.ts";
import { loadTokenizer } from "../src/tokenizer/on-disk.ts";
import type { TrainContext } from "../src/train/context.ts";
import { type SftConfig, sftConfigSchema } from "../src/train/sft/config.ts";
import { DemonstrationStream } from "../src/train/sft/demonstration-stream.ts";
import { trainSft } from "../src/train/sft/sft.ts";
import { measurePeer, type NumbersByName } from "./apart.ts";
import { openEngine } from "./engine.ts";
import { median, peakMemoryMiB } from "./measure.ts";
import type { BenchOptions, Figures } from "./options.ts";
import { mixedRows, stepLengths } from "./sft-rows.ts";

export async function benchSft(options: BenchOptions): Promise<Figures> {
  const engine = await openEngine(options);
  const seconds: number[] = [];
  const losses: number[] = [];
  await trainSft(
    {
      ...(await partsOf(options, engine)),
      signal: new AbortController().signal,
      log: {
        metrics: ({ loss }) => losses.push(loss!),
        rollouts: () => undefined,
        event: () => undefined,
        timing: ({ step_time }) => {
          seconds.push(step_time!);
          if (!options.json)
            console.error(`step ${seconds.length} of ${options.steps + 1}: ${step_time!.toFixed(2)} s`);
        },
      },
    },
    configOf(options),
  );
  await engine.dispose();
  const perStep = median(options.steps > 0 ? seconds.slice(1) : seconds);
  const tokens = tokensOfStep(options);
  return {
    bench: "sft",
    s_per_step: perStep,
    tokens_per_step: tokens,
    tokens_per_s: tokens / perStep,
    first_loss: losses[0]!,
    peak_memory_mib: peakMemoryMiB(),
  };
}

/** TRL on the same rows, padded to the longest of a step, or packed. */
export async function measureTrlSft(options: BenchOptions, { packed }: { packed: boolean }): Promise<NumbersByName> {
  const folder = await mkdtemp(join(tmpdir(), "aha-bench-"));
  try {
    const file = join(folder, "rows.json");
    await writeFile(file, JSON.stringify(await tokensOfRows(options)));
    const flags = ["--file", file, ...(packed ? ["--packing"] : [])];
    return await measurePeer("trl_sft.py", options, ["rows", "steps", "lora", "threads"], flags);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The demonstrations of all steps, as the trainer takes them: tokens of prompt and of completion. */
async function tokensOfRows(options: BenchOptions): Promise<{ prompt: number[]; completion: number[] }[]> {
  const engine = await openEngine(options);
  const stream = new DemonstrationStream(await partsOf(options, engine), configOf(options));
  const rows: { prompt: number[]; completion: number[] }[] = [];
  for (let cursor = 0; rows.length < options.rows * (options.steps + 1); ) {
    const batch = stream.batch(cursor);
    for (const { promptTokens, completionTokens } of batch.demonstrations) {
      rows.push({ prompt: [...promptTokens], completion: [...completionTokens] });
    }
    cursor = batch.cursor;
  }
  await engine.dispose();
  return rows;
}

async function partsOf({ model, rows, seed }: BenchOptions, engine: Policy) {
  const tokenizer = await loadTokenizer(model);
  const parts: Pick<TrainContext, "engine" | "tokenizer" | "task" | "seed"> = {
    engine,
    tokenizer,
    task: mixedRows(rows, seed),
    seed,
  };
  return parts;
}

function configOf(options: BenchOptions): SftConfig {
  const batchTokens = tokensOfStep(options);
  return sftConfigSchema.parse({ steps: options.steps + 1, batchTokens, learningRate: 1e-5, warmupSteps: 0 });
}

function tokensOfStep({ rows }: BenchOptions): number {
  return stepLengths(rows).reduce((sum, length) => sum + length, 0);
}
