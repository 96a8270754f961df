/** A new model as a recipe describes it, in the Hugging Face layout that the engine can open. */

import type { Folder } from "../folder.ts";
import { writeModel } from "../model/checkpoint.ts";
import { decoderSwitches, newModelLayers } from "../model/families/registry.ts";
import { initializeParameters } from "../model/initialize.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { buildTokenizer } from "../tokenizer/build.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Recipe } from "./schema.ts";

type InitConfig = NonNullable<Recipe["model"]["init"]>;

/** Writes a new model with random weights, a pure function of (init, seed), and its tokenizer into `folder`. */
export async function writeInitialModel(folder: Folder, init: InitConfig, seed: number): Promise<void> {
  const tokenizer = buildTokenizer(init.tokenizer);
  const config = modelConfigOf(init, tokenizer);
  const scheme = { scheme: "scaled", embeddingStd: init.embeddingStd, gain: init.gain } as const;
  await tokenizer.save(folder);
  await writeModel(folder, config, initializeParameters(config, { seed, init: scheme }));
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
