/**
 * The model of a command that reads one: where its files are, and which engine computes it. Where that is not this process,
 * tokenizer and configuration come from here and the weights stay where they are.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { EngineSpec, PolicySource } from "../engine/engine-kind.ts";
import { LOCAL_ENGINE } from "../engine/open.ts";
import { CheckpointError } from "../errors.ts";
import { hubReferenceOf } from "../hub/resolve.ts";
import { valueAt } from "../named-paths.ts";
import { modelDirectoryOf } from "../recipe/on-disk.ts";
import { readRecipeFile } from "../run/recipe-file.ts";
import { RUN_FILES } from "../run/run-store.ts";
import type { CommandContext } from "./command.ts";
import { type EngineValues, engineOption } from "./engine-option.ts";
import { openPolicy } from "./model-with-adapter.ts";

export interface ModelToRead {
  readonly engine: EngineSpec;
  readonly source: PolicySource;
  /** Directory with the model's configuration. */
  readonly modelDirectory: string;
  readonly tokenizerDirectory: string;
  /** The resolved recipe of the run, where a run's directory was named. */
  readonly recipePath: string | undefined;
}

/**
 * The model that `text` names (a directory, a run's, a name on the Hub), with the adapter that `values` name.
 *
 * @throws CheckpointError where it is nothing of the kind; ConfigError for an engine that does not go with it; HubError
 */
export async function modelToRead(
  text: string,
  values: EngineValues & { readonly adapter?: string | undefined },
  context: CommandContext,
): Promise<ModelToRead> {
  const recipePath = runRecipe(text);
  // Not the checked recipe: it may name what only the program that ran it knows.
  const recorded = recipePath === undefined ? undefined : readRecipeFile(recipePath);
  const engine = engineOption(values, valueAt(recorded, ["engine"]) as EngineSpec | undefined);
  if (engine.kind === LOCAL_ENGINE.kind) {
    const { adapter, ...found } = await openPolicy(text, values.adapter, context);
    return { ...found, engine, source: { path: found.modelDirectory, ...adapter } };
  }
  if (recipePath === undefined) {
    const directory = await modelDirectoryOf(text, { weights: false });
    const source = { path: directory, adapter: values.adapter };
    return { engine, source, modelDirectory: directory, tokenizerDirectory: directory, recipePath };
  }
  const trained = join(text, RUN_FILES.model);
  if (!existsSync(trained)) {
    throw new CheckpointError(
      `The run in ${text} has no ${RUN_FILES.model} yet: it is not complete. Continue it with aha run --resume.`,
    );
  }
  const path = valueAt(recorded, ["model", "path"]);
  const base =
    typeof path === "string" ? await modelDirectoryOf(path, { weights: false }) : join(text, RUN_FILES.initialModel);
  const source = { path: base, adapter: values.adapter ?? trained };
  return { engine, source, modelDirectory: base, tokenizerDirectory: trained, recipePath };
}

/** The recipe of the run in a directory; undefined where it is none. */
function runRecipe(text: string): string | undefined {
  if (hubReferenceOf(text, "model") !== undefined || existsSync(join(text, "config.json"))) return undefined;
  const path = join(text, RUN_FILES.recipe);
  return existsSync(path) ? path : undefined;
}
