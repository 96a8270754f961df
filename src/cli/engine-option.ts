/**
 * What computes a model: `--engine`, `--device` and `--dtype` of commands that take a model, and of those that take a recipe or a
 * pipeline.
 */

import type { Compute } from "../compute/compute.ts";
import type { EngineSpec } from "../engine/engine-kind.ts";
import { engineSchema, engines, LOCAL_ENGINE } from "../engine/open.ts";
import { ConfigError } from "../errors.ts";
import { FLOAT_DTYPES } from "../graph/tensor-type.ts";
import type { Recipe } from "../recipe/schema.ts";
import { parseYaml } from "../recipe/yaml.ts";
import { checkOptions, isMapping } from "../strict-schema.ts";
import { COMPUTE_OPTIONS, computeOption } from "./parse-options.ts";

/** The option of the commands that can read a model that is elsewhere. */
export const ENGINE_OPTION = { engine: { type: "string", completes: () => engines.names } } as const;

/** Its part of a command's help, in a column of 25. */
export const ENGINE_HELP = `--engine SPEC          what computes it: local, or keys as in a recipe: '{kind: tinker, url: http://…, baseModel: NAME}';
                         of a run's directory the engine of its recipe, else local`;

/** The embedded engine with the dtype of `COMPUTE_OPTIONS`. Throws ConfigError. */
export function localEngineOption({ dtype }: { dtype?: string | undefined }): EngineSpec {
  if (dtype === undefined) return LOCAL_ENGINE;
  if (FLOAT_DTYPES.some((known) => known === dtype)) return { ...LOCAL_ENGINE, dtype };
  throw new ConfigError(`--dtype must be one of ${FLOAT_DTYPES.join(", ")}, not ${JSON.stringify(dtype)}.`);
}

/** The values that an engine is chosen by. */
export interface EngineValues {
  readonly engine?: string | undefined;
  readonly dtype?: string | undefined;
  readonly device?: string | undefined;
}

/**
 * The engine that `--engine` names, or else that of the run whose model it is, or else the embedded one.
 *
 * @throws ConfigError for an engine that there is not, keys that it does not have, and a device for one that is elsewhere
 */
export function engineOption(values: EngineValues, ofRun: EngineSpec | undefined): EngineSpec {
  const { engine: text, device } = values;
  // How a run was computed in this process is no property of its model.
  const isElsewhere = ofRun !== undefined && (ofRun.kind ?? LOCAL_ENGINE.kind) !== LOCAL_ENGINE.kind;
  const spec = text === undefined ? (isElsewhere ? ofRun : LOCAL_ENGINE) : parsedEngine(text);
  if (spec.kind === LOCAL_ENGINE.kind) return { ...spec, ...localEngineOption(values) };
  const given = device !== undefined ? "device" : values.dtype !== undefined ? "dtype" : undefined;
  if (given === undefined) return spec;
  throw new ConfigError(
    `--${given} is of the embedded engine, and this model is computed by ${spec.kind}: leave it out.`,
  );
}

/** What a model is computed with on this engine: `--device` and `--threads`, and where they are absent the engine's own keys. */
export function computeOfEngine(
  spec: EngineSpec,
  { device, threads }: { readonly device?: string | undefined; readonly threads?: string | undefined },
): Compute {
  return computeOption({
    device: device ?? engines.get(spec.kind).deviceOf?.(spec),
    threads: threads ?? spec.threads?.toString(),
  });
}

/** `local`, `tinker`, or keys as in a recipe, checked. Throws ConfigError. */
function parsedEngine(text: string): EngineSpec {
  return checkOptions(engineSchema(), askedEngine(text), "--engine");
}

/** A name of an engine, or keys of one as in a recipe. Throws ConfigError. */
export function askedEngine(text: string): { readonly kind: string } & Readonly<Record<string, unknown>> {
  const value = parseYaml(text, "--engine");
  const asked = typeof value === "string" ? { kind: value } : value;
  if (isMapping(asked) && typeof asked.kind === "string") return { ...asked, kind: engines.get(asked.kind).name };
  throw new ConfigError(
    `--engine takes a name or keys as in a recipe, {kind: tinker, url: …, baseModel: …}, not ${JSON.stringify(text)}.`,
  );
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
