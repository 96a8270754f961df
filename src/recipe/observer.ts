/** The events that a run reports to an observer: the terminal, a program that reads JSON lines, a test. */

import type { Alarm } from "../alarms/alarm.ts";
import type { RewardModelInfo } from "../engine/contract/reward-model.ts";
import type { EvaluatedSoFar } from "../eval/evaluate.ts";
import type { EvaluationRecord } from "../run/records.ts";
import type { RunSummary } from "../run/summary.ts";
import type { MetricsRow, TrainProgress } from "../train/context.ts";
import type { StageConfig } from "./schema.ts";

export type RunEvent =
  /** Model, tokenizer and task are open; nothing is trained yet. */
  | { readonly type: "ready"; readonly engine: RewardModelInfo; readonly resumedFrom: string | undefined }
  | {
      readonly type: "stage-started";
      readonly stage: StageConfig;
      /** 0-based, of `count`. */
      readonly index: number;
      readonly count: number;
      /** Optimizer steps that an earlier session already took. */
      readonly stepsDone: number;
    }
  | { readonly type: "progress"; readonly stage: string; readonly progress: TrainProgress }
  | { readonly type: "metrics"; readonly stage: string; readonly row: MetricsRow }
  | { readonly type: "timing"; readonly stage: string; readonly row: MetricsRow }
  | { readonly type: "evaluating"; readonly stage: string; readonly progress: EvaluatedSoFar }
  | { readonly type: "evaluated"; readonly record: EvaluationRecord }
  | { readonly type: "stage-finished"; readonly stage: StageConfig; readonly steps: number }
  /** An alarm begins or ends (`docs/doctor.md`). */
  | ({ readonly type: "alarm" } & Alarm)
  /** The run continues, but something that it should have had is missing. */
  | { readonly type: "warning"; readonly message: string }
  | { readonly type: "finished"; readonly summary: RunSummary };

export type RunObserver = (event: RunEvent) => void;
