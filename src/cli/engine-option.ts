/** `--device` and `--dtype`: of commands that take a model, and of those that take a recipe or a pipeline. */

import type { EngineSpec } from "../engine/engine-kind.ts";
import { engineSchema, LOCAL_ENGINE } from "../engine/open.ts";
import { ConfigError } from "../errors.ts";
import { FLOAT_DTYPES } from "../graph/tensor-type.ts";
import type { Recipe } from "../recipe/schema.ts";
import { checkOptions } from "../strict-schema.ts";
import { COMPUTE_OPTIONS } from "./parse-options.ts";

/** The embedded engine with the dtype of `COMPUTE_OPTIONS`. Throws ConfigError. */
export function engineOption({ dtype }: { dtype?: string | undefined }): EngineSpec {
  if (dtype === undefined) return LOCAL_ENGINE;
  if (FLOAT_DTYPES.some((known) => known === dtype)) return { ...LOCAL_ENGINE, dtype };
  throw new ConfigError(`--dtype must be one of ${FLOAT_DTYPES.join(", ")}, not ${JSON.stringify(dtype)}.`);
}

/** Options of commands that take a recipe or a pipeline, which say everything else about the engine themselves. */
export const RECIPE_ENGINE_OPTIONS = { device: COMPUTE_OPTIONS.device, dtype: COMPUTE_OPTIONS.dtype } as const;

/** Their part of a command's help, in a column of 20. */
export const RECIPE_ENGINE_HELP = `--device NAME     what it is computed on: cpu, webgpu, cuda; or auto, a GPU where there is one; short for
                    --set engine.device=NAME, of a pipeline --set defaults.engine.device=NAME
  --dtype NAME      what the layers compute in: float32, bfloat16 or float16; short for the same of dtype`;

type Values = { readonly [Name in keyof typeof RECIPE_ENGINE_OPTIONS]?: string | undefined };

function givenIn(values: Values): readonly (readonly [string, string])[] {
  return (["device", "dtype"] as const).flatMap((name) => {
    const value = values[name];
    return value === undefined ? [] : [[name, value] as const];
  });
}

/** The options as the overrides that they are short for. */
export function engineOverrides(values: Values, { isPipeline }: { readonly isPipeline: boolean }): string[] {
  const place = isPipeline ? "defaults.engine" : "engine";
  return givenIn(values).map(([name, value]) => `${place}.${name}=${value}`);
}

/** A recipe with the options, where it was made of another one that has no such keys. Throws ConfigError. */
export function withEngineOptions(recipe: Recipe, values: Values): Recipe {
  const given = givenIn(values);
  if (given.length === 0) return recipe;
  const spec = { ...recipe.engine, ...Object.fromEntries(given) };
  return { ...recipe, engine: checkOptions(engineSchema(), spec, "engine") };
}
