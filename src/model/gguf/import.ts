/**
 * A GGUF file as a model in the Hugging Face layout: the inverse of `export.ts`.
 *
 * Config, tokenizer and every tensor's shape are checked before anything is written. Weights pass through memory one tensor
 * at a time. Quantised weights become the numbers that they stand for, which is what llama.cpp computes with, up to the
 * rounding of its own kernels; they are not those of the model before it was quantised.
 */

import { CheckpointError } from "../../errors.ts";
import type { Folder } from "../../folder.ts";
import { type TokenizerFiles, writeTokenizerFiles } from "../../tokenizer/tokenizer-files.ts";
import { type SaveOptions, writeModelFrom } from "../checkpoint.ts";
import type { SaveDtype } from "../hf-config.ts";
import type { ModelConfig } from "../model-config.ts";
import { elementCount, type ParameterSpec, parameterSpecs } from "../parameters.ts";
import { GgufFile } from "./gguf-file.ts";
import { importedConfig } from "./import-config.ts";
import { importedTokenizer } from "./import-tokenizer.ts";
import { ROPE_FACTORS } from "./rope.ts";
import { ggufTensorName, isInterleaved, separateHeads, shiftNorm } from "./tensors.ts";

/** The result of an import. */
export interface GgufImport {
  readonly config: ModelConfig;
  /** Number format that was written. */
  readonly dtype: SaveDtype;
  /** Formats of the file's matrices, the most frequent first. */
  readonly formats: readonly string[];
  readonly hasTokenizer: boolean;
}

export interface GgufImportOptions extends Pick<SaveOptions, "dtype" | "maxShardBytes"> {
  /** Called before each tensor, with how many have been written. An error that it throws ends the import. */
  readonly onProgress?: (done: number, total: number) => void;
}

/** A GGUF file whose model is understood; close it after use. */
export interface OpenGguf {
  readonly file: GgufFile;
  readonly config: ModelConfig;
  /** None where the file's tokens are ids. */
  readonly tokenizer: TokenizerFiles | undefined;
}

/** Opens the file and checks all of it but the weights' values. Throws CheckpointError. */
async function openGgufIn(folder: Folder, name: string): Promise<OpenGguf> {
  const file = await GgufFile.open(folder, name);
  try {
    const config = await importedConfig(file);
    checkTensors(file, config);
    return { file, config, tokenizer: importedTokenizer(file) };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Writes the model of a file into the folder `into`: config, weights, tokenizer and chat template. By
 * default in float32, which holds what every format stands for exactly.
 *
 * @throws CheckpointError for a file that is damaged, or a model, number format or tokenizer that Aha does not have.
 */
export async function importGgufFrom(
  folder: Folder,
  name: string,
  into: Folder,
  options: GgufImportOptions = {},
): Promise<GgufImport> {
  const { file, config, tokenizer } = await openGgufIn(folder, name);
  try {
    const formats = formatsOf(file);
    const { dtype = "float32" } = options;
    if (tokenizer !== undefined) await writeTokenizerFiles(into, tokenizer);
    const total = parameterSpecs(config).length;
    let done = 0;
    const parameterValue = (parameter: ParameterSpec) => {
      options.onProgress?.(done++, total);
      return readParameter(file, config, parameter);
    };
    await writeModelFrom(into, config, parameterValue, { ...options, dtype });
    return { config, dtype, formats, hasTokenizer: tokenizer !== undefined };
  } finally {
    await file.close();
  }
}

/** Whether a path names a GGUF file, by its ending. */
export function isGgufPath(path: string): boolean {
  return /\.gguf[\\/]*$/i.test(path);
}

/** A parameter's numbers in the orientation and order of Hugging Face's checkpoints. */
async function readParameter(file: GgufFile, config: ModelConfig, parameter: ParameterSpec): Promise<Float32Array> {
  const { name, shape } = parameter;
  const values = new Float32Array(elementCount(shape));
  await file.readElements(ggufTensorName(name), 0, values);
  shiftNorm(config, name, values, -1);
  const columns = shape.length < 2 ? 1 : shape.at(-1)!;
  return isInterleaved(config, name) ? separateHeads(values, config.headDim, columns) : values;
}

/** Compares the file's tensors with what the config demands. */
function checkTensors(file: GgufFile, config: ModelConfig): void {
  const expected = new Map(parameterSpecs(config).map(({ name, shape }) => [ggufTensorName(name), shape]));
  const problems: string[] = [];
  for (const [name, shape] of expected) {
    const found = file.tensors.get(name)?.shape;
    if (found === undefined) problems.push(`${name} is missing`);
    else if (found.join() !== shape.join()) {
      problems.push(`${name}: expected shape [${shape.join(", ")}], found [${found.join(", ")}]`);
    }
  }
  for (const name of file.tensors.keys()) {
    if (!expected.has(name) && name !== ROPE_FACTORS) problems.push(`${name} is not a tensor of this model`);
  }
  if (problems.length === 0) return;
  const more = problems.length > 5 ? `; and ${problems.length - 5} more` : "";
  throw new CheckpointError(
    `The tensors in ${file.path} are not those of a ${config.architecture} of its metadata: ` +
      `${problems.slice(0, 5).join("; ")}${more}.`,
  );
}

function formatsOf(file: GgufFile): string[] {
  const counts = new Map<string, number>();
  for (const { format, shape } of file.tensors.values()) {
    if (shape.length > 1) counts.set(format.name, (counts.get(format.name) ?? 0) + 1);
  }
  return [...counts].sort(([, a], [, b]) => b - a).map(([name]) => name);
}
