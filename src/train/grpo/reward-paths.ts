/** The paths that the rewards of a GRPO stage name. */

import { type NamedPath, pathsOfItems } from "../../named-paths.ts";
import { rewardPathsIn } from "../../rewards/spec.ts";

/** The files of rewards of the user's own, the folders of reward models. */
export function rewardPathsOf(config: unknown): NamedPath[] {
  return pathsOfItems(config, ["rewards"], (reward) => rewardPathsIn(reward));
}

/** The folders of reward models, which are computed in this process. */
export function rewardModelsIn(config: unknown): string[] {
  return rewardPathsOf(config).flatMap(({ kind, path }) => (kind === "rewardModel" ? [path] : []));
}
