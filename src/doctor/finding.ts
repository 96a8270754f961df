/** What `aha doctor` says of a recipe: one finding, its weight, and the whole diagnosis, which `--json` prints as it is. */

/** `error`: it cannot go well. `warning`: it probably wastes the run. `note`: good to know. */
export const SEVERITIES = ["error", "warning", "note"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** One thing that was found. */
export interface Finding {
  readonly severity: Severity;
  /** A stable name, e.g. `truncation`; `docs/doctor.md` lists them. */
  readonly id: string;
  /** Absent where it concerns the whole recipe. */
  readonly stage?: string;
  /** What was measured or read, with its numbers. */
  readonly measured: string;
  readonly why: string;
  readonly advice: string;
}

/** A stage in numbers; null is what could not be known. */
export interface StageFigures {
  readonly name: string;
  readonly trainer: string;
  readonly iterations: number | null;
  /** null where the data decide: a stage in epochs of data that were not read. */
  readonly optimizerSteps: number | null;
  readonly stepsPerIteration: number | null;
  readonly promptsPerIteration: number | null;
  readonly completionsPerIteration: number | null;
  readonly promptsPerStep: number | null;
  readonly completionsPerStep: number | null;
  /** Prompts and completions together. */
  readonly tokensPerStep: number | null;
  readonly epochs: number | null;
  readonly meanPromptTokens: number | null;
  readonly maxPromptTokens: number | null;
  readonly maxCompletionTokens: number | null;
  /** From here on measured on sampled completions, at the policy that the recipe starts from. */
  readonly sampledCompletions: number | null;
  readonly meanCompletionTokens: number | null;
  readonly truncatedShare: number | null;
  readonly zeroVarianceShare: number | null;
  readonly solveRate: number | null;
  /** Mean score by reward; null where it abstained from all. */
  readonly rewardMeans: Readonly<Record<string, number | null>> | null;
  readonly samplingTokensPerSecond: number | null;
  readonly trainingTokensPerSecond: number | null;
  readonly estimatedSeconds: number | null;
  /** The same with every completion as long as the limit lets it. */
  readonly longestSeconds: number | null;
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

/** Everything `aha doctor` found. */
export interface Diagnosis {
  readonly recipe: string;
  readonly model: ModelFigures | null;
  readonly stages: readonly StageFigures[];
  readonly evaluationSeconds: number | null;
  readonly estimatedSeconds: number | null;
  readonly estimatedPeakBytes: number | null;
  readonly machineMemoryBytes: number;
  /** Worst first. */
  readonly findings: readonly Finding[];
  /** What could not be checked, and why. */
  readonly unchecked: readonly string[];
  readonly counts: Readonly<Record<Severity, number>>;
}

/** A data step of a pipeline in numbers. */
export interface DataStepFigures {
  readonly name: string;
  /** coldStart, rejectionSampling, teacherSamples, preferences or combine. */
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

/** How many findings there are of each severity. */
export function countBySeverity(findings: readonly Finding[]): Record<Severity, number> {
  const count = (severity: Severity) => findings.filter((finding) => finding.severity === severity).length;
  return { error: count("error"), warning: count("warning"), note: count("note") };
}

/** The findings, worst first, each severity in the order in which it was found. */
export function worstFirst(findings: readonly Finding[]): Finding[] {
  return SEVERITIES.flatMap((severity) => findings.filter((finding) => finding.severity === severity));
}

/** An error finding of what `aha run` would refuse, with its own message. */
export function refusal(id: string, measured: string, stage?: string): Finding {
  return {
    ...{ severity: "error", id, ...(stage === undefined ? {} : { stage }), measured },
    ...{ why: "aha run would refuse it", advice: "mend what it says" },
  };
}
