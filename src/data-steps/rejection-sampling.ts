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
import { collectCandidates } from "./candidates.ts";
import type { RejectionSamplingConfig } from "./config.ts";
import { type DataStepOutcome, writeSampledDataset } from "./sampled-dataset.ts";
import { type DataStepContext, withSource } from "./step-context.ts";

/** Folder of the parts in a step's own. */
export const PARTS_FOLDER = "parts";

/**
 * Samples, filters and writes; goes on with the parts that are there. `step` names it in errors and in the lineage.
 *
 * @throws AhaError for what cannot be used; DataError where nothing is left; RunInterrupted
 */
export async function sampleByRejection(
  config: RejectionSamplingConfig,
  context: DataStepContext,
  step: "rejectionSampling" | "teacherSamples",
): Promise<DataStepOutcome> {
  const parts = join(context.directory, PARTS_FOLDER);
  const about = await withSource(config.model, context, async ({ source, name, taskFor }) => {
    await collectCandidates(config, {
      source,
      task: await taskFor(config.task, config.seed),
      askFor: ({ prompt }) => prompt,
      directory: parts,
      compute: context.compute,
      signal: context.signal,
      onProgress: context.onProgress,
    });
    return { model: name, ...source.lineage(), samples: config.samples, inputs: context.inputs ?? {} };
  });
  return writeSampledDataset(config, { step, parts, directory: context.directory, about });
}
