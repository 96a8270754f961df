/** A complete run with made-up numbers, written through the real run directory: for tests of whatever reads a run. */

import { Random } from "../../src/random.ts";
import type { EvaluationRecord } from "../../src/run/records.ts";
import { RunDirectory } from "../../src/run/run-directory.ts";
import type { EvaluatedState } from "../../src/run/summary.ts";

export const MADE_UP_RECIPE = {
  name: "made-up",
  question: "Does it learn, & is <markup> in a question harmless?",
  seed: 1,
  stages: [
    { name: "cold-start", trainer: "sft" },
    { name: "r1-zero", trainer: "grpo" },
  ],
};

const PROBLEMS = 40;

/** Writes the run into `path`; its numbers are a function of nothing. */
export async function writeMadeUpRun(path: string): Promise<void> {
  const random = new Random(7, "made-up");
  const run = await RunDirectory.create(path, MADE_UP_RECIPE);
  const start = evaluation(random, "cold-start", 0, "before", 0);
  const before = evaluation(random, "cold-start", 200, "after", 0.26);
  const middle = evaluation(random, "r1-zero", 50, "during", 0.45);
  const after = evaluation(random, "r1-zero", 100, "after", 0.62);

  const sft = run.stage("cold-start");
  sft.evaluation(start);
  sft.evaluation({ ...start, decoding: "greedy" });
  for (let step = 1; step <= 200; step++) {
    sft.metrics({
      step,
      loss: 0.5 + 2 * Math.exp(-step / 30) + 0.05 * random.normal(),
      grad_norm: 1,
      learning_rate: 0.004,
    });
    sft.timing({ step, step_time: 0.05 });
  }
  sft.evaluation(before);
  sft.evaluation({ ...before, decoding: "greedy" });

  const grpo = run.stage("r1-zero");
  for (let step = 1; step <= 100; step++) {
    const rate = 0.26 + 0.36 * (1 - Math.exp(-step / 40)) + 0.05 * random.normal();
    grpo.metrics({
      step,
      iteration: step - 1,
      loss: 0,
      reward: 1 + rate,
      solve_rate: rate,
      format_rate: 0.97,
      "tries/mean": 3.3 + step / 25,
      "completions/mean_length": 58 + step / 2,
      "completions/mean_terminated_length": 56 + step / 2,
      "completions/clipped_ratio": 0.02,
      frac_reward_zero_std: 0.1,
      entropy: 0.6 - step / 400,
      grad_norm: 0.3,
      learning_rate: 2e-4 * (1 - step / 100),
    });
    grpo.timing({ step, step_time: 1.5 });
    if (step === 50) grpo.evaluation(middle);
  }
  grpo.evaluation(after);
  grpo.evaluation({ ...after, decoding: "greedy" });
  await run.finish({
    recipe: MADE_UP_RECIPE.name,
    question: MADE_UP_RECIPE.question,
    seed: 1,
    recipeHash: "00",
    seconds: 271,
    model: { parameters: 263_000, vocabSize: 121 },
    start: state(start, null, "random weights, before cold-start"),
    before: state(before, "cold-start", "after cold-start, before r1-zero"),
    after: state(after, "r1-zero", "after r1-zero"),
    stages: [
      {
        name: "cold-start",
        trainer: "sft",
        steps: 200,
        numTokens: 4e6,
        seconds: 10,
        from: "initial",
        made: "cold-start-000200",
      },
      {
        name: "r1-zero",
        trainer: "grpo",
        steps: 100,
        numTokens: 2e6,
        seconds: 150,
        from: "cold-start-000200",
        made: "r1-zero-000100",
      },
    ],
  });
  run.close();
}

function state(record: Omit<EvaluationRecord, "stage">, afterStage: string | null, moment: string): EvaluatedState {
  return { ...record.statistics, afterStage, moment, intervals: record.intervals, greedy: record.statistics };
}

function evaluation(
  random: Random,
  stage: string,
  step: number,
  moment: EvaluationRecord["moment"],
  solveRate: number,
): Omit<EvaluationRecord, "stage"> {
  const completions = Array.from({ length: PROBLEMS }, (_, problemId) => {
    const solved = random.uniform() < solveRate;
    const tries = stage === "cold-start" ? 1 + random.integer(3) : 3 + random.integer(8);
    const lines = Array.from({ length: tries }, (_, i) => {
      const last = i === tries - 1;
      return `(6*3)+${i}=18+${i}=${18 + i}${last && solved ? " yes" : " too low\n"}`;
    });
    const trace = `${lines.join("")}</think>\n<answer>(6*3)+${tries}</answer>`;
    return {
      problemId,
      sample: 0,
      prompt: `Using the numbers [6, 3, ${1 + problemId}], create an equation that equals 54.\n<think>`,
      completion: step === 0 ? "+7</think>\n<script>alert(1)</script> 3=3" : trace,
      finishReason: solved ? ("stop" as const) : ("length" as const),
      lengthTokens: 14 * tries + 9,
      solved,
      wellFormed: step > 0,
      tries,
    };
  });
  const mean = (pick: (one: (typeof completions)[number]) => number) =>
    completions.reduce((sum, one) => sum + pick(one), 0) / PROBLEMS;
  const solved = mean((one) => Number(one.solved));
  return {
    step,
    moment,
    decoding: "sampled",
    statistics: {
      solveRate: solved,
      formatRate: mean((one) => Number(one.wellFormed)),
      tries: mean((one) => one.tries),
      solvedPerTry: solved / mean((one) => one.tries),
      meanLength: mean((one) => one.lengthTokens),
      truncatedRate: 1 - solved,
      reflectionWords: 0,
      falseYes: 0.05,
    },
    intervals: {
      solveRate: [Math.max(0, solved - 0.05), solved + 0.05],
      formatRate: step > 0 ? [0.9, 1] : [0, 0.09],
    },
    completions,
  };
}
