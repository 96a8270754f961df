/** Findings: what is wrong, or good to know, about a configuration before it is run. `aha doctor` prints them. */

import { AhaError } from "./errors.ts";

/** `error`: it cannot go well. `warning`: it probably wastes the run. `note`: good to know. */
const SEVERITIES = ["error", "warning", "note"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** One thing that was found, by code that does not know which stage it is about. */
export interface StageFinding {
  readonly severity: Severity;
  /** A stable name, e.g. `truncation`; `docs/doctor.md` lists them. */
  readonly id: string;
  /** What was measured or read, with its numbers. */
  readonly measured: string;
  readonly why: string;
  readonly advice: string;
}

/** One thing that was found. */
export interface Finding extends StageFinding {
  /** Absent where it concerns the whole recipe. */
  readonly stage?: string;
}

/** A finding of that stage. */
export function inStage({ severity, id, ...rest }: StageFinding, stage: string): Finding {
  return { severity, id, stage, ...rest };
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
export function refusal(id: string, measured: string): StageFinding {
  return { severity: "error", id, measured, why: "aha run would refuse it", advice: "correct what the message names" };
}

/** What `check` refuses, as a finding; none where it refuses nothing. */
export function refusals(id: string, check: () => void): StageFinding[] {
  try {
    check();
    return [];
  } catch (error) {
    if (error instanceof AhaError) return [refusal(id, error.message)];
    throw error;
  }
}
