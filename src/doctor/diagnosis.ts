/** What `aha doctor` says of a recipe, which `--json` prints as it is. */

import type { Finding, Severity } from "../findings.ts";
import type { StageNumbers } from "../train/examination.ts";
import type { DeviceMemoryNeed } from "./device-memory.ts";

/** A stage in numbers; null is what could not be known. */
export interface StageFigures extends StageNumbers {
  readonly name: string;
  readonly trainer: string;
}

/** The model that a recipe starts from. */
export interface ModelFigures {
  /** `random weights`, a directory, or a name on the Hub. */
  readonly source: string;
  /** On this machine. */
  readonly available: boolean;
  readonly parameters: number | null;
  readonly trainableParameters: number | null;
  readonly contextTokens: number | null;
  readonly weights: "random" | "pretrained";
  readonly adapter: boolean;
}

/** What a recipe takes of the memory of the GPU that it names. */
export interface DeviceMemoryFigures extends DeviceMemoryNeed {
  readonly device: string;
  /** What the GPU has; null where no driver of this machine says it. */
  readonly memoryBytes: number | null;
}

/** Everything `aha doctor` found. */
export interface Diagnosis {
  readonly recipe: string;
  readonly model: ModelFigures | null;
  readonly stages: readonly StageFigures[];
  readonly evaluationSeconds: number | null;
  readonly estimatedSeconds: number | null;
  readonly estimatedPeakBytes: number | null;
  readonly machineMemoryBytes: number;
  /** null where it is computed on the processors, or the model's shape is not known. */
  readonly deviceMemory: DeviceMemoryFigures | null;
  /** Worst first. */
  readonly findings: readonly Finding[];
  /** What could not be checked, and why. */
  readonly unchecked: readonly string[];
  readonly counts: Readonly<Record<Severity, number>>;
}

/** A data step of a pipeline in numbers. */
export interface DataStepFigures {
  readonly name: string;
  readonly step: string;
  /** null for a step that samples nothing. */
  readonly prompts: number | null;
  /** Sampled before any filter. */
  readonly completions: number | null;
  readonly maxCompletionTokens: number | null;
}

/** A diagnosis of all stages of a pipeline. Names of stages and findings are `pipeline stage/stage of its recipe`. */
export interface PipelineDiagnosis extends Diagnosis {
  readonly dataSteps: readonly DataStepFigures[];
  /** The model that each training stage begins with. */
  readonly models: Readonly<Record<string, ModelFigures>>;
}
