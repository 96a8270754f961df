/** The model that a recipe starts from, as a directory in the Hugging Face layout that the engine can open. */

import { existsSync } from "node:fs";
import { ConfigError } from "../errors.ts";
import { resolveModel } from "../hub/resolve.ts";
import { saveModel } from "../model/checkpoint.ts";
import { decoderSwitches, newModelLayers } from "../model/families/registry.ts";
import { modelDirectory } from "../model/gguf/model-directory.ts";
import { initializeParameters } from "../model/initialize.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { buildTokenizer } from "../tokenizer/build.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Recipe } from "./schema.ts";

type InitConfig = NonNullable<Recipe["model"]["init"]>;

/** Writes a new model with random weights, a pure function of (init, seed), and its tokenizer into `directory`. */
export async function writeInitialModel(directory: string, init: InitConfig, seed: number): Promise<void> {
  const tokenizer = buildTokenizer(init.tokenizer);
  const config = modelConfigOf(init, tokenizer);
  const scheme = { scheme: "scaled", embeddingStd: init.embeddingStd, gain: init.gain } as const;
  await tokenizer.save(directory);
  await saveModel(directory, config, initializeParameters(config, { seed, init: scheme }));
}

/** The directory of `model.path`: itself, or the cached checkout of `org/name[@revision]`, downloaded where it is not. */
export async function modelDirectoryOf(path: string): Promise<string> {
  const { path: directory } = await resolveModel(path);
  if (!existsSync(directory)) throw new ConfigError(`model.path: ${directory} does not exist.`);
  return modelDirectory(directory);
}

/** The shape of a new model with this tokenizer. */
export function modelConfigOf(init: InitConfig, tokenizer: Tokenizer): ModelConfig {
  return {
    architecture: init.architecture,
    vocabSize: tokenizer.vocabSize,
    hiddenSize: init.hiddenSize,
    intermediateSize: init.intermediateSize,
    numLayers: init.numLayers,
    numHeads: init.numHeads,
    numKvHeads: init.numKvHeads,
    headDim: init.headDim,
    maxContextTokens: init.maxContextTokens,
    rmsNormEpsilon: init.rmsNormEpsilon,
    ropeTheta: init.ropeTheta,
    ropeScaling: null,
    tieWordEmbeddings: init.tieWordEmbeddings,
    ...decoderSwitches(init.architecture),
    ...newModelLayers(init.architecture, init),
    bosTokenId: null,
    eosTokenIds: tokenizer.eosTokenId === null ? [] : [tokenizer.eosTokenId],
    padTokenId: tokenizer.padTokenId,
    generationDefaults: {},
  };
}
