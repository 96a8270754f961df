/**
 * What a user may name where a command takes a model: a model directory, the directory of a run that made one, or, where
 * there is no such path, `org/name[@revision]` on the Hub.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError, RunInterrupted } from "../errors.ts";
import { hubReferenceOf, resolveModel } from "../hub/resolve.ts";
import { isGgufPath } from "../model/gguf/import.ts";
import { modelDirectory } from "../model/gguf/model-directory.ts";
import { RUN_FILES } from "../run/run-store.ts";
import type { CommandContext } from "./command.ts";
import { HubProgress } from "./hub-progress.ts";
import { statusLineOf } from "./terminal-line.ts";

export interface FoundModel {
  /** Directory with config.json, model.safetensors and the tokenizer's files. */
  readonly modelDirectory: string;
  /** The resolved recipe of the run, where a run directory was named. */
  readonly recipePath: string | undefined;
}

/**
 * The model that `text` names, downloaded where it is on the Hub and not in the cache, which standard error shows.
 *
 * @throws CheckpointError where it is nothing of the kind; HubError
 */
export async function openModel(text: string, context: CommandContext): Promise<FoundModel> {
  if (isGgufPath(text)) return { modelDirectory: await importedDirectory(text, context), recipePath: undefined };
  if (hubReferenceOf(text, "model") === undefined) return findModel(text);
  const progress = new HubProgress(context, "text");
  try {
    const { signal } = context;
    const { path } = await resolveModel(text, { signal, onProgress: progress.pull, onNote: progress.note });
    return { modelDirectory: path, recipePath: undefined };
  } finally {
    progress.end();
  }
}

/** The directory of the cache that stands for a GGUF file; the first time it is made, which standard error shows. */
async function importedDirectory(path: string, context: CommandContext): Promise<string> {
  const line = statusLineOf(context);
  const onProgress = (done: number, total: number) => {
    if (context.signal.aborted) throw new RunInterrupted("Stopped; nothing was written.");
    line.update(() => `reading ${path}: ${done} of ${total} tensors`);
  };
  return modelDirectory(path, { onProgress }).finally(() => line.clear());
}

/** The model in a directory. @throws CheckpointError where it is neither a model's nor a run's */
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
      "Make a model with aha run or aha model init, or name one on the Hub as org/name.",
  );
}
