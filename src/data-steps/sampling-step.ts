/** What all steps that sample a model have in common, as a pipeline and the doctor ask for it. */

import { endpointIdentity } from "../endpoint/options.ts";
import { engineIdentity } from "../engine/open.ts";
import { type NamedPath, pathAt, pathsBelow, pathsOfItems, valueAt } from "../named-paths.ts";
import { rewardIdentity, rewardPathsIn } from "../rewards/spec.ts";
import { taskPaths } from "../tasks/registry.ts";
import type { SamplingConfig } from "./config.ts";
import type { SampledWork } from "./step.ts";

/** The paths of a sampling step: its model, its task, and the rewards among its filters. */
export function samplingPaths(config: unknown): NamedPath[] {
  return [
    ...pathAt(config, ["model", "path"], "model", { hub: true }),
    ...pathsBelow(["task"], taskPaths(valueAt(config, ["task"]))),
    ...pathsOfItems(config, ["keep"], (filter) => rewardPathsIn(filter, "reward")),
  ];
}

/**
 * What of the keys its data set is a function of. Of an endpoint that is only who answers, and of a reward what its scores
 * depend on: limits, time limits and the key's variable may change, for a data set is finished when every answer is there.
 */
export function samplingIdentity(config: SamplingConfig): object {
  const { endpoint } = config.model;
  const { engine, ...rest } = config;
  return {
    ...rest,
    ...engineIdentity(engine),
    keep: config.keep.map((filter) => ({ ...filter, ...scoringIdentity(filter) })),
    ...(endpoint && { model: { endpoint: endpointIdentity(endpoint) } }),
  };
}

/** Of keys that name a reward and its options, what the scores depend on. */
export function scoringIdentity({
  reward,
  options,
}: {
  readonly reward?: string | undefined;
  readonly options?: Record<string, unknown> | undefined;
}): { readonly options?: unknown } {
  if (reward === undefined || options === undefined) return {};
  return { options: rewardIdentity({ name: reward, options }) };
}

/** What it samples. */
export function sampledWork(config: SamplingConfig): SampledWork {
  const { model, engine, task, seed, prompts, samples, maxCompletionTokens } = config;
  return { model: model.path, engine, task, seed, prompts, samples, maxCompletionTokens };
}
