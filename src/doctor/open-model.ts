/**
 * The model of a recipe, as far as this machine has it. Nothing is downloaded: a name on the Hub is looked up in the cache,
 * and where it is not there its shape may be known by name (`known-models.ts`).
 */

import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { diskFolder } from "../disk-folder.ts";
import { LOCAL_ENGINE, readsWeights } from "../engine/open.ts";
import { ConfigError, HubError } from "../errors.ts";
import { hubReferenceOf, MODEL_TEXT_FILES, resolveModel } from "../hub/resolve.ts";
import { modelDirectory } from "../model/gguf/model-directory.ts";
import { readModelConfig } from "../model/hf-config.ts";
import { modelSize } from "../model/memory.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { inspectModel } from "../model/on-disk.ts";
import { modelConfigOf, writeInitialModel } from "../recipe/model.ts";
import type { Recipe } from "../recipe/schema.ts";
import { buildTokenizer } from "../tokenizer/build.ts";
import { loadTokenizer } from "../tokenizer/on-disk.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { ModelFigures } from "./diagnosis.ts";
import { knownModel } from "./known-models.ts";
import { trainableParameters } from "./memory-estimate.ts";

/** What is known of the model. */
export interface ExaminedModel {
  readonly figures: ModelFigures;
  readonly config: ModelConfig | undefined;
  readonly tokenizer: Tokenizer | undefined;
  /** Does `work` with a directory of the model; one that is made for it is gone afterwards. */
  readonly inDirectory: (<T>(work: (directory: string) => Promise<T>) => Promise<T>) | undefined;
}

/**
 * Finds the model.
 *
 * @throws ConfigError, CheckpointError for a directory that is not there or is no model
 */
export async function openExaminedModel(recipe: Recipe): Promise<ExaminedModel> {
  const { init, path } = recipe.model;
  if (init) {
    const tokenizer = buildTokenizer(init.tokenizer);
    const config = modelConfigOf(init, tokenizer);
    return {
      ...{ config, tokenizer, figures: figuresOf("random weights", config, recipe, true) },
      inDirectory: (work) =>
        inTemporaryFolder(async (directory) => {
          await writeInitialModel(diskFolder(directory), init, recipe.seed);
          return work(directory);
        }),
    };
  }
  const isHere = readsWeights(recipe.engine ?? LOCAL_ENGINE);
  const directory = await directoryOf(path!, isHere);
  if (directory === undefined) {
    const config = knownModel(path!);
    return { figures: figuresOf(path!, config, recipe, false), config, tokenizer: undefined, inDirectory: undefined };
  }
  const { config } = isHere ? await inspectModel(directory) : { config: await readModelConfig(diskFolder(directory)) };
  return {
    figures: figuresOf(path!, config, recipe, true),
    config,
    tokenizer: await loadTokenizer(directory, recipe.model),
    inDirectory: (work) => work(directory),
  };
}

/**
 * The model of a pipeline's stage that begins with what another stage makes: the shape and the tokenizer of `base`, which
 * that one descends from. There are no weights to look at yet.
 */
export function descendedModel(base: ExaminedModel, maker: string, recipe: Recipe): ExaminedModel {
  const { config, tokenizer } = base;
  const figures = figuresOf(
    `the model of ${maker} (from ${base.figures.source})`,
    config,
    recipe,
    base.figures.available,
  );
  return { config, tokenizer, inDirectory: undefined, figures: { ...figures, weights: "pretrained" } };
}

/** undefined: a name on the Hub that is not in the cache. */
async function directoryOf(path: string, weights: boolean): Promise<string | undefined> {
  if (hubReferenceOf(path, "model") === undefined) {
    if (!existsSync(path)) throw new ConfigError(`model.path: ${path} does not exist.`);
    return modelDirectory(path);
  }
  try {
    return (await resolveModel(path, { offline: true, ...(!weights && { include: MODEL_TEXT_FILES }) })).path;
  } catch (error) {
    if (error instanceof HubError) return undefined;
    throw error;
  }
}

function figuresOf(source: string, config: ModelConfig | undefined, recipe: Recipe, available: boolean): ModelFigures {
  return {
    ...{ source, available },
    parameters: config ? modelSize(config).parameterCount : null,
    trainableParameters: config ? trainableParameters(config, recipe) : null,
    contextTokens: config?.maxContextTokens ?? null,
    weights: recipe.model.init ? "random" : "pretrained",
    adapter: recipe.model.lora !== undefined || recipe.model.adapter !== undefined,
  };
}

async function inTemporaryFolder<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "aha-doctor-"));
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
