/**
 * A model in a folder, in the layout of Hugging Face: `config.json`, `generation_config.json` and `model.safetensors` (or
 * its shards with `model.safetensors.index.json`).
 *
 * A checkpoint is compared with what its config demands before any memory is taken (`checkpoint-tensors.ts`). Tensors are
 * read and written one at a time. Optimizer
 * moments and everything else that a resume needs are the engine's; the tokenizer's files are the tokenizer's.
 */

import { CheckpointError } from "../errors.ts";
import { type Folder, writeJson } from "../folder.ts";
import { unpackBitsandbytes } from "./bitsandbytes.ts";
import { EMBEDDING, HEAD, matchTensors } from "./checkpoint-tensors.ts";
import { generationConfigOf, hfConfigOf, readModelConfig, type SaveDtype } from "./hf-config.ts";
import type { ModelConfig, ModelHead } from "./model-config.ts";
import { elementCount, type ParameterSpec, type ParameterValues, parameterSpecs } from "./parameters.ts";
import { type FloatDtype, SafetensorsFile, type TensorFile } from "./safetensors.ts";
import { findWeightFiles, writeWeightFiles } from "./weight-files.ts";

/** A stored head is compared with the embedding in parts of about so many elements. */
const COMPARED_ELEMENTS = 2 ** 22;

/** Safetensors' names of the number formats. */
const STORED_AS: Readonly<Record<SaveDtype, FloatDtype>> = { float32: "F32", bfloat16: "BF16", float16: "F16" };

/** Takes memory for so many f32 numbers; its content does not matter. */
export type Allocate = (elements: number) => Float32Array;

const allocateOnHeap: Allocate = (elements) => new Float32Array(elements);

export interface LoadedModel {
  readonly config: ModelConfig;
  readonly values: ParameterValues;
}

/** Which file holds each tensor, all of them open; the config's demands are met. Close it after use. */
export interface OpenCheckpoint {
  readonly config: ModelConfig;
  /** By the tensors' names; those that are passed over are not among them. */
  readonly fileOf: ReadonlyMap<string, TensorFile>;
  /** Tensors that are passed over (`checkpoint-tensors.ts`). */
  readonly ignored: readonly string[];
  readonly close: () => Promise<void>;
}

/**
 * The model in `folder`, its weights as f32 in memory from `allocate` (the heap by default). Throws CheckpointError
 * where files are missing or damaged, or hold another model than config.json describes.
 */
export async function readModel(folder: Folder, options: { allocate?: Allocate } = {}): Promise<LoadedModel> {
  const allocate = options.allocate ?? allocateOnHeap;
  const checkpoint = await openCheckpointIn(folder);
  try {
    const { config, fileOf } = checkpoint;
    const values: ParameterValues = new Map();
    for (const { name, shape, checkpointName } of parameterSpecs(config)) {
      const value = allocate(elementCount(shape));
      await fileOf.get(checkpointName)!.readInto(checkpointName, value);
      values.set(name, value);
    }
    await checkTiedHead(checkpoint);
    return { config, values };
  } finally {
    await checkpoint.close();
  }
}

/** What a checkpoint is, without reading its weights: every check of `readModel` but that of their values. */
export async function inspectModelIn(folder: Folder): Promise<{
  config: ModelConfig;
  storedBytes: number;
  dtypes: string[];
  fileCount: number;
  /** Tensors that are passed over. */
  ignored: readonly string[];
}> {
  const { config, fileOf, ignored, close } = await openCheckpointIn(folder);
  const entries = [...fileOf].map(([name, file]) => file.entries.get(name)!);
  await close();
  return {
    config,
    storedBytes: entries.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    dtypes: [...new Set(entries.map(({ dtype, packedAs }) => packedAs ?? dtype))],
    fileCount: new Set([...fileOf.values()].map(({ path }) => path)).size,
    ignored,
  };
}

/** How weights are written. */
export interface SaveOptions {
  /** float32 by default: what was trained, to the bit. The others take half the space
   *  and round: bfloat16 to 8 bits of precision, float16 to 11, where its range (65504) suffices. */
  readonly dtype?: SaveDtype;
  /** Weights beyond this are cut into several files; 5 GB by default. */
  readonly maxShardBytes?: number;
  /** What stands on the decoder; next-token logits by default. */
  readonly head?: ModelHead;
}

