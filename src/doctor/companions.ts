/**
 * The models that a recipe needs beside the one it trains: the teachers of distillation and the reward models of GRPO.
 * Both are directories on this machine, so one that is not there is an error before anything runs; in a pipeline an earlier
 * stage makes it.
 */

import { existsSync } from "node:fs";
import { ConfigError } from "../errors.ts";
import { openCheckpoint } from "../model/checkpoint.ts";
import type { ModelConfig } from "../model/model-config.ts";
import type { StageConfig } from "../recipe/schema.ts";
import { rewardPaths } from "../rewards/spec.ts";

/** A model that a stage needs beside its own. */
export interface Companion {
  readonly kind: "teacher" | "reward-model";
  /** Its directory. */
  readonly path: string;
}

/** The companions of a stage on this machine; a teacher behind an endpoint takes no memory here. */
export function companionsOf(stage: StageConfig): Companion[] {
  if (stage.trainer === "distill") {
    const { path } = stage.teacher;
    return path === undefined ? [] : [{ kind: "teacher", path }];
  }
  if (stage.trainer !== "grpo") return [];
  return stage.rewards
    .flatMap((reward) => rewardPaths(reward))
    .flatMap(({ kind, path }) => (kind === "rewardModel" ? [{ kind: "reward-model" as const, path }] : []));
}

/**
 * The shape of a companion.
 *
 * @throws ConfigError where its directory is not there; CheckpointError where it is no model
 */
export async function inspectCompanion({ kind, path }: Companion): Promise<ModelConfig> {
  if (existsSync(path)) {
    const { config, close } = await openCheckpoint(path, kind === "teacher" ? "tokens" : "score");
    await close();
    return config;
  }
  const key = kind === "teacher" ? "teacher.path" : "rewards[].options.path";
  const first = kind === "teacher" ? "train the teacher first" : "train the reward model first (trainer: reward_model)";
  throw new ConfigError(`${key}: ${path} does not exist; ${first}, or name another directory.`);
}
