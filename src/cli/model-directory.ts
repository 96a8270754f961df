/** What a user may name where a command takes a model: a model directory, or the directory of a run that made one. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { RUN_FILES } from "../run/run-directory.ts";

export interface FoundModel {
  /** Directory with config.json, model.safetensors and the tokenizer's files. */
  readonly modelDirectory: string;
  /** The resolved recipe of the run, where a run directory was named. */
  readonly recipePath: string | undefined;
}

/** @throws CheckpointError where `directory` is neither. */
export function findModel(directory: string): FoundModel {
  if (existsSync(join(directory, "config.json"))) return { modelDirectory: directory, recipePath: undefined };
  const recipePath = join(directory, RUN_FILES.recipe);
  const modelDirectory = join(directory, RUN_FILES.model);
  if (existsSync(recipePath)) {
    if (existsSync(modelDirectory)) return { modelDirectory, recipePath };
    throw new CheckpointError(
      `The run in ${directory} has no ${RUN_FILES.model} yet: it is not complete. Continue it with aha run --resume.`,
    );
  }
  throw new CheckpointError(
    `${directory} is neither a model directory (it has no config.json) nor that of a run (no ${RUN_FILES.recipe}). ` +
      "Make a model with aha run or aha model init.",
  );
}
