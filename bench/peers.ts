/**
 * Aha beside its Python peers on one checkpoint: each program runs alone in a process of its own, in turn, `rounds`
 * times; the ratio is taken round by round, and its median printed, so a machine that slows down slows both.
 */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { AhaError } from "../src/errors.ts";
import type { BenchOptions } from "./main.ts";
import { median } from "./measure.ts";

const run = promisify(execFile);

type Figures = Readonly<Record<string, number>>;

/** What is compared: a peer's script and Aha's bench, and for each figure its name on either side. */
const COMPARISONS = [
  {
    name: "grpo",
    script: "trl_grpo.py",
    peer: "TRL",
    options: ["prompts", "group", "tokens", "beta", "steps"],
    figure: "s_per_step",
    smallerIsBetter: true,
  },
  {
    name: "sample",
    script: "hf_generate.py",
    peer: "transformers",
    options: ["batch", "prompt", "tokens"],
    figure: "tokens_per_s",
    smallerIsBetter: false,
  },
  {
    name: "train",
    script: "torch_step.py",
    peer: "PyTorch",
    options: ["batch", "length"],
    figure: "forward_backward_tokens_per_s",
    smallerIsBetter: false,
  },
] as const;

export async function benchPeers(options: BenchOptions): Promise<Record<string, unknown>> {
  await requirePeers(options.python);
  const results: Record<string, unknown> = {};
  for (const { name, script, peer, options: names, figure, smallerIsBetter } of COMPARISONS) {
    const flags = [...names, "threads" as const].flatMap((option) => [`--${option}`, String(options[option])]);
    const ours: Figures[] = [];
    const theirs: Figures[] = [];
    for (let round = 0; round < options.rounds; round++) {
      const bench = fileURLToPath(new URL("./main.ts", import.meta.url));
      ours.push(
        await figuresOf(process.execPath, [
          "--import",
          "tsx",
          bench,
          name,
          "--model",
          options.model,
          ...flags,
          "--json",
        ]),
      );
      const path = fileURLToPath(new URL(`./peers/${script}`, import.meta.url));
      theirs.push(await figuresOf(options.python, [path, options.model, ...flags]));
    }
    const ratio = (of: string, inverse: boolean) =>
      median(ours.map((own, i) => (inverse ? theirs[i]![of]! / own[of]! : own[of]! / theirs[i]![of]!)));
    const middle = (list: readonly Figures[], of: string) => median(list.map((figures) => figures[of]!));
    results[`${name}: Aha ${figure}`] = middle(ours, figure);
    results[`${name}: ${peer} ${figure}`] = middle(theirs, figure);
    results[`${name}: times as fast`] = ratio(figure, smallerIsBetter);
    results[`${name}: Aha peak_memory_mib`] = middle(ours, "peak_memory_mib");
    results[`${name}: ${peer} peak_memory_mib`] = middle(theirs, "peak_memory_mib");
  }
  return results;
}

async function figuresOf(program: string, args: readonly string[]): Promise<Figures> {
  const { stdout } = await run(program, args, { maxBuffer: 1 << 26 });
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Figures;
}

async function requirePeers(python: string): Promise<void> {
  try {
    await run(python, ["-c", "import torch, transformers, trl, datasets, accelerate"]);
  } catch {
    throw new AhaError(
      `the peers need a Python with torch, transformers, trl, datasets and accelerate; ${python} has not all of them. ` +
        "Make one (python3 -m venv peers && peers/bin/pip install torch transformers trl datasets accelerate) and give it by --python",
    );
  }
}
