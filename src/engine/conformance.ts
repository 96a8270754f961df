/**
 * The conformance suite: the promises of the engine contract as checks that any implementation can be put through, in
 * this process or behind a wire, by a test or by hand.
 *
 * It knows an engine only by its contract, so it is bound to no test framework and to no way of storing weights; what
 * needs either (gradients by parameter, files bit for bit, memory) is in the tests of each implementation. Checks are
 * seeded: an engine that passes passes again.
 */

import { KEPT_TOKEN_CHECKS } from "./conformance/kept-token-checks.ts";
import { NOISE_CHECKS } from "./conformance/noise-checks.ts";
import { OPTIMIZER_CHECKS } from "./conformance/optimizer-checks.ts";
import { SAMPLING_CHECKS } from "./conformance/sampling-checks.ts";
import { SESSION_CHECKS } from "./conformance/session-checks.ts";
import { SESSION_LOGPROB_CHECKS } from "./conformance/session-logprob-checks.ts";
import { SNAPSHOT_CHECKS } from "./conformance/snapshot-checks.ts";
import { STATE_CHECKS } from "./conformance/state-checks.ts";
import { type ConformanceCheck, type ConformanceSubject, type Needed, withEngine } from "./conformance/subject.ts";
import { TRAINING_CHECKS } from "./conformance/training-checks.ts";
import type { Capabilities } from "./contract/capabilities.ts";

export type { ConformanceCheck, ConformanceSubject, Needed } from "./conformance/subject.ts";
export { ConformanceFailure } from "./conformance/subject.ts";

/** Every promise, cheapest kind first. */
const ALL_CHECKS: readonly ConformanceCheck[] = [
  ...TRAINING_CHECKS,
  ...OPTIMIZER_CHECKS,
  ...NOISE_CHECKS,
  ...SAMPLING_CHECKS,
  ...KEPT_TOKEN_CHECKS,
  ...SESSION_CHECKS,
  ...SESSION_LOGPROB_CHECKS,
  ...SNAPSHOT_CHECKS,
  ...STATE_CHECKS,
];

/** The promises that an engine with these capabilities makes. */
export function conformanceChecks(capabilities: Capabilities): ConformanceCheck[] {
  const isThere = (need: Needed) => (need === "training" ? capabilities.training !== "none" : capabilities[need]);
  return ALL_CHECKS.filter(({ needs }) => needs.every(isThere));
}

/** The result of one check; `error` is absent where the engine kept the promise. */
export interface ConformanceResult {
  readonly name: string;
  readonly error?: unknown;
}

/** Puts an engine through every check of its capabilities, one after another; a failure does not stop the rest. */
export async function runConformance(
  subject: ConformanceSubject,
  onResult: (result: ConformanceResult) => void = () => {},
): Promise<ConformanceResult[]> {
  const results: ConformanceResult[] = [];
  for (const { name, run } of await withEngine(subject, async (engine) => conformanceChecks(engine.capabilities))) {
    const result = await run(subject).then(
      (): ConformanceResult => ({ name }),
      (error: unknown): ConformanceResult => ({ name, error }),
    );
    results.push(result);
    onResult(result);
  }
  return results;
}
