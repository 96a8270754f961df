/**
 * The effect of each stage, measured: every model that a stage makes answers the same held-out problems with the same
 * random numbers, and the tasks judge the answers. A result is a function of the model's bytes and the suite's
 * configuration, so what was measured once is read again.
 */

import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Computing } from "../compute/computing.ts";
import { taskFor, withModel } from "../data-steps/step-context.ts";
import type { EngineSpec } from "../engine/engine-kind.ts";
import { computeFor, engineIdentity } from "../engine/open.ts";
import { RunDirError, RunInterrupted } from "../errors.ts";
import { type EvaluatedSoFar, evaluate } from "../eval/evaluate.ts";
import { wilsonInterval } from "../eval/interval.ts";
import { writeWhole } from "../files.ts";
import { parseJson } from "../json-text.ts";
import { judgeAll } from "../rewards/judge.ts";
import { createRewards } from "../rewards/on-node.ts";
import { PIPELINE_FILES, type SuiteResult, suiteResultSchema } from "../run/pipeline-records.ts";
import { recipeHash } from "../run/recipe-file.ts";
import { mean } from "../statistics.ts";
import { scorerOpener } from "../train/reward-scorer.ts";
import { withStageRewards } from "../train/reward-session.ts";
import type { SuiteConfig } from "./schema.ts";

/** What is measured, and where. */
export interface Measurement {
  /** The pipeline's run directory. */
  readonly directory: string;
  readonly stage: string;
  readonly model: { readonly path: string; readonly hash: string };
  readonly compute: Computing;
  /** How it is opened. */
  readonly engine: EngineSpec;
  readonly signal: AbortSignal;
  readonly onProgress: (suite: string, progress: EvaluatedSoFar) => void;
}

/** The measurement that is there, of this model by this suite; undefined where there is none. */
export function measuredBefore(
  { directory, stage, model, engine }: Pick<Measurement, "directory" | "stage" | "model" | "engine">,
  suite: SuiteConfig,
): SuiteResult | undefined {
  const path = resultPath(directory, stage, suite);
  if (!existsSync(path)) return undefined;
  const parsed = suiteResultSchema.safeParse(parseJson(readFileSync(path, "utf8"), path, RunDirError));
  return parsed.success && parsed.data.hash === resultHash(model.hash, suite, engine) ? parsed.data : undefined;
}

/**
 * Measures the stage's model by each suite that it was not measured by yet; the results by the suites' names.
 *
 * @throws ConfigError for a suite that does not fit the model; RunInterrupted
 */
export async function measureStage(
  measurement: Measurement,
  suites: readonly SuiteConfig[],
): Promise<Readonly<Record<string, SuiteResult>>> {
  const results: Record<string, SuiteResult> = {};
  const missing = suites.filter((suite) => {
    const before = measuredBefore(measurement, suite);
    if (before) results[suite.name] = before;
    return before === undefined;
  });
  if (missing.length > 0) {
    await withModel(measurement.model.path, measurement, async (model) => {
      for (const suite of missing) results[suite.name] = await measure(measurement, suite, model);
    });
  }
  return Object.fromEntries(suites.map(({ name }) => [name, results[name]!]));
}

async function measure(
  { directory, stage, model, compute, engine: spec, signal, onProgress }: Measurement,
  suite: SuiteConfig,
  { engine, tokenizer }: Parameters<Parameters<typeof withModel>[2]>[0],
): Promise<SuiteResult> {
  const task = await taskFor(suite.task, suite.seed, tokenizer);
  const problems = task.heldOut(suite.problems);
  const stopIfAsked = () => {
    if (signal.aborted) throw new RunInterrupted("Stopped in a measurement. Run the same command to go on.");
  };
  const evaluation = await evaluate(engine, tokenizer, task, problems, {
    temperature: suite.temperature,
    samples: suite.samples,
    maxCompletionTokens: suite.maxCompletionTokens,
    seed: suite.seed,
    onProgress: (progress) => {
      stopIfAsked();
      onProgress(suite.name, progress);
    },
  });
  const statistics: Record<string, number | null> = { ...evaluation.statistics };
  const intervals: Record<string, [number, number]> = { ...evaluation.intervals };
  const inputs = evaluation.completions.map(({ prompt, completion }, i) => {
    return { prompt, completion, columns: problems[Math.floor(i / suite.samples)]!.columns };
  });
  const rewards = createRewards(suite.rewards, { openScorer: scorerOpener(computeFor(spec, compute), spec) });
  await withStageRewards(rewards, { signal }, async () => {
    for (const { reward } of rewards) {
      const results = await judgeAll(reward, inputs);
      stopIfAsked();
      const scores = results.flatMap(({ score }) => (score === null ? [] : [score]));
      const average = scores.length === 0 ? null : mean(scores);
      statistics[reward.name] = average;
      // Only a share has this interval.
      if (average !== null && scores.every((score) => score === 0 || score === 1)) {
        intervals[reward.name] = wilsonInterval(average, problems.length);
      }
    }
  });
  const result = { hash: resultHash(model.hash, suite, spec), problems: problems.length, statistics, intervals };
  mkdirSync(join(directory, PIPELINE_FILES.evaluations, stage), { recursive: true });
  await writeWhole(resultPath(directory, stage, suite), `${JSON.stringify(result, null, 2)}\n`);
  return result;
}

function resultPath(directory: string, stage: string, { name }: SuiteConfig): string {
  return join(directory, PIPELINE_FILES.evaluations, stage, `${name}.json`);
}

function resultHash(model: string, suite: SuiteConfig, engine: EngineSpec): string {
  return recipeHash({ model, suite, ...engineIdentity(engine) });
}
