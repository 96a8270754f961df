/**
 * What a data step is: one object with everything that a pipeline and the doctor have to know about it. Neither knows a
 * step by its name. A new one is a file with such an object and a line in `steps.ts`, or a call of `extend` from outside.
 *
 * Inside its file a step's configuration has the type that its schema gives (`defineDataStep` infers it); outside it is
 * opaque, and only handed back to the step.
 */

import type { z } from "zod";
import type { EngineSpec } from "../engine/engine-kind.ts";
import type { StageFinding } from "../findings.ts";
import type { NamedPath } from "../named-paths.ts";
import type { TaskSpec } from "../tasks/entry.ts";
import type { Task } from "../tasks/task.ts";
import type { RowCounts } from "./dataset-writer.ts";
import type { DataStepContext } from "./step-context.ts";

/** A step's keys, checked by its schema. Only the step itself knows what they are. */
export type DataStepConfig = Readonly<Record<string, unknown>>;

/** What a step reports when its data set is written. */
export interface DataStepOutcome extends RowCounts {
  /** Everything in `lineage.json`. */
  readonly lineage: Readonly<Record<string, unknown>>;
}

/** What a step samples from a model. */
export interface SampledWork {
  /** The model on disk or on the Hub; undefined: one behind an endpoint. */
  readonly model: string | undefined;
  /** What computes it; undefined: this process. */
  readonly engine?: EngineSpec | undefined;
  readonly task: TaskSpec;
  readonly seed: number;
  readonly prompts: number;
  /** Completions of each. */
  readonly samples: number;
  readonly maxCompletionTokens: number;
}

/** What is known of a step's surroundings before it is run. */
export interface StepKnowledge {
  /** Context of the model that it samples. */
  readonly contextTokens: number | null;
  /** The longest completions that the model was trained to write; undefined: it was not. */
  readonly trainedAt: number | undefined;
  /** The task, where its data are on this machine. */
  readonly task: Task | undefined;
}

/** A data step. `Config` is what its schema makes of the keys. */
export interface DataStep<Config = DataStepConfig> {
  /** Its key in a pipeline's stage. */
  readonly name: string;
  /** Its keys, each with a description; a strict object. Every step has a `seed`, which a pipeline sets. It is asked again
   * when a registry has grown. */
  schema(): z.ZodObject;
  /** The paths among its keys. It is asked of configurations that are not checked yet, too. */
  paths?(config: unknown): readonly NamedPath[];
  /** What of the keys the data set is a function of; all of them if absent. */
  identity?(config: Config): unknown;
  /** What it samples, for the doctor; undefined: nothing. */
  sampled?(config: Config): SampledWork | undefined;
  /** What the keys say by themselves, and against the model and the task. */
  findings?(config: Config, known: StepKnowledge): readonly StageFinding[];
  /**
   * Makes the data set, or what is left of it. Throws AhaError; RunInterrupted where `context.signal` aborts; the step
   * can then be continued.
   */
  run(config: Config, context: DataStepContext): Promise<DataStepOutcome>;
}

/** The step as other code sees it; inside `step` its configuration has the type of `schema`. */
export function defineDataStep<Schema extends z.ZodObject>(
  step: DataStep<z.output<Schema>> & { schema(): Schema },
): DataStep {
  return step;
}
