/** Where a stage stands, in one line: how far, how well, how fast, how long still. */

import { clock, count, decimal, percent, plain } from "../number-text.ts";
import type { TimingRecord } from "../run/records.ts";
import type { MetricsRow, TrainProgress } from "../train/context.ts";

/** Weight of the newest value in the running means. */
const SMOOTHING = 0.1;
const BAR_WIDTH = 16;
/** Seconds after which a unit is worth words of its own. */
const LONG_UNIT = 3;
/** The part of an iteration that sampling takes, for the time that is left; the rest counts when it is done. */
const SAMPLING_SHARE = 0.7;

/** The line of one stage. */
export class StageProgress {
  private readonly unit: string;
  private readonly startedAt: number;
  private readonly now: () => number;
  private unitStartedAt: number;
  private latest: TrainProgress | undefined;
  private metrics: MetricsRow | undefined;
  /** Units that were done when this session began. */
  private doneBefore: number | undefined;
  private tokensPerSecond: number | undefined;
  private previousTokens: number | undefined;
  private readonly means = new Map<string, number>();

  /** `unit`: what is counted, e.g. `step`. */
  constructor(unit: string, now: () => number = () => performance.now()) {
    this.unit = unit;
    this.now = now;
    this.startedAt = now();
    this.unitStartedAt = this.startedAt;
  }

  progress(progress: TrainProgress): void {
    this.doneBefore ??= progress.phase === "done" ? progress.done - 1 : progress.done;
    this.latest = progress;
    if (progress.phase === "done") this.unitStartedAt = this.now();
  }

  row(row: MetricsRow): void {
    this.metrics = row;
    for (const [name, value] of Object.entries(row)) {
      const mean = this.means.get(name);
      this.means.set(name, mean === undefined ? value : mean + SMOOTHING * (value - mean));
    }
  }

  timing(row: Omit<TimingRecord, "stage">): void {
    const tokens = this.metrics?.num_tokens;
    if (tokens !== undefined && this.previousTokens !== undefined && row.step_time) {
      const speed = (tokens - this.previousTokens) / row.step_time;
      this.tokensPerSecond =
        this.tokensPerSecond === undefined ? speed : this.tokensPerSecond + SMOOTHING * (speed - this.tokensPerSecond);
    }
    this.previousTokens = tokens;
  }

  /** The line. */
  text(): string {
    if (this.latest === undefined) return "";
    const { done, total } = this.latest;
    const parts = [`${bar(done / total)} ${this.unit} ${done}/${total}`, ...this.numbers()];
    const now = this.unitText();
    if (now !== undefined) parts.push(now);
    else if (this.tokensPerSecond !== undefined) parts.push(`${count(this.tokensPerSecond)} tokens/s`);
    const left = this.secondsLeft();
    if (left !== undefined && done < total) parts.push(`${clock(left)} left`);
    return parts.join("  ");
  }

  /** The numbers that matter for the stage: rewards where there are any, else the loss. */
  private numbers(): string[] {
    const mean = (name: string) => this.means.get(name);
    if (mean("reward") === undefined) {
      return mean("loss") === undefined ? [] : [`loss ${plain(mean("loss"))}`];
    }
    const [solved, tries] = [mean("solve_rate"), mean("tries/mean")];
    return [
      `reward ${mean("reward")!.toFixed(2)}`,
      ...(solved === undefined ? [] : [`solved ${percent(solved)}`]),
      ...(tries === undefined ? [] : [`tries ${decimal(tries)}`]),
      `length ${plain(mean("completions/mean_length"))}`,
    ];
  }

  /** The phase of the current unit, shown if units take long. */
  private unitText(): string | undefined {
    if (this.latest === undefined || (this.now() - this.unitStartedAt) / 1000 < LONG_UNIT) return undefined;
    const { phase, sampled } = this.latest;
    if (phase === "sampling" && sampled) {
      const { finished, total, tokens, mostTokens } = sampled;
      return `sampling ${finished}/${total}, ${count(tokens)} of at most ${count(mostTokens)} tokens`;
    }
    return phase === "done" ? undefined : phase;
  }

  private secondsLeft(): number | undefined {
    if (this.latest === undefined || this.doneBefore === undefined) return undefined;
    const { done, total, sampled, phase } = this.latest;
    // Sampling is most of an iteration.
    const sampledShare = phase === "sampling" ? (sampled ? sampled.tokens / Math.max(1, sampled.mostTokens) : 0) : 1;
    const part = phase === "done" ? 0 : SAMPLING_SHARE * sampledShare;
    const doneHere = done - this.doneBefore + part;
    if (doneHere <= 0.05) return undefined;
    return ((this.now() - this.startedAt) / 1000 / doneHere) * (total - done - part);
  }
}

/** A share of 1 as a bar. */
export function bar(share: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * BAR_WIDTH);
  return `${"█".repeat(full)}${"░".repeat(BAR_WIDTH - full)}`;
}
