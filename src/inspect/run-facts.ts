/** What a run's page and the list of runs say of a recipe and its progress. The recipe is plain JSON to this layer. */

import { z } from "zod";
import { RunDirError } from "../errors.ts";
import { trainers } from "../train/trainers.ts";
import type { LiveRun } from "./live-run.ts";

const stageSchema = z.looseObject({ name: z.string(), trainer: z.string() });

const recipeSchema = z.looseObject({
  name: z.string(),
  question: z.string().optional(),
  seed: z.number().optional(),
  task: z.looseObject({ name: z.string().optional() }).optional(),
  stages: z.array(stageSchema),
});

/** A stage of the recipe, and how far it is. */
export interface StageFacts {
  readonly name: string;
  readonly trainer: string;
  /** The trainer in words. */
  readonly title: string;
  readonly unit: "step" | "iteration";
  /** Units that are done, and how many there will be; undefined where that is not known before. */
  readonly done: number;
  readonly total: number | undefined;
  /** Seconds in its steps so far. */
  readonly seconds: number;
}

/** What a recipe says of itself. */
export interface RecipeFacts {
  readonly name: string;
  readonly question: string;
  readonly seed: number | undefined;
  readonly task: string;
  readonly stages: readonly StageFacts[];
}

/** Throws RunDirError where the recipe cannot be read, or is none. */
export function recipeFacts(run: LiveRun): RecipeFacts {
  const parsed = recipeSchema.safeParse(run.recipe());
  if (!parsed.success) throw new RunDirError("recipe.yaml is not a recipe that Aha wrote.");
  const recipe = parsed.data;
  return {
    name: recipe.name,
    question: recipe.question ?? "",
    seed: recipe.seed,
    task: recipe.task?.name ?? "",
    stages: recipe.stages.map((stage) => stageFacts(run, stage)),
  };
}

function stageFacts(run: LiveRun, stage: z.infer<typeof stageSchema>): StageFacts {
  const trainer = trainers.find(stage.trainer);
  const unit = trainer?.unit ?? "step";
  const total = unit === "iteration" ? stage.iterations : stage.steps;
  return {
    name: stage.name,
    trainer: stage.trainer,
    title: trainer?.words.title ?? stage.trainer,
    unit,
    // A unit leaves one row: an iteration may be of several steps.
    done: run.metrics.rowCount(stage.name),
    total: typeof total === "number" ? total : undefined,
    seconds: run.timings.sum(stage.name, "step_time"),
  };
}

/** The statistic that a run is judged by at a glance, and how it went. */
export interface HeadlineResult {
  readonly statistic: string;
  readonly isShare: boolean;
  readonly first: number;
  readonly latest: number;
  readonly interval: readonly [number, number] | undefined;
  /** Of every sampled evaluation, oldest first. */
  readonly values: readonly number[];
}

/** Statistics that a run may be judged by, the first that it has. */
const HEADLINES = [
  { name: "solveRate", isShare: true },
  { name: "accuracy", isShare: true },
  { name: "formatRate", isShare: true },
  { name: "loss", isShare: false },
];

/** undefined while nothing was evaluated. */
export function headlineResult(run: LiveRun): HeadlineResult | undefined {
  const sampled = run.evaluations.filter(({ decoding }) => decoding === "sampled");
  for (const { name, isShare } of HEADLINES) {
    const values = sampled.flatMap(({ statistics }) => statistics[name] ?? []);
    const latest = values.at(-1);
    if (latest === undefined) continue;
    const [low, high] = sampled.findLast(({ statistics }) => name in statistics)?.intervals[name] ?? [null, null];
    const interval = low === null || high === null ? undefined : ([low, high] as const);
    return { statistic: name, isShare, first: values[0]!, latest, interval, values };
  }
  return undefined;
}
