/**
 * Run directories of any size, written as fast as the disk takes them: what a run would have logged, with made-up numbers
 * that are the same every time. `npx tsx test/dashboard/written-run.ts DIR STEPS ROLLOUTS` writes one by hand.
 */

import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Random } from "../../src/random.ts";
import { recipeToYaml } from "../../src/run/recipe-file.ts";
import type { RolloutRecord } from "../../src/run/records.ts";

export interface WrittenRun {
  readonly steps: number;
  readonly rollouts: number;
  readonly seed?: number;
  readonly name?: string;
  /** Made to look finished. */
  readonly isFinished?: boolean;
  /** Put into the recipe's last stage. */
  readonly stage?: Readonly<Record<string, unknown>>;
  /** Completions in place of made-up ones, in turn. */
  readonly completions?: readonly string[];
  readonly withTokens?: boolean;
}

export const STAGE = "r1-zero";
const GROUP = 8;
const PROBLEMS = 20;

/** The recipe of such a run. */
export function writtenRecipe({ steps, name = "written", seed = 1, stage = {} }: WrittenRun): object {
  return {
    name,
    question: "Does <b>markup</b> in a question stay text?",
    seed,
    model: { path: "/nowhere" },
    task: { name: "countdown", counts: [3] },
    stages: [{ name: STAGE, trainer: "grpo", iterations: steps, learningRate: 0.001, ...stage }],
  };
}

/** A row of metrics.jsonl. */
export function metricsLine(step: number, random: Random): string {
  const rate = 0.26 + 0.4 * (1 - Math.exp(-step / 400)) + 0.04 * random.normal();
  return `${JSON.stringify({
    ...{ stage: STAGE, step, iteration: step - 1, num_tokens: step * 4096, skipped_steps: 0 },
    ...{ loss: 0.001 * random.normal(), grad_norm: 0.3 + 0.1 * Math.abs(random.normal()), learning_rate: 0.001 },
    ...{ entropy: 0.6 * Math.exp(-step / 5000) + 0.01 * random.normal(), kl: 0.0001 * step },
    ...{ "clip_ratio/low_mean": 0.01, "clip_ratio/high_mean": 0.02, "completions/mean_length": 60 + 0.01 * step },
    ...{ "completions/clipped_ratio": 0.02, "completions/mean_terminated_length": 58 + 0.01 * step },
    ...{ "rewards/format/mean": 0.97, "rewards/equation/mean": rate, reward: 1 + rate, reward_std: 0.4 },
    ...{ frac_reward_zero_std: 0.1, solve_rate: rate, format_rate: 0.97, "tries/mean": 3.3 + step / 5000 },
  })}\n`;
}

/** A row of timings.jsonl. */
export function timingLine(step: number): string {
  const parts = { sampling_time: 0.9, rewards_time: 0.02, reference_time: 0.08, update_time: 0.5 };
  return `${JSON.stringify({ stage: STAGE, step, step_time: 1.5, ...parts, resident_mib: 800 + (step % 7) })}\n`;
}

/** A row of rollouts.jsonl. */
export function rolloutRow(
  index: number,
  random: Random,
  run: Pick<WrittenRun, "completions" | "withTokens">,
): RolloutRecord {
  const group = Math.floor(index / GROUP);
  const problem = group % 500;
  const solved = random.uniform() < 0.4;
  const tries = Array.from(
    { length: 1 + (index % 6) },
    (_, i) => `${i + 3}*(${problem}-${i})=${i * 7 + problem} too ${i % 2 ? "high" : "low"}`,
  );
  const made = `${tries.join("\n")}\n</think>\n<answer>(${problem}+${index % 9})*${index % 5}</answer>`;
  const completion = run.completions ? run.completions[index % run.completions.length]! : made;
  const tokens = run.withTokens ? Array.from({ length: 12 }, (_, i) => (index + i) % 100) : undefined;
  return {
    ...{ stage: STAGE, iteration: Math.floor(group / 4), promptId: group, sample: index % GROUP },
    prompt: `Using the numbers [${problem}, 3, 7], create an equation that equals ${problem + 10}.\n<think>`,
    completion,
    rewards: {
      format: { score: 1, reason: "has the form" },
      equation: { score: Number(solved), reason: solved ? "the answer is right" : "the answer is not right" },
    },
    ...{
      reward: 1 + Number(solved),
      advantage: random.normal(),
      solved,
      finishReason: index % 11 === 0 ? "length" : "stop",
    },
    ...{ promptTokens: 12, lengthTokens: 20 + (index % 300), samplerLogprob: -12.5 },
    ...(tokens && { tokens, samplerLogprobs: tokens.map((_, i) => -0.3 * i) }),
  };
}

