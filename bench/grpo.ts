/**
 * One GRPO step as `aha run` takes it, on Countdown prompts, with every completion exactly `tokens` tokens long: the
 * work of the TRL peer (peers/trl_grpo.py), rewards included. The trainer is the product's own; a wrapper around the
 * engine and the rewards tells what each part took. Where Python has TRL, it takes the same steps afterwards.
 */

import type { Policy } from "../src/engine/contract/policy.ts";
import { Random } from "../src/random.ts";
import { createReward } from "../src/rewards/registry.ts";
import type { Reward } from "../src/rewards/reward.ts";
import type { Problem, Task } from "../src/tasks/task.ts";
import { loadTokenizer } from "../src/tokenizer/on-disk.ts";
import type { TrainContext } from "../src/train/context.ts";
import { trainGrpo } from "../src/train/grpo/grpo.ts";
import { grpoConfigSchema } from "../src/train/grpo/issues.ts";
import { hasPeers, measurePeer } from "./apart.ts";
import { openEngine } from "./engine.ts";
import { median, peakMemoryMiB } from "./measure.ts";
import type { BenchOptions, Figures } from "./options.ts";

/** The parts of a step; forward + backward and AdamW are training. */
type Part = "sampling" | "rewards" | "reference" | "forward_backward" | "optimizer";
type Split = Record<Part, number>;

interface Step {
  readonly seconds: number;
  readonly split: Split;
  /** Of all threads together. */
  readonly cpuSeconds: number;
}

export async function benchGrpo(options: BenchOptions): Promise<Figures> {
  const { prompts, group, tokens, beta, steps, threads, seed } = options;
  const clock = new PartClock();
  const openedAt = performance.now();
  const engine = await openEngine(options);
  const loadSeconds = (performance.now() - openedAt) / 1000;
  const loadedMiB = peakMemoryMiB();
  const config = grpoConfigSchema().parse({
    iterations: steps + 1,
    rewards: [{ name: "format" }],
    promptsPerIteration: prompts,
    groupSize: group,
    maxCompletionTokens: tokens,
    klCoef: beta,
    learningRate: 5e-7,
    lossType: "grpo",
  });
  const measured: Step[] = [];
  let cpu = process.cpuUsage();
  const context: TrainContext = {
    engine: timed(engine, clock, tokens),
    tokenizer: await loadTokenizer(options.model),
    task: promptsOnly(seed),
    seed,
    signal: new AbortController().signal,
    log: {
      metrics: () => undefined,
      rollouts: () => undefined,
      event: () => undefined,
      timing: ({ step_time }) => {
        const { user, system } = process.cpuUsage(cpu);
        cpu = process.cpuUsage();
        measured.push({ seconds: step_time!, split: clock.take(), cpuSeconds: (user + system) / 1e6 });
        if (!options.json) console.error(`step ${measured.length} of ${steps + 1}: ${step_time!.toFixed(2)} s`);
      },
    },
  };
  await trainGrpo(context, config, [
    { reward: timedReward(createReward("format"), clock), weight: 1 },
    { reward: timedReward(distinctCharacters, clock), weight: 1 },
  ]);
  await engine.dispose();

  const counted = steps > 0 ? measured.slice(1) : measured;
  const seconds = median(counted.map((step) => step.seconds));
  const medianOf = (of: (step: Step) => number) => median(counted.map(of));
  const training = medianOf(({ split }) => split.forward_backward + split.optimizer);
  const sampling = medianOf(({ split }) => split.sampling);
  const completionTokens = prompts * group * tokens;
  const ours = {
    bench: "grpo",
    s_per_step: seconds,
    sampling_s: sampling,
    rewards_s: medianOf(({ split }) => split.rewards),
    reference_s: medianOf(({ split }) => split.reference),
    training_s: training,
    idle_s: medianOf(({ seconds, split }) => seconds - Object.values(split).reduce((sum, part) => sum + part, 0)),
    threads_idle_share: medianOf(({ seconds, cpuSeconds }) => Math.max(0, 1 - cpuSeconds / (threads * seconds))),
    tokens_per_s: completionTokens / seconds,
    sampling_tokens_per_s: completionTokens / sampling,
    training_tokens_per_s: completionTokens / training,
    load_s: loadSeconds,
    loaded_peak_mib: loadedMiB,
    sampling_peak_mib: clock.peakOf("sampling"),
    peak_memory_mib: peakMemoryMiB(),
  };
  return { ...ours, ...(await besideTrl(options, ours)) };
}

