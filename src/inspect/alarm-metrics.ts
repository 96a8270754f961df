/** Which metrics an alarm is about: where it is drawn. */

import type { Alarm, AlarmName } from "../alarms/alarm.ts";

const METRICS: Readonly<Record<AlarmName, readonly string[]>> = {
  truncation: ["completions/clipped_ratio"],
  "zero-variance": ["frac_reward_zero_std"],
  "entropy-collapse": ["entropy"],
  "rewards-abstain": ["frac_reward_abstained"],
  "reward-abstains": ["rewards/*/frac_abstained"],
  "reward-abandoned": ["rewards/*/abandoned"],
  "sampler-difference": ["sampling/sampling_logp_difference/mean"],
  "gradient-explosion": ["grad_norm"],
  "reward-hacking": ["reward", "solve_rate"],
  "loss-zero-by-construction": ["loss"],
};

/** Names of metrics, as metrics.jsonl has them. */
export function alarmMetrics({ alarm, reward }: Pick<Alarm, "alarm" | "reward">): string[] {
  return METRICS[alarm].map((name) => name.replace("*", reward ?? "*"));
}

/** A time in which an alarm rang. */
export interface AlarmSpan {
  /** Of the alarms of the stage that it was raised in. */
  readonly raised: Alarm;
  readonly from: number;
  /** undefined: it rings still. */
  readonly to: number | undefined;
}

/** The spans of a stage's alarms, oldest first; a note is a span of no length. */
export function alarmSpans(alarms: readonly Alarm[], stage: string): AlarmSpan[] {
  const spans: { raised: Alarm; from: number; to: number | undefined }[] = [];
  for (const alarm of alarms) {
    if (alarm.stage !== stage) continue;
    if (alarm.state === "cleared") {
      const open = spans.findLast(
        ({ raised, to }) => to === undefined && raised.alarm === alarm.alarm && raised.reward === alarm.reward,
      );
      if (open) open.to = alarm.step;
    } else {
      spans.push({ raised: alarm, from: alarm.step, to: alarm.state === "note" ? alarm.step : undefined });
    }
  }
  return spans;
}
