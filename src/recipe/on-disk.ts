/** The model that a recipe names, on this machine's disk. */

import { existsSync } from "node:fs";
import { ConfigError } from "../errors.ts";
import { MODEL_TEXT_FILES, resolveModel } from "../hub/resolve.ts";
import { modelDirectory } from "../model/gguf/model-directory.ts";

/**
 * The directory of `model.path`: itself, or the cached checkout of `org/name[@revision]`, downloaded where it is not; without
 * its weights where nobody here reads them.
 */
export async function modelDirectoryOf(path: string, { weights }: { readonly weights: boolean }): Promise<string> {
  const { path: directory } = await resolveModel(path, weights ? {} : { include: MODEL_TEXT_FILES });
  if (!existsSync(directory)) throw new ConfigError(`model.path: ${directory} does not exist.`);
  return modelDirectory(directory);
}
