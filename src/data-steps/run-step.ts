/** Data steps by the names that a pipeline has for them. */

import { makeColdStartData } from "./cold-start.ts";
import { combineData } from "./combine.ts";
import type {
  ColdStartConfig,
  CombineConfig,
  DataStepConfig,
  DataStepName,
  PreferencesConfig,
  RejectionSamplingConfig,
} from "./config.ts";
import { makePreferences } from "./preferences.ts";
import { sampleByRejection } from "./rejection-sampling.ts";
import type { DataStepOutcome } from "./sampled-dataset.ts";
import type { DataStepContext } from "./step-context.ts";

/**
 * Runs the step of that name, or what is left of it. `config` is of that step's schema.
 *
 * @throws AhaError; RunInterrupted where `context.signal` aborts, and the step can be gone on with.
 */
export function runDataStep(
  name: DataStepName,
  config: DataStepConfig,
  context: DataStepContext,
): Promise<DataStepOutcome> {
  switch (name) {
    case "coldStart":
      return makeColdStartData(config as ColdStartConfig, context);
    case "rejectionSampling":
    case "teacherSamples":
      return sampleByRejection(config as RejectionSamplingConfig, context, name);
    case "preferences":
      return makePreferences(config as PreferencesConfig, context);
    case "combine":
      return combineData(config as CombineConfig, context);
  }
}
