/**
 * What lies at the paths that stages name, as far as its kind can be told without opening it: a model, a reward model, an
 * adapter, or data. `references.ts` does the same for what stages make; here it is what there is already. So a path of the
 * wrong kind is refused before the first stage runs, not when the stage that names it is reached after hours.
 */

import { existsSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { z } from "zod";
import { ConfigError } from "../errors.ts";
import { readTextFile } from "../files.ts";
import { parseJson } from "../json-text.ts";
import type { NamedPath } from "../named-paths.ts";
import { outputPath, type ResolvedStage, workPaths } from "./load.ts";

const MAX_CONFIG_BYTES = 16 * 2 ** 20;

/** Of a model's config.json. */
const configSchema = z.looseObject({ architectures: z.array(z.string()).min(1) });

type Found = Exclude<NamedPath["kind"], "file">;

const WORDS: Readonly<Record<Found, string>> = {
  model: "a model (a folder with config.json and weights)",
  dataset: "a data set",
  rewardModel: "a reward model (*ForSequenceClassification)",
  adapter: "an adapter (a folder with adapter_config.json)",
};

const IS: Readonly<Record<Found, string>> = {
  model: "a language model",
  dataset: "a data set",
  rewardModel: "a reward model",
  adapter: "an adapter, not a whole model",
};

/**
 * Refuses paths of the wrong kind; `directory` is the run directory, whose stages' outputs are left out.
 *
 * @throws ConfigError naming every one
 */
export async function checkInputTypes(stages: readonly ResolvedStage[], directory: string): Promise<void> {
  const outputs = new Set(stages.map((stage) => outputPath(directory, stage)));
  const issues: string[] = [];
  for (const { name, work } of stages) {
    for (const { keys, path, kind: expected } of workPaths(work)) {
      if (expected === "file" || !isAbsolute(path) || outputs.has(path) || !existsSync(path)) continue;
      const found = await kindOf(path);
      if (found === undefined || found === expected) continue;
      const what = found === "dataset" ? "has no config.json" : `is ${IS[found]}`;
      issues.push(`${[name, ...keys].join(".")}: expected ${WORDS[expected]}, but ${path} ${what}.`);
    }
  }
  if (issues.length > 0)
    throw new ConfigError(`The pipeline cannot be run:\n${issues.map((issue) => `  ${issue}`).join("\n")}`);
}

/** A folder of data may have a config.json too; a model's names its architecture. undefined: it cannot be told. */
async function kindOf(path: string): Promise<Found | undefined> {
  if (!statSync(path).isDirectory()) return "dataset";
  const config = join(path, "config.json");
  if (!existsSync(config)) return existsSync(join(path, "adapter_config.json")) ? "adapter" : "dataset";
  const text = await readTextFile(config, { maxBytes: MAX_CONFIG_BYTES, error: ConfigError });
  const parsed = configSchema.safeParse(parseJson(text, config, ConfigError));
  if (!parsed.success) return undefined;
  return parsed.data.architectures[0]!.endsWith("ForSequenceClassification") ? "rewardModel" : "model";
}