/**
 * Writes the model into a folder, each file whole, `config.json` last: a folder that has one is complete. transformers loads it with the same numbers. Throws CheckpointError where `values` are not those of `config`.
 */
export async function writeModel(
  folder: Folder,
  config: ModelConfig,
  values: ReadonlyMap<string, Float32Array>,
  options: SaveOptions = {},
): Promise<void> {
  for (const { name, shape } of parameterSpecs(config, options.head)) {
    const value = values.get(name);
    if (value === undefined) throw new CheckpointError(`Cannot save: the model has no parameter ${name}.`);
    if (value.length !== elementCount(shape)) {
      throw new CheckpointError(
        `Cannot save: ${name} has ${value.length} elements, expected ${elementCount(shape)} ([${shape.join(", ")}]).`,
      );
    }
  }
  await writeModelFrom(folder, config, ({ name }) => values.get(name)!, options);
}

/** `writeModel` for weights that are not all in memory: `parameterValue` is asked for one parameter after another. */
export async function writeModelFrom(
  folder: Folder,
  config: ModelConfig,
  parameterValue: (parameter: ParameterSpec) => Float32Array | Promise<Float32Array>,
  options: SaveOptions = {},
): Promise<void> {
  const { dtype = "float32", head = "tokens" } = options;
  const hfConfig = hfConfigOf(config, dtype, head);
  const tensors = parameterSpecs(config, head).map((parameter) => ({
    name: parameter.checkpointName,
    shape: parameter.shape,
    data: () => parameterValue(parameter),
  }));
  await writeWeightFiles(folder, tensors, STORED_AS[dtype], options.maxShardBytes);
  if (head === "tokens") await writeJson(folder, "generation_config.json", generationConfigOf(config));
  await writeJson(folder, "config.json", hfConfig);
}

/** Opens a model's files and compares them with its config; reads no weights. Throws CheckpointError. */
export async function openCheckpointIn(folder: Folder, head: ModelHead = "tokens"): Promise<OpenCheckpoint> {
  const config = await readModelConfig(folder, head);
  const files: SafetensorsFile[] = [];
  const close = async () => {
    await Promise.all(files.map((file) => file.close()));
  };
  try {
    const fileOf = new Map<string, TensorFile>();
    const { names, fileNameOf } = await findWeightFiles(folder);
    for (const name of names) {
      const file = await SafetensorsFile.open(folder, name);
      files.push(file);
      for (const tensor of file.entries.keys()) {
        if (fileOf.has(tensor)) throw new CheckpointError(`${folder.path}: ${tensor} is in two files.`);
        fileOf.set(tensor, file);
      }
    }
    for (const [tensor, name] of fileNameOf) {
      if (fileOf.get(tensor)?.path === folder.pathOf(name)) continue;
      throw new CheckpointError(
        `${folder.path}: the index says that ${tensor} is in ${name}, and it is not. Fetch the model again.`,
      );
    }
    await unpackBitsandbytes(fileOf, files);
    const ignored = matchTensors(folder.path, config, head, fileOf);
    for (const name of ignored) fileOf.delete(name);
    return { config, fileOf, ignored, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * The config says that the head is tied, but the file has another head. transformers would untie it; Aha refuses,
 * because it is not clear which is meant.
 */
export async function checkTiedHead({ config, fileOf }: OpenCheckpoint): Promise<void> {
  const file = fileOf.get(HEAD);
  if (!config.tieWordEmbeddings || file === undefined) return;
  const rows = Math.max(1, Math.floor(COMPARED_ELEMENTS / config.hiddenSize));
  for (let row = 0; row < config.vocabSize; row += rows) {
    const length = Math.min(rows, config.vocabSize - row) * config.hiddenSize;
    const [head, embedding] = [new Float32Array(length), new Float32Array(length)];
    await file.readElements(HEAD, row * config.hiddenSize, head);
    await fileOf.get(EMBEDDING)!.readElements(EMBEDDING, row * config.hiddenSize, embedding);
    if (head.every((value, i) => Object.is(value, embedding[i]))) continue;
    throw new CheckpointError(
      `${file.path}: config.json has tie_word_embeddings = true, but ${HEAD} differs from ${EMBEDDING}. ` +
        "Set tie_word_embeddings to false to use both, or remove the head from the file.",
    );
  }
}
