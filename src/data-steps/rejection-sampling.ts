/**
 * Rejection sampling: stage 5 of R1 (arXiv:2501.12948 §2.3.3), and with a teacher as the model stage 8, the samples that a
 * student is distilled from (§2.4).
 *
 *     for each prompt: sample k completions; drop those that a rule or a reward rejects
 *     of each prompt keep a few; balance by how often the model solves it; mix in general data
 *
 * The paper keeps what is correct and drops mixed languages, long paragraphs and code blocks: `keep` says so by name. It
 * is silent about difficulty; balancing by pass rate is an option here and off by default.
 */

import { join } from "node:path";
import { z } from "zod";
import { engines } from "../engine/open.ts";
import { pathAt } from "../named-paths.ts";
import { cachedBy } from "../registry.ts";
import { tasks } from "../tasks/registry.ts";
import { collectCandidates } from "./candidates.ts";
import { type ChoiceConfig, PARTS_FOLDER, refineWriter, samplingShape, selectionShape } from "./config.ts";
import { writeSampledDataset } from "./sampled-dataset.ts";
import { samplingFindings } from "./sampling-findings.ts";
import { sampledWork, samplingIdentity, samplingPaths } from "./sampling-step.ts";
import { type DataStep, type DataStepOutcome, defineDataStep } from "./step.ts";
import { type DataStepContext, withSource } from "./step-context.ts";

/** The keys. */
export const rejectionSamplingSchema = cachedBy([tasks, engines], () =>
  z.strictObject({ ...samplingShape(), ...selectionShape }).superRefine(refineWriter),
);

/** A step of rejection sampling under the name that is given. */
export function rejectionSamplingStep(name: string): DataStep {
  return defineDataStep({
    name,
    schema: rejectionSamplingSchema,
    paths: (config) => [...samplingPaths(config), ...pathAt(config, ["general", "path"], "dataset", { hub: true })],
    identity: samplingIdentity,
    sampled: sampledWork,
    findings: (config, known) => samplingFindings(config, known),
    run: (config, context) => sampleByRejection(config, context, name),
  });
}

/** The step, as a pipeline sees it. */
export const rejectionSampling = rejectionSamplingStep("rejectionSampling");

/**
 * Samples, filters and writes; finished parts are not made again. `step` names it in errors and in the lineage.
 *
 * @throws AhaError for what cannot be used; DataError where nothing is left; RunInterrupted
 */
async function sampleByRejection(
  config: ChoiceConfig,
  context: DataStepContext,
  step: string,
): Promise<DataStepOutcome> {
  const parts = join(context.directory, PARTS_FOLDER);
  const about = await withSource(config, context, async ({ source, name, taskFor }) => {
    const task = await taskFor(config.task, config.seed);
    await collectCandidates(config, { ...context, source, task, directory: parts });
    return { model: name, ...source.lineage(), samples: config.samples, inputs: context.inputs ?? {} };
  });
  return writeSampledDataset(config, { step, parts, directory: context.directory, about });
}
