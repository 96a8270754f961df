/**
 * What trainers over given data (demonstrations, pairs of answers) have in common for the doctor: a trial of a few steps,
 * what it says, and the batch arithmetic.
 */

import type { StageFinding } from "../findings.ts";
import { sumOf } from "../statistics.ts";
import type { StageContext, TrainedKind } from "./context.ts";
import type { StageNumbers, StageOverData, StageTrial, TrialParts } from "./examination.ts";
import { type RecordedStage, recordedStage, WITHOUT_CHANGE } from "./trial.ts";

/** Optimizer steps of a trial: the first compiles, the others are timed. */
const TRIAL_STEPS = 3;
/** From this share of skipped, too long examples on, the user is warned. */
const TOO_LONG = 0.1;
/** With more passes than this over the data, the model memorises them. */
const MANY_EPOCHS = 10;

/** What such a stage would begin with. */
export interface GivenDataTrial extends StageTrial {
  readonly tokensPerStep: number;
  readonly examplesPerStep: number;
  readonly tooLongShare: number;
  readonly loss: number;
}

/** The keys of such a trainer that are read here. */
interface GivenDataConfig {
  readonly learningRate: number;
  readonly steps?: number | undefined;
  readonly epochs?: number | undefined;
  readonly warmupSteps: number;
}

/** What the examinations of such trainers share. `examples` names what the data are, `counted` the metric that counts it. */
export function givenData(examples: string, counted: string) {
  return {
    learningRate: ({ learningRate }: GivenDataConfig) => ({ peak: learningRate, method: "supervised" }) as const,
    units: ({ steps }: GivenDataConfig) => steps,
    overData: (config: GivenDataConfig, trainCount: number, examplesPerStep: number | undefined) =>
      overData(config, trainCount, { examplesPerStep, examples }),
    trial: async <Kind extends TrainedKind, Config extends GivenDataConfig>(
      parts: TrialParts<Kind>,
      config: Config,
      train: (context: StageContext<Kind>, config: Config) => Promise<unknown>,
    ): Promise<GivenDataTrial> => {
      const recorded = recordedStage(parts);
      await train(recorded.context, { ...config, ...WITHOUT_CHANGE, epochs: undefined, steps: TRIAL_STEPS });
      return trialOf(recorded, counted);
    },
    trialFindings: (trial: GivenDataTrial) => trialFindings(trial, examples),
    figures,
  };
}

/** What a few steps told; `counted` is the metric that counts examples. */
function trialOf(
  { metrics, timings }: Pick<RecordedStage<TrainedKind>, "metrics" | "timings">,
  counted: string,
): GivenDataTrial {
  const last = metrics.at(-1)!;
  const measured = last.num_tokens! - metrics[0]!.num_tokens!;
  const examples = sumOf(metrics.map((row) => row[counted] ?? 0));
  const tooLong = sumOf(metrics.map((row) => row.num_too_long ?? 0));
  return {
    tokensPerStep: last.num_tokens! / metrics.length,
    examplesPerStep: examples / metrics.length,
    tooLongShare: tooLong / Math.max(1, examples + tooLong),
    loss: metrics[0]!.loss!,
    trainingTokensPerSecond: measured / sumOf(timings.slice(1).map((row) => row.step_time!)),
  };
}

/** Findings of a trial; `examples` is what the data are of. */
function trialFindings({ tooLongShare, loss }: GivenDataTrial, examples: string): StageFinding[] {
  const found: StageFinding[] = [];
  if (tooLongShare >= TOO_LONG) {
    found.push({
      severity: "warning",
      id: "demonstrations-too-long",
      measured: `${Math.round(100 * tooLongShare)} % of the first ${examples} are longer than maxTokens, or the context`,
      why: "they are skipped, and the model learns from the short ones only",
      advice: "raise maxTokens (and batchTokens), or take a model with a longer context",
    });
  }
  if (!Number.isFinite(loss)) {
    found.push({
      severity: "error",
      id: "loss-not-finite",
      measured: `the loss of the first step is ${loss}`,
      why: "no step would be applied",
      advice: "check the model's weights with aha model score",
    });
  }
  return found;
}

/** Epochs and steps for data of `trainCount` examples; `examplesPerStep` where it is known. */
function overData(
  config: GivenDataConfig,
  trainCount: number,
  { examplesPerStep, examples }: { readonly examplesPerStep: number | undefined; readonly examples: string },
): StageOverData {
  if (!Number.isFinite(trainCount)) return {};
  const epochs =
    config.epochs ?? (examplesPerStep === undefined ? undefined : (config.steps! * examplesPerStep) / trainCount);
  const seen = Math.ceil((config.epochs ?? 0) * trainCount);
  const steps =
    config.epochs === undefined || examplesPerStep === undefined ? undefined : Math.ceil(seen / examplesPerStep);
  const findings: StageFinding[] = [];
  if (epochs !== undefined && epochs > MANY_EPOCHS) {
    findings.push({
      severity: "warning",
      id: "many-epochs",
      measured: `${epochs.toFixed(1)} passes over ${trainCount} ${examples}`,
      why: "after so many passes the data are memorised",
      advice: "take fewer steps or more data; 1 to 3 passes are usual",
    });
  }
  if (steps !== undefined && config.warmupSteps > steps) {
    findings.push({
      severity: "error",
      id: "warmup",
      measured: `warmupSteps ${config.warmupSteps}, about ${steps} optimizer steps in its epochs`,
      why: "the run is refused before its first step",
      advice: `set warmupSteps to a tenth, ${Math.floor(steps / 10)}`,
    });
  }
  return { epochs, steps, findings };
}

/** Steps, and the time that they will take. */
function figures(
  steps: number | undefined,
  trial: GivenDataTrial | undefined,
): Pick<StageNumbers, "optimizerSteps" | "estimatedSeconds" | "longestSeconds"> {
  const seconds = trial && steps !== undefined ? (steps * trial.tokensPerStep) / trial.trainingTokensPerSecond : null;
  return { optimizerSteps: steps ?? null, estimatedSeconds: seconds, longestSeconds: seconds };
}
