/** Run directories as a run leaves them, without the run. */

import { join } from "node:path";
import type { EvaluationRecord, RolloutRecord } from "../../src/run/records.ts";
import { RunDirectory } from "../../src/run/run-directory.ts";
import type { TrackedRun, Tracker } from "../../src/tracking/tracker.ts";

export const RECIPE = {
  name: "tracked",
  seed: 1,
  question: "Is it shown?",
  task: { name: "countdown", counts: [3, 4] },
  stages: [{ name: "rl", trainer: "grpo", learningRate: 0.001, rewards: [{ name: "format" }] }],
};

/** Hostile text: it has to stay text wherever it is shown. */
export const HOSTILE = "<script>alert(1)</script>\n```\n\u202e\u0000\u001b[31m\n# title\n";

/** The numbers of a step. */
export const metricsOf = (step: number) => ({ step, loss: 1 / step, reward: step / 10, iteration: step });

export function rolloutsOf(iteration: number): Omit<RolloutRecord, "stage">[] {
  return [0, 1].map((sample) => ({
    ...{ iteration, promptId: sample, prompt: `prompt ${sample}`, completion: `${HOSTILE}${iteration}` },
    rewards: { format: { score: sample, reason: "" } },
    ...{
      reward: sample,
      advantage: sample - 0.5,
      finishReason: "stop" as const,
      lengthTokens: 4,
      solved: sample === 1,
    },
  }));
}

export const evaluationOf = (step: number): Omit<EvaluationRecord, "stage"> => ({
  ...{ step, moment: "during", decoding: "sampled", statistics: { solveRate: 0.5 }, intervals: {} },
  metrics: { eval_solve_rate: 0.25 * (step % 4) },
  completions: [
    ...[0].map((problemId) => ({
      ...{ problemId, sample: 0, prompt: "p", completion: HOSTILE, finishReason: "stop" as const, lengthTokens: 3 },
      ...{ solved: false, wellFormed: true },
    })),
  ],
});

export const alarmOf = (step: number) => ({
  ...{ stage: "rl", step, alarm: "entropy-collapse" as const, state: "raised" as const, value: 0.1, threshold: 0.2 },
  message: `Entropy falls. ${HOSTILE}`,
});

/** A run directory with rows of these steps, in the parent folder, open. */
export async function openRun(root: string, name: string, recipe: object = RECIPE): Promise<RunDirectory> {
  return RunDirectory.create(join(root, name), recipe);
}

/** Writes a step's rows, and tells them to the tracker where there is one, as a run does. */
export function addStep(run: RunDirectory, step: number, tracker?: Tracker): void {
  const writer = run.stage("rl");
  if (step === 1) writer.event("stage-started", { stepsDone: 0 });
  const rollouts = rolloutsOf(step);
  writer.rollouts(rollouts);
  tracker?.rollouts?.(rollouts.map((row) => ({ stage: "rl", ...row })));
  const { step: _, ...values } = metricsOf(step);
  writer.metrics(metricsOf(step));
  tracker?.metrics?.({ stage: "rl", step, values });
  writer.timing({ step, step_time: 0.5 });
  tracker?.timing?.({ stage: "rl", step, values: { step_time: 0.5 } });
  if (step % 2 === 0) {
    writer.evaluation(evaluationOf(step));
    tracker?.evaluation?.({ stage: "rl", ...evaluationOf(step) });
  }
  if (step === 3) {
    run.event("alarm", alarmOf(step));
    tracker?.alarm?.(alarmOf(step));
  }
}

/** What a tracker is told of that run. */
export function trackedRun(run: RunDirectory | string, more: Partial<TrackedRun> = {}): TrackedRun {
  return {
    name: RECIPE.name,
    directory: typeof run === "string" ? run : run.path,
    recipe: RECIPE,
    stages: ["rl"],
    resumed: undefined,
    warn: () => {},
    ...more,
  };
}

/** The summary of a run, as far as trackers look at it. */
export const SUMMARY = {
  ...{ recipe: "tracked", question: "", seed: 1, recipeHash: "0", seconds: 3, model: { vocabSize: 4 } },
  ...{ start: state("start"), before: state("before"), after: state("after"), stages: [] },
};

function state(moment: string) {
  return { afterStage: null, moment, intervals: {}, solveRate: 0.5 };
}

/** The tags and steps that the tests' runs have after so many steps. */
export function expectedScalars(steps: number): Record<string, [number, number][]> {
  const all = Array.from({ length: steps }, (_, index) => index + 1);
  const even = all.filter((step) => step % 2 === 0);
  return {
    "train/loss": all.map((step) => [step, 1 / step]),
    "train/reward": all.map((step) => [step, step / 10]),
    "train/iteration": all.map((step) => [step, step]),
    "time/step_time": all.map((step) => [step, 0.5]),
    ...(even.length > 0 && { "eval/solve_rate": even.map((step) => [step, 0.25 * (step % 4)]) }),
    ...(steps >= 3 && { "alarms/entropy-collapse": [[3, 1]] }),
  };
}
