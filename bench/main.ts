/**
 * `npm run bench -- grpo|sft|sample|train|memory|chunks|scaling|soak|step|launches|peers …`: speed and memory, measured on the real code paths.
 *
 * A figure is a median over repetitions after one that is not counted. Never measure speed while anything else runs, and
 * compare two programs in one run only: `peers` runs Aha and the Python peers in turn on one checkpoint.
 */

import { AhaError } from "../src/errors.ts";
import { benchGrpo } from "./grpo.ts";
import { benchLaunches } from "./launches.ts";
import { benchChunks, benchMemory, benchMemoryPoint } from "./memory.ts";
import { type BenchOptions, type Figures, readOptions } from "./options.ts";
import { benchPeers } from "./peers.ts";
import { benchSample } from "./sample.ts";
import { benchScaling } from "./scaling.ts";
import { benchSft } from "./sft.ts";
import { benchSoak } from "./soak.ts";
import { benchStep } from "./step.ts";
import { benchTrain } from "./train.ts";

const HELP = `npm run bench -- NAME --model DIR [options] [--json]

  grpo     GRPO steps: seconds in sampling, rewards, reference, training (forward + backward, AdamW) and idle (everything
           else), tokens per second, peak memory; beside it TRL's on the same work, where --python has TRL
           --prompts 8 --group 8 --tokens 128 --beta 0.001 --steps 4 (0: the first step alone, for its memory)
  sft      SFT steps on rows of mixed lengths, loss on completions: tokens of rows (padding not counted) per second
           --rows 32 a step  --steps 4
  sample   sampling alone, so many completions of each prompt   --batch 64 --samples 1 --prompt 32 --tokens 128 --repeat 3
  train    forward, and forward + backward      --batch 64 --length 192 --repeat 3
  memory   peak memory of forward + backward over 1, 2 and 4 batches, then over chunks of logits and with whole logits
           --batch 4 --prompt 32 --tokens 128 --chunk 220 --repeat 1; memory-point measures a single point
  chunks   peak memory of the GRPO step over chunks of logits; the options of grpo, --chunk 220 is the middle one
  scaling  the GRPO step over 1, 2, 4 times --group and --tokens and over half, all and twice of the model's layers
  soak     aha serve under many clients, hostile ones among them: errors (0), and the gaps in an honest client's stream
           beside the time of a decoding step alone    --clients 64 --seconds 120; a model with a chat template
  step     sampling and one update on it, as a recipe's GRPO step; no rewards, so that --random models do, too
           --prompts 8 --group 8 --prompt 32 --tokens 128 --repeat 3 (0: the first step alone)
  launches what a GPU is asked for in a step: kernels, bytes, transfers; counted on the CPU, without --model
  peers    grpo, sft, sample and train beside TRL (of sft with its padding, and packed), transformers and PyTorch, in turn,
           and the ratios: --rounds 3; "peers grpo sample" compares these two only. With --lora both sides train an adapter

For every name:
  --lora RANK               trains an adapter on all projections, the model's weights frozen (0: trains the model)
  --quantization nf4        holds the model in 4 bits; to train, with --lora
  --gradient-checkpointing  layers are computed again in the backward pass
  --chunk TOKENS            completion tokens whose logits are in memory at once (as many as fit into 128 MiB, with nf4 into 64)
  --micro-batch TOKENS      token positions computed at once (2048)
  --device cpu              what it is computed on: cpu, webgpu, cuda
  --dtype float32           what the layers compute in: float32, bfloat16, float16
  --random CONFIG.json      a model of this shape with random weights in the place of --model (sample, train, step)
  --threads 2  --seed 0     --no-trl: no comparison in grpo
  --python PYTHON           with torch, transformers, trl, datasets, accelerate, peft (python3)

A model: any in the Hugging Face layout, or a random one. The 0.5B step of the README:
  npm run aha -- model init --config bench/qwen2.5-0.5b.json --tokenizer characters --dtype bfloat16 --out models/m05
  npm run bench -- grpo --model models/m05 --lora 16 --quantization nf4 --gradient-checkpointing \\
    --prompts 2 --group 4 --tokens 64 --steps 1 --no-trl

A real one beside its peers, with an adapter:
  npm run --silent aha -- model pull HuggingFaceTB/SmolLM2-135M-Instruct   (prints its folder, DIR below)
  npm run bench -- peers grpo sample --model DIR --lora 16 --python peers/bin/python \\
    --prompts 4 --group 8 --batch 32 --prompt 50 --tokens 64 --steps 2 --repeat 2
`;

type Bench = (options: BenchOptions, names: readonly string[]) => Promise<Figures | Figures[]>;

const BENCHES: Readonly<Record<string, Bench>> = {
  grpo: benchGrpo,
  sft: benchSft,
  sample: benchSample,
  train: benchTrain,
  memory: benchMemory,
  "memory-point": benchMemoryPoint,
  chunks: benchChunks,
  scaling: benchScaling,
  soak: benchSoak,
  step: benchStep,
  launches: benchLaunches,
  peers: benchPeers,
};

/** What brings its own models. */
const WITHOUT_MODEL: ReadonlySet<string> = new Set(["launches"]);

try {
  const { names, options } = readOptions(process.argv.slice(2));
  const [name = "", ...more] = names;
  if (options.help || name === "") console.log(HELP);
  else {
    const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
    if (!bench) throw new AhaError(`there is no bench ${name}: ${Object.keys(BENCHES).join(", ")}`);
    if (options.model === "" && options.random === "" && !WITHOUT_MODEL.has(name))
      throw new AhaError("--model DIR is missing: a checkpoint in the Hugging Face layout");
    if (more.length > 0 && name !== "peers")
      throw new AhaError(`${name} takes no further names, not ${more.join(" ")}`);
    const figures = await bench(options, more);
    console.log(options.json ? JSON.stringify(figures) : Array.isArray(figures) ? table(figures) : list(figures));
  }
} catch (error) {
  if (!(error instanceof AhaError)) throw error;
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
}

function list(figures: Figures): string {
  return Object.entries(figures)
    .map(([name, value]) => `${name.padEnd(28)} ${show(value)}`)
    .join("\n");
}

/** A Markdown table; all rows have the figures of the first. */
function table(rows: readonly Figures[]): string {
  const names = Object.keys(rows[0] ?? {});
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    line(names),
    line(names.map(() => "---")),
    ...rows.map((row) => line(names.map((name) => show(row[name]!)))),
  ].join("\n");
}

function show(value: number | string): string {
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : value;
}