/** TRL's figures on the same work, and the ratios; why there are none, where there are none. */
async function besideTrl(
  options: BenchOptions,
  ours: { readonly s_per_step: number; readonly peak_memory_mib: number },
): Promise<Figures> {
  if (options["no-trl"]) return {};
  if (options.quantization !== "") return { trl: "not compared: bitsandbytes' 4-bit weights want a GPU" };
  if (!(await hasPeers(options.python))) return { trl: `not compared: ${options.python} has no TRL (--python PYTHON)` };
  const trl = await measurePeer("trl_grpo.py", options, TRL_OPTIONS);
  return {
    trl_s_per_step: trl.s_per_step!,
    trl_peak_memory_mib: trl.peak_memory_mib!,
    times_as_fast_as_trl: trl.s_per_step! / ours.s_per_step,
    memory_of_trl: ours.peak_memory_mib / trl.peak_memory_mib!,
  };
}

/** What peers/trl_grpo.py takes. */
export const TRL_OPTIONS = ["prompts", "group", "tokens", "beta", "steps", "lora", "threads"] as const;

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

/** Seconds by part since they were last taken, and the peak of memory when a part was last done. */
class PartClock {
  #split = emptySplit();
  readonly #peaks = new Map<Part, number>();

  async time<T>(part: Part, work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    try {
      return await work();
    } finally {
      this.add(part, start);
      if (!this.#peaks.has(part)) this.#peaks.set(part, peakMemoryMiB());
    }
  }

  /** Counts the time since `start` to `part`. */
  add(part: Part, start: number): void {
    this.#split[part] += (performance.now() - start) / 1000;
  }

  take(): Split {
    const split = this.#split;
    this.#split = emptySplit();
    return split;
  }

  /** The process's peak, MiB, after the part was done for the first time. */
  peakOf(part: Part): number {
    return this.#peaks.get(part) ?? Number.NaN;
  }
}

function emptySplit(): Split {
  return { sampling: 0, rewards: 0, reference: 0, forward_backward: 0, optimizer: 0 };
}

function timedReward(reward: Reward, clock: PartClock): Reward {
  return {
    name: reward.name,
    judge: (input) => {
      const start = performance.now();
      const result = reward.judge(input);
      clock.add("rewards", start);
      return result;
    },
  };
}

/** The engine, its verbs timed, its completions all `length` tokens long. */
function timed(engine: Policy, clock: PartClock, length: number): Policy {
  return {
    info: engine.info,
    capabilities: engine.capabilities,
    sample: (prompts, params, onProgress) =>
      clock.time("sampling", () => engine.sample(prompts, { ...params, minCompletionTokens: length + 1 }, onProgress)),
    score: (data, options) => clock.time("reference", () => engine.score(data, options)),
    forwardBackward: (data, loss) => clock.time("forward_backward", () => engine.forwardBackward(data, loss)),
    optimStep: (params) => clock.time("optimizer", () => engine.optimStep(params)),
    step: async (data, loss, params) => {
      const result = await clock.time("forward_backward", () => engine.forwardBackward(data, loss));
      return { ...result, ...(await clock.time("optimizer", () => engine.optimStep(params))) };
    },
    resetOptimizer: () => engine.resetOptimizer(),
    freezeReference: () => engine.freezeReference(),
    saveState: (directory) => engine.saveState(directory),
    loadState: (directory) => engine.loadState(directory),
    saveWeights: (directory) => engine.saveWeights(directory),
    dispose: () => engine.dispose(),
  };
}
