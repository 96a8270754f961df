/**
 * What lies at the paths that stages name, as far as its kind can be told without opening it: a model, a reward model, an
 * adapter, or data. `references.ts` does the same for what stages make; here it is what there is already. So a path of the
 * wrong kind is refused before the first stage runs, not when the stage that names it is reached after hours.
 */

import { existsSync, statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { z } from "zod";
import { ConfigError } from "../errors.ts";
import { parseJson, readTextFile } from "../files.ts";
import { rewardPaths } from "../rewards/spec.ts";
import { outputPath, type ResolvedStage } from "./load.ts";
import { isMapping } from "./merge.ts";
import { isOutputType, type OutputType } from "./references.ts";

const MAX_CONFIG_BYTES = 16 * 2 ** 20;

/** Of a model's config.json. */
const configSchema = z.looseObject({ architectures: z.array(z.string()).min(1) });

type Found = OutputType | "adapter";

const WORDS: Readonly<Record<OutputType, string>> = {
  model: "a model (a folder with config.json and weights)",
  dataset: "a data set",
  rewardModel: "a reward model (*ForSequenceClassification)",
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
    const places = placesIn(work.kind === "train" ? work.recipe : work.config);
    for (const { keys, path, expected } of places) {
      if (outputs.has(path) || !existsSync(path)) continue;
      const found = await kindOf(path);
      if (found === undefined || found === expected) continue;
      const what = found === "dataset" ? "has no config.json" : `is ${IS[found]}`;
      issues.push(`${[name, ...keys].join(".")}: expected ${WORDS[expected]}, but ${path} ${what}.`);
    }
  }
  if (issues.length > 0)
    throw new ConfigError(`The pipeline cannot be run:\n${issues.map((issue) => `  ${issue}`).join("\n")}`);
}

interface Place {
  readonly keys: readonly string[];
  readonly path: string;
  readonly expected: OutputType;
}

/** Keys whose mapping has a `path`, and of what. */
const EXPECTED: Readonly<Record<string, OutputType>> = {
  model: "model",
  teacher: "model",
  data: "dataset",
  general: "dataset",
};

/** Every absolute path in a configuration whose kind is told by where it stands. */
function placesIn(value: unknown, keys: readonly string[] = []): Place[] {
  if (Array.isArray(value)) return value.flatMap((item: unknown, i) => placesIn(item, [...keys, String(i)]));
  if (!isMapping(value)) return [];
  const { path, name, reward, options } = value;
  const own = EXPECTED[keys.findLast((key) => !/^\d+$/.test(key)) ?? ""];
  const found: Place[] = [];
  if (own !== undefined && typeof path === "string" && isAbsolute(path)) found.push({ keys, path, expected: own });
  const named = reward ?? name;
  if (typeof named === "string" && isMapping(options)) {
    for (const { keys: own, path: at, kind } of rewardPaths({ name: named, options }, "name")) {
      if (isOutputType(kind)) found.push({ keys: [...keys, ...own.map(String)], path: at, expected: kind });
    }
  }
  return [...found, ...Object.entries(value).flatMap(([key, inner]) => placesIn(inner, [...keys, key]))];
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
