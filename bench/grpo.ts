/**
 * One GRPO step as `aha run` takes it, on Countdown prompts, with every completion exactly `tokens` tokens long: the
 * work of the TRL peer (peers/trl_grpo.py), rewards included. The trainer is the product's own; a wrapper around the
 * engine tells what its verbs took.
 */

import type { Engine } from "../src/engine/engine.ts";
import { createLocalEngine } from "../src/engine/local/create.ts";
import { AhaError } from "../src/errors.ts";
import { ALL_LORA_TARGETS, type LoraConfig } from "../src/model/lora.ts";
import { QUANTIZATIONS, type Quantization } from "../src/model/quantization.ts";
import { Random } from "../src/random.ts";
import { createReward } from "../src/rewards/registry.ts";
import type { Reward } from "../src/rewards/reward.ts";
import type { Problem, Task } from "../src/tasks/task.ts";
import { loadTokenizer } from "../src/tokenizer/huggingface.ts";
import type { TrainContext } from "../src/train/context.ts";
import { trainGrpo } from "../src/train/grpo.ts";
import { grpoConfigSchema } from "../src/train/grpo-config.ts";
import type { BenchOptions } from "./main.ts";
import { median, peakMemoryMiB } from "./measure.ts";

type Verb = "sampling" | "reference" | "forward_backward" | "optimizer";
type Split = Record<Verb, number>;

export async function benchGrpo(options: BenchOptions): Promise<Record<string, unknown>> {
  const { prompts, group, tokens, beta, steps, threads, seed } = options;
  const split: Split = { sampling: 0, reference: 0, forward_backward: 0, optimizer: 0 };
  const engine = await createLocalEngine(options.model, {
    threads,
    microBatchTokens: options["micro-batch"],
    gradientCheckpointing: options.checkpointing,
    lora: options.lora > 0 ? adapterOf(options.lora) : undefined,
    quantization: quantizationOf(options.quantization),
  });
  const config = grpoConfigSchema.parse({
    iterations: steps + 1,
    rewards: [{ name: "format" }],
    promptsPerIteration: prompts,
    groupSize: group,
    maxCompletionTokens: tokens,
    klCoef: beta,
    learningRate: 5e-7,
    lossType: "grpo",
  });
  const times: { total: number; split: Split }[] = [];
  const context: TrainContext = {
    engine: timed(engine, split, tokens),
    tokenizer: await loadTokenizer(options.model),
    task: promptsOnly(seed),
    seed,
    signal: new AbortController().signal,
    log: {
      metrics: () => undefined,
      rollouts: () => undefined,
      event: () => undefined,
      timing: ({ step_time }) => {
        times.push({ total: step_time!, split: { ...split } });
        for (const verb of Object.keys(split) as Verb[]) split[verb] = 0;
      },
    },
  };
  await trainGrpo(context, config, [
    { reward: createReward("format", {}), weight: 1 },
    { reward: distinctCharacters, weight: 1 },
  ]);
  await engine.dispose();

  const counted = times.slice(1);
  const total = median(counted.map((time) => time.total));
  const medianOf = (verb: Verb) => median(counted.map((time) => time.split[verb]));
  const verbs = Object.keys(split) as Verb[];
  return {
    bench: "grpo",
    s_per_step: total,
    sampling_s: medianOf("sampling"),
    reference_s: medianOf("reference"),
    forward_backward_s: medianOf("forward_backward"),
    optimizer_s: medianOf("optimizer"),
    rewards_and_rest_s: median(
      counted.map((time) => time.total - verbs.reduce((sum, verb) => sum + time.split[verb], 0)),
    ),
    tokens_per_s: (prompts * group * tokens) / total,
    peak_memory_mib: peakMemoryMiB(),
  };
}

/** As `peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")`. */
function adapterOf(rank: number): LoraConfig {
  return { rank, alpha: 2 * rank, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
}

function quantizationOf(name: string): Quantization | undefined {
  if (name === "") return undefined;
  const found = QUANTIZATIONS.find((known) => known === name);
  if (!found) throw new AhaError(`--quantization takes ${QUANTIZATIONS.join(", ")}, not ${name}`);
  return found;
}

/** Keeps the advantages of a random model from being zero, as the peer's second reward does. */
const distinctCharacters: Reward = {
  name: "distinct_characters",
  judge: ({ completion }) => ({ score: new Set(completion).size / 100, reason: "distinct characters / 100" }),
};

/** The peer's prompts: three numbers from 1 to 99 and a target from 10 to 99, solvable or not. */
function promptsOnly(seed: number): Task {
  const problem = (id: number): Problem => {
    const random = new Random(seed, "bench/grpo", id * 4);
    const nums = Array.from({ length: 3 }, () => 1 + random.integer(99));
    const target = 10 + random.integer(90);
    const prompt = `Using the numbers [${nums.join(", ")}], create an equation that equals ${target}.\n<think>`;
    return { id, prompt, columns: { nums, target } };
  };
  return {
    name: "bench",
    trainCount: Number.POSITIVE_INFINITY,
    trainProblem: problem,
    heldOut: () => [],
    judge: () => ({ solved: false, wellFormed: false, tries: 0, statistics: {} }),
  };
}

/** The engine, its verbs timed into `split` (seconds), its completions all `length` tokens long. */
function timed(engine: Engine, split: Split, length: number): Engine {
  const clock = async <T>(verb: Verb, work: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    try {
      return await work();
    } finally {
      split[verb] += (performance.now() - start) / 1000;
    }
  };
  return {
    info: engine.info,
    sample: (prompts, params, onProgress) =>
      clock("sampling", () => engine.sample(prompts, { ...params, minCompletionTokens: length + 1 }, onProgress)),
    forward: (data, options) => clock("reference", () => engine.forward(data, options)),
    forwardBackward: (data, loss) => clock("forward_backward", () => engine.forwardBackward(data, loss)),
    optimStep: (params) => clock("optimizer", () => engine.optimStep(params)),
    resetOptimizer: () => engine.resetOptimizer(),
    freezeReference: () => engine.freezeReference(),
    saveState: (directory) => engine.saveState(directory),
    loadState: (directory) => engine.loadState(directory),
    saveWeights: (directory) => engine.saveWeights(directory),
    dispose: () => engine.dispose(),
  };
}