/** A row of evaluations.jsonl: `share` of the problems are solved. */
export function evaluationLine(step: number, moment: "before" | "during" | "after", share: number): string {
  const completions = Array.from({ length: PROBLEMS }, (_, problemId) => ({
    ...{ problemId, sample: 0, prompt: `Held-out problem ${problemId}: make ${problemId + 40}.\n<think>` },
    completion: `1+${problemId}=${problemId + 1} too low\n</think>\n<answer>${problemId}+40</answer>`,
    ...{
      finishReason: "stop",
      lengthTokens: 20 + problemId,
      solved: problemId < Math.round(share * PROBLEMS),
      wellFormed: true,
      tries: 1,
    },
  }));
  return `${JSON.stringify({
    ...{ stage: STAGE, step, moment, decoding: "sampled", sampling: { temperature: 1, topP: 1, topK: 0, samples: 1 } },
    statistics: { solveRate: share, formatRate: 1, meanLength: 29.5, tries: 1 },
    intervals: { solveRate: [Math.max(0, share - 0.2), Math.min(1, share + 0.2)], meanLength: [25, 34] },
    completions,
  })}\n`;
}

/** A line of events.jsonl. */
export function eventLine(at: number, event: string, details: object = {}): string {
  return `${JSON.stringify({ at: new Date(Date.UTC(2026, 0, 1) + at * 1000).toISOString(), event, ...details })}\n`;
}

/** The alarm that an entropy which falls raises, as the diary has it. */
export function alarmLine(step: number, state: "raised" | "cleared"): string {
  const message = "The entropy fell to 9 % of what the stage began with. Lower learningRate.";
  return eventLine(step, "alarm", {
    stage: STAGE,
    step,
    alarm: "entropy-collapse",
    state,
    value: 0.09,
    threshold: 0.1,
    message,
  });
}

/** Writes a run into `directory`. */
export function writeRun(directory: string, run: WrittenRun): void {
  const random = new Random(run.seed ?? 1, "written-run");
  mkdirSync(join(directory, "checkpoints"), { recursive: true });
  writeFileSync(join(directory, "recipe.yaml"), recipeToYaml(writtenRecipe(run)));
  const steps = Array.from({ length: run.steps }, (_, i) => i + 1);
  writeFileSync(join(directory, "metrics.jsonl"), steps.map((step) => metricsLine(step, random)).join(""));
  writeFileSync(join(directory, "timings.jsonl"), steps.map(timingLine).join(""));
  const path = join(directory, "rollouts.jsonl");
  writeFileSync(path, "");
  for (let begin = 0; begin < run.rollouts; begin += 5000) {
    const rows = Array.from({ length: Math.min(5000, run.rollouts - begin) }, (_, i) =>
      rolloutRow(begin + i, random, run),
    );
    appendFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }
  const end = run.steps;
  const share = 0.3 + 0.1 * (run.seed ?? 1);
  writeFileSync(
    join(directory, "evaluations.jsonl"),
    evaluationLine(0, "before", 0.2) + (end > 0 ? evaluationLine(end, run.isFinished ? "after" : "during", share) : ""),
  );
  const events = [
    eventLine(0, "started", { recipeHash: "0" }),
    eventLine(1, "stage-started", { stage: STAGE, stepsDone: 0 }),
    ...(end >= 100 ? [alarmLine(Math.floor(end / 2), "raised"), alarmLine(Math.floor(end * 0.7), "cleared")] : []),
    ...(run.isFinished ? [eventLine(end * 2, "finished", { seconds: end * 1.5 })] : []),
  ];
  writeFileSync(join(directory, "events.jsonl"), events.join(""));
  // What tells a finished run is that the file is there.
  if (run.isFinished) writeFileSync(join(directory, "summary.json"), "{}\n");
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [directory, steps = "20000", rollouts = "100000"] = process.argv.slice(2);
  if (directory === undefined) throw new Error("Which directory?");
  writeRun(directory, { steps: Number(steps), rollouts: Number(rollouts), isFinished: true });
}
