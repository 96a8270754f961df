/**
 * Optimizer steps that were not applied because the loss or the gradient was not finite: a single one is harmless, but
 * many in a row mean that the model has diverged. A skipped step leaves the weights as they were, so a checkpoint after
 * it is sound. Where gradients are computed times a scale (float16), the scale is first lowered until they are finite; such
 * steps are counted, but not as a sign of divergence.
 */

import { DivergenceError } from "../errors.ts";
import type { StageLog } from "./context.ts";

/** What an engine said of one optimizer step. */
export interface StepOutcome {
  readonly loss: number;
  readonly gradNorm?: number | undefined;
  readonly applied: boolean;
  readonly lossScale?: number | undefined;
}

/** Counts the skipped steps of a stage. */
export class SkippedSteps {
  /** Skipped steps since the last one that was applied. */
  inARow: number;
  /** Skipped steps since `takeCount` was last called. */
  private count = 0;
  private readonly maxInARow: number;
  private readonly log: StageLog;
  private limitExceeded = false;

  constructor(inARow: number, maxInARow: number, log: StageLog) {
    this.inARow = inARow;
    this.maxInARow = maxInARow;
    this.log = log;
  }

  /** Counts the step `step` (1-based), and writes an event where it was skipped. */
  record({ loss, gradNorm, applied, lossScale = 1 }: StepOutcome, step: number): void {
    if (applied) {
      this.inARow = 0;
      return;
    }
    this.count++;
    if (Number.isFinite(loss) && lossScale > 1) {
      const reason = `the gradient overflowed at a loss scale of ${lossScale}, which is halved`;
      this.log.event("step-skipped", { step, reason, inARow: this.inARow });
      return;
    }
    this.inARow++;
    this.limitExceeded ||= this.inARow > this.maxInARow;
    const norm = gradNorm === undefined ? "" : ` (its norm was ${gradNorm})`;
    const what = Number.isFinite(loss) ? `gradient was not finite${norm}` : `loss was ${loss}`;
    this.log.event("step-skipped", { step, reason: `the ${what}`, inARow: this.inARow });
  }

  /** For the metrics: skipped steps since this was last asked. */
  takeCount(): number {
    const { count } = this;
    this.count = 0;
    return count;
  }

  /** The error that ends the stage, after more than `maxSkippedSteps` in a row; undefined before that. */
  divergence(step: number, isSaved: boolean): DivergenceError | undefined {
    if (!this.limitExceeded) return undefined;
    const saved = isSaved ? ", and a checkpoint is saved. --resume goes on behind them" : "";
    return new DivergenceError(
      `The loss or its gradient was not finite in ${this.inARow} optimizer steps in a row (maxSkippedSteps is ` +
        `${this.maxInARow}), the last at step ${step}. They changed no weights${saved}. If it happens again, start a run ` +
        "with a lower learningRate or maxGradNorm.",
    );
  }
}
