/**
 * A checkpoint in the Hugging Face layout as one GGUF file that llama.cpp runs.
 *
 * Config, tokenizer and every tensor's shape are checked before the file is begun, the file appears whole or not at all,
 * and weights pass through memory a piece of a tensor at a time: the largest model costs no more than the smallest.
 */

import type { Folder } from "../../folder.ts";
import { readTokenizerFiles } from "../../tokenizer/tokenizer-files.ts";
import { checkTiedHead, type OpenCheckpoint, openCheckpointIn } from "../checkpoint.ts";
import { ggufArchitecture } from "../families/registry.ts";
import { type GgufProgress, tensorBytes, writeGguf } from "./format.ts";
import { ggufContextTokens, modelMetadata } from "./metadata.ts";
import { readModelCard } from "./model-card.ts";
import type { TensorFormat } from "./number-formats.ts";
import { ROPE_FACTORS, ropeFactors } from "./rope.ts";
import { vectorTensor, weightTensors } from "./tensors.ts";
import { type TokenizerMetadata, tokenIdMetadata, tokenizerMetadata } from "./tokenizer.ts";

export interface GgufExportOptions {
  /** `general.name`, by which llama.cpp shows the model. */
  readonly name: string;
  /** Of the matrices; by default that of the checkpoint, f32 where it has several. */
  readonly format?: TensorFormat;
  /** False writes the tokens' ids in place of the tokenizer; true by default. */
  readonly withTokenizer?: boolean;
  readonly onProgress?: GgufProgress;
}

export interface GgufExport {
  readonly format: TensorFormat;
  readonly tensorCount: number;
  /** Of all tensors; the file has a header on top. */
  readonly tensorBytes: number;
  readonly tokenizer: TokenizerMetadata["kind"];
  /** What a user should know: sentences without a full stop. */
  readonly notes: readonly string[];
}

/**
 * Writes the model in `folder` to the file `name` of the folder `into`, which is replaced where it is there. Throws CheckpointError for
 * files that are no model, a model or tokenizer that GGUF cannot express, and weights that the format cannot hold.
 */
export async function exportGgufFrom(
  folder: Folder,
  into: Folder,
  name: string,
  options: GgufExportOptions,
): Promise<GgufExport> {
  const checkpoint = await openCheckpointIn(folder);
  try {
    const { config } = checkpoint;
    const format = options.format ?? storedFormatOf(checkpoint);
    const tokenizer = await readTokenizer(folder, checkpoint, options.withTokenizer ?? true);
    const card = await readModelCard(folder);
    const metadata = new Map([...modelMetadata(config, { name: options.name, format, card }), ...tokenizer.metadata]);
    const factors = ropeFactors(config);
    const tensors = [
      ...(factors === undefined ? [] : [vectorTensor(ROPE_FACTORS, factors)]),
      ...weightTensors(checkpoint, format),
    ];
    await checkTiedHead(checkpoint);
    await writeGguf(into, name, metadata, tensors, options.onProgress);
    const otherwise = tensors.filter((tensor) => tensor.shape.length > 1 && tensor.format !== format);
    const notes = [...tokenizer.notes];
    if (ggufContextTokens(config) < config.maxContextTokens) {
      notes.push(
        `llama.cpp's ${ggufArchitecture(config.architecture).name} has no sliding window: the file's context is the window's ` +
          `${config.slidingWindow} tokens, up to which nothing differs`,
      );
    }
    if (otherwise.length > 0) {
      notes.push(`${otherwise.length} matrices are ${otherwise[0]!.format}: their rows are no multiple of 32 numbers`);
    }
    return {
      format,
      tensorCount: tensors.length,
      tensorBytes: tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0),
      tokenizer: tokenizer.kind,
      notes,
    };
  } finally {
    await checkpoint.close();
  }
}

/** The number format of all of the checkpoint's tensors; f32, which holds every other, where there are several. */
function storedFormatOf({ fileOf }: OpenCheckpoint): TensorFormat {
  const dtypes = new Set([...fileOf].map(([name, file]) => file.entries.get(name)!.dtype));
  const [dtype] = dtypes;
  if (dtypes.size !== 1) return "f32";
  return dtype === "F16" ? "f16" : dtype === "BF16" ? "bf16" : "f32";
}

async function readTokenizer(folder: Folder, { config }: OpenCheckpoint, wanted: boolean): Promise<TokenizerMetadata> {
  if (!wanted) return tokenIdMetadata(config);
  if (!(await folder.names()).includes("tokenizer.json")) {
    const { kind, metadata, notes } = tokenIdMetadata(config);
    return {
      kind,
      metadata,
      notes: [`${folder.path} has no tokenizer.json: tokens are written as their ids`, ...notes],
    };
  }
  return tokenizerMetadata(await readTokenizerFiles(folder), config, folder.path);
}
