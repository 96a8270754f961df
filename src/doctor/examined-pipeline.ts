/**
 * A pipeline as the doctor sees it: stages in order, each with what it does and what it takes of earlier ones. The types say
 * what is read of the pipeline's own (`pipeline/load.ts`), which is in this layer and is handed in by the command.
 */

import type { DataStep, DataStepConfig } from "../data-steps/step.ts";
import type { PathKind } from "../named-paths.ts";
import type { Recipe } from "../recipe/schema.ts";

/** A stage with its configuration checked and its references replaced by paths. */
export interface ExaminedStage {
  readonly name: string;
  readonly references: readonly ExaminedReference[];
  readonly work:
    | { readonly kind: "train"; readonly recipe: Recipe }
    | { readonly kind: "data"; readonly step: DataStep; readonly config: DataStepConfig };
}

/** Where in a stage's configuration an earlier stage is named. */
export interface ExaminedReference {
  readonly path: readonly string[];
  readonly from: string;
  /** What its place takes; undefined: anything. */
  readonly expected: PathKind | undefined;
}

/** Held-out problems on which every stage's model is measured. */
export interface ExaminedSuite {
  readonly name: string;
  readonly task: Recipe["task"];
  readonly problems: number;
  readonly maxCompletionTokens: number;
}

/** The whole pipeline. */
export interface ExaminedPipeline {
  readonly name: string;
  readonly seed: number;
  /** Of every stage; as many as there are processors if undefined. */
  readonly threads: number | undefined;
  readonly stages: readonly ExaminedStage[];
  readonly suites: readonly ExaminedSuite[];
  /** Where a stage will leave what it makes. */
  readonly outputPath: (stage: string) => string;
}

/** The stage whose model a stage begins with, or samples. */
export function modelMaker({ references }: Pick<ExaminedStage, "references">): string | undefined {
  return references.find(({ path }) => path.length === 1 && path[0] === "model")?.from;
}

/** The stage that makes the data of a stage's task. */
export function dataMaker({ references }: Pick<ExaminedStage, "references">): string | undefined {
  return references.find(({ path }) => path[0] === "task")?.from;
}

/** The stages whose models a stage needs beside its own. */
export function supportingModelMakers({ references }: Pick<ExaminedStage, "references">): string[] {
  const isModel = (kind: PathKind | undefined) => kind === "model" || kind === "rewardModel";
  return references.filter(({ path, expected }) => path[0] !== "model" && isModel(expected)).map(({ from }) => from);
}
