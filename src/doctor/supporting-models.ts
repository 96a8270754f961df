/**
 * The models that a recipe needs beside the one it trains: teachers, reward models. They are directories on this machine, so
 * one that is not there is an error before anything runs; in a pipeline an earlier stage makes it.
 */

import { existsSync } from "node:fs";
import { ConfigError } from "../errors.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { openCheckpoint } from "../model/on-disk.ts";
import type { SupportingModel } from "../train/trainer.ts";

/**
 * The shape of a supporting model.
 *
 * @throws ConfigError where its directory is not there; CheckpointError where it is no model
 */
export async function inspectSupportingModel({ kind, path, key, remedy }: SupportingModel): Promise<ModelConfig> {
  if (!existsSync(path)) {
    throw new ConfigError(`${key}: ${path} does not exist; ${remedy}, or name another directory.`);
  }
  const { config, close } = await openCheckpoint(path, kind === "model" ? "tokens" : "score");
  await close();
  return config;
}
