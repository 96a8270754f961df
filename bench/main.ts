/**
 * `npm run bench -- grpo|sample|train|memory|peers …`: speed and memory, measured on the real code paths.
 *
 * A figure is a median over repetitions after one that is not counted. Never measure while anything else runs, and
 * compare two programs in one run only: `peers` runs Aha and the Python peers in turn on one checkpoint.
 */

import { parseArgs } from "node:util";
import { AhaError } from "../src/errors.ts";
import { benchGrpo } from "./grpo.ts";
import { benchMemory, benchMemoryPoint } from "./memory.ts";
import { benchPeers } from "./peers.ts";
import { benchSample } from "./sample.ts";
import { benchTrain } from "./train.ts";

const HELP = `npm run bench -- NAME --model DIR [options] [--json]

  grpo    one GRPO step: sampling, rewards, reference, forward + backward, AdamW
          --prompts 8 --group 8 --tokens 128 --beta 0.001 --steps 4
          --lora RANK trains an adapter on all projections; --quantization nf4 holds the base in 4 bits;
          --micro-batch TOKENS (2048); --checkpointing: layers are computed again in the backward pass
  sample  sampling alone                       --batch 64 --prompt 32 --tokens 128 --repeat 3
  train   forward, and forward + backward      --batch 64 --length 192 --repeat 3
  memory  peak memory of training over 1, 2 and 4 batches, then over chunks of logits and with whole logits
          --batch 4 --prompt 32 --tokens 128 --chunk 220 --repeat 1; memory-point measures a single point
  peers   grpo, sample and train beside TRL, transformers and PyTorch, in turn, and the ratios
          --python PYTHON (with torch, transformers, trl, datasets, accelerate) [--rounds 3]

Every name takes --threads N (2) and --seed N. A model: npm run aha -- model init --help.
`;

const { values, positionals } = readArguments();

/** The command line; what it does not know ends the program with a line, not with a stack. */
function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        model: { type: "string" },
        prompts: { type: "string", default: "8" },
        group: { type: "string", default: "8" },
        tokens: { type: "string", default: "128" },
        beta: { type: "string", default: "0.001" },
        steps: { type: "string", default: "4" },
        batch: { type: "string", default: "64" },
        chunk: { type: "string", default: "220" },
        prompt: { type: "string", default: "32" },
        length: { type: "string", default: "192" },
        repeat: { type: "string", default: "3" },
        rounds: { type: "string", default: "3" },
        threads: { type: "string", default: "2" },
        seed: { type: "string", default: "0" },
        lora: { type: "string", default: "0" },
        "micro-batch": { type: "string", default: "2048" },
        quantization: { type: "string", default: "" },
        checkpointing: { type: "boolean", default: false },
        python: { type: "string", default: "python3" },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(`bench: ${error.message.split("\n")[0]}`);
    process.exit(1);
  }
}

export type BenchOptions = Readonly<Record<"model" | "python" | "quantization", string>> & {
  readonly checkpointing: boolean;
} & Readonly<
    Record<
      | "prompts"
      | "group"
      | "tokens"
      | "beta"
      | "steps"
      | "batch"
      | "chunk"
      | "prompt"
      | "length"
      | "repeat"
      | "rounds"
      | "threads"
      | "seed"
      | "lora"
      | "micro-batch",
      number
    >
  >;

const BENCHES = {
  grpo: benchGrpo,
  sample: benchSample,
  train: benchTrain,
  memory: benchMemory,
  "memory-point": benchMemoryPoint,
  peers: benchPeers,
};

function readOptions(): BenchOptions {
  if (!values.model) throw new AhaError("--model DIR is missing: a checkpoint in the Hugging Face layout");
  const { model, python, quantization, checkpointing, json: _, help: __, ...texts } = values;
  const numbers = Object.entries(texts).map(([name, text]) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < 0)
      throw new AhaError(`--${name} takes a number, not ${text}`);
    return [name, value];
  });
  return { model, python, quantization, checkpointing, ...Object.fromEntries(numbers) };
}

try {
  const [name = ""] = positionals;
  if (values.help || name === "") console.log(HELP);
  else {
    const bench = BENCHES[name as keyof typeof BENCHES];
    if (!bench) throw new AhaError(`there is no bench ${name}: ${Object.keys(BENCHES).join(", ")}`);
    const figures = await bench(readOptions());
    console.log(
      values.json
        ? JSON.stringify(figures)
        : Object.entries(figures)
            .map(([k, v]) => `${k.padEnd(34)} ${show(v)}`)
            .join("\n"),
    );
  }
} catch (error) {
  if (!(error instanceof AhaError)) throw error;
  console.error(`bench: ${error.message}`);
  process.exitCode = 1;
}

function show(value: unknown): string {
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : JSON.stringify(value);
}
