/** `--generation-config`: whether the model's own defaults of sampling count, for the commands that sample as a user asks. */

import { join } from "node:path";
import { diskFolder } from "../disk-folder.ts";
import { ConfigError } from "../errors.ts";
import { readModelConfig } from "../model/hf-config.ts";
import { type GenerationDefaults, generationDefaultsOf } from "../serve/sampling-defaults.ts";

/** The option of the commands that call `generationDefaults`. */
export const GENERATION_CONFIG_OPTION = {
  "generation-config": { type: "string", default: "auto", completes: () => ["auto", "none"] },
} as const;

/** What their help says of it. */
export const GENERATION_CONFIG_HELP =
  "--generation-config auto|none  how to sample where nothing else says: by the model's generation_config.json, or neutrally";

/** The model's own defaults; none where they are turned off. Throws ConfigError, CheckpointError. */
export async function generationDefaults(
  modelDirectory: string,
  { "generation-config": choice }: { readonly "generation-config": string },
): Promise<GenerationDefaults> {
  if (choice === "none") return {};
  if (choice !== "auto")
    throw new ConfigError(`--generation-config must be auto or none, not ${JSON.stringify(choice)}.`);
  const config = await readModelConfig(diskFolder(modelDirectory));
  return generationDefaultsOf(config.generationDefaults, join(modelDirectory, "generation_config.json"));
}
