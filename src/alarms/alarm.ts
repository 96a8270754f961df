/**
 * What an alarm is: a sentence about a run that goes wrong in a known way, said when it begins and when it is over.
 *
 * Alarms are computed from metrics and evaluations alone, which are the same for equal runs; they read no clock and change
 * nothing that is trained.
 */

import { z } from "zod";

/** Names of the alarms, as events and `--json` have them. */
export const ALARM_NAMES = [
  "truncation",
  "zero-variance",
  "entropy-collapse",
  "rewards-abstain",
  "reward-abstains",
  "reward-abandoned",
  "sampler-difference",
  "gradient-explosion",
  "reward-hacking",
  "loss-zero-by-construction",
] as const;
export type AlarmName = (typeof ALARM_NAMES)[number];

/** One line of the diary about an alarm: `event: "alarm"` in events.jsonl. */
export const alarmSchema = z.object({
  stage: z.string(),
  /** Optimizer step of the row or evaluation that decided it. */
  step: z.int(),
  alarm: z.enum(ALARM_NAMES),
  /** The reward that it is about, where it is about one. */
  reward: z.string().optional(),
  /** `note`: a single message, which is not followed by an end. */
  state: z.enum(["raised", "cleared", "note"]),
  /** What was measured; null where it was not finite. */
  value: z.number().nullable(),
  threshold: z.number(),
  /** What it means and what to do, for people. */
  message: z.string(),
});

/** See `alarmSchema`. */
export type Alarm = z.infer<typeof alarmSchema>;
