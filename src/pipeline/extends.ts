/**
 * A pipeline's file as it was meant: what it `extends` below, its own keys above, laid over each other as a stage's
 * values are (`merge.ts`). So one pipeline is written once for models of several sizes. Stages are changed by a mapping of
 * their names, and `append` lists further ones:
 *
 *     extends: ./0.5b.yaml
 *     name: larger
 *     pipeline: { r1-zero: { with: { model: { path: Qwen/Qwen2.5-1.5B } } } }
 *     append: [{ name: student-on-policy, train: ./on-policy-distill.yaml }]
 */

import { dirname, resolve } from "node:path";
import { ConfigError } from "../errors.ts";
import { readTextFile } from "../files.ts";
import { MAX_RECIPE_BYTES, parseYaml } from "../recipe/yaml.ts";
import { isMapping, type Mapping } from "../strict-schema.ts";
import { mergeConfig } from "./merge.ts";

/** The keys of a file that say how it stands to the one below; none of them is left in what is read. */
const OWN_KEYS = ["extends", "append"] as const;

/**
 * The whole of a pipeline's file, not yet checked by a schema. Texts that begin with `./` or `../` are absolute, each from
 * the folder of the file in which it stands.
 *
 * @throws ConfigError where a file is none of a pipeline, extends itself, or changes a stage that there is not
 */
export async function readPipeline(path: string, extendedBy: readonly string[] = []): Promise<Mapping> {
  const file = resolve(path);
  const chain = [...extendedBy, file];
  if (extendedBy.includes(file)) throw new ConfigError(`${path}: extends itself: ${chain.join(", then ")}.`);
  const written = parseYaml(await readTextFile(path, { maxBytes: MAX_RECIPE_BYTES, error: ConfigError }), path);
  if (!isMapping(written)) throw new ConfigError(`${path}: a pipeline is a mapping of keys to values.`);
  if (!isPipeline(written)) {
    throw new ConfigError(`${path}: a pipeline has the key pipeline, a list of stages, or extends one that has it.`);
  }
  const own = anchored(written, dirname(file)) as Mapping;
  const { extends: below, append, ...keys } = own;
  if (below === undefined) {
    if (append !== undefined) throw new ConfigError(`${path}: append goes with extends; put its stages into pipeline.`);
    return own;
  }
  if (typeof below !== "string") {
    throw new ConfigError(`${path}: extends: expected the path of a pipeline's file, got ${JSON.stringify(below)}.`);
  }
  const merged = mergeConfig(await readPipeline(resolve(dirname(file), below), chain), keys, path);
  if (append === undefined) return merged;
  if (!Array.isArray(append) || !Array.isArray(merged.pipeline)) {
    throw new ConfigError(`${path}: append: expected a list of stages.`);
  }
  return { ...merged, pipeline: [...(merged.pipeline as unknown[]), ...(append as unknown[])] };
}

/** Whether the value of a file is a pipeline's, not a recipe's. */
export function isPipeline(value: unknown): boolean {
  return isMapping(value) && ("pipeline" in value || OWN_KEYS.some((key) => key in value));
}

/** Texts that begin with `./` or `../`, made absolute: what is merged comes from several folders. */
export function anchored(value: unknown, folder: string): unknown {
  if (typeof value === "string") return /^\.\.?\//.test(value) ? resolve(folder, value) : value;
  if (Array.isArray(value)) return value.map((item: unknown) => anchored(item, folder));
  if (!isMapping(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, anchored(inner, folder)]));
}
