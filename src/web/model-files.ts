/** The model as files: what a run begins with, what one downloads, and what one drops on the page. */

import { unzipSync, zipSync } from "fflate";
import { AhaError, CheckpointError } from "../errors.ts";
import { type Folder, MemoryFolder, openedFile, readFully } from "../folder.ts";
import { readModel } from "../model/checkpoint.ts";
import { readModelConfig } from "../model/hf-config.ts";
import { WEIGHTS_FILE } from "../model/weight-files.ts";
import { modelConfigOf, writeInitialModel } from "../recipe/model.ts";
import type { Recipe } from "../recipe/schema.ts";
import { buildTokenizer } from "../tokenizer/build.ts";
import type { DroppedFile } from "./protocol.ts";

const CONFIG_FILE = "config.json";
const TOKENIZER_FILE = "tokenizer.json";

/** The most bytes that are read of what is dropped: forty times the tab's model. */
const MOST_BYTES = 2 ** 26;

/** A checkpoint that is sound, and of another model than the tab's. */
export class ForeignCheckpointError extends AhaError {
  override name = "ForeignCheckpointError";
}

/** Writes the recipe's model into a folder: with these weights, a safetensors file, or with random ones. */
export async function writeModelWith(folder: Folder, { model, seed }: Recipe, weights?: Uint8Array): Promise<void> {
  await writeInitialModel(folder, model.init!, seed);
  if (weights) await writeWeights(folder, weights);
}

/** Writes a safetensors file as a folder's weights. */
export function writeWeights(folder: Folder, weights: Uint8Array): Promise<void> {
  return folder.write(WEIGHTS_FILE, (sink) => sink.write(weights));
}

/** What `writeWeights` wrote. Throws CheckpointError where it cannot be read. */
export function readWeights(folder: Folder): Promise<Uint8Array> {
  return openedFile(folder, WEIGHTS_FILE, async (file) => {
    const weights = new Uint8Array(file.sizeBytes);
    const endsEarly = () => new CheckpointError(`${folder.pathOf(WEIGHTS_FILE)} ends before its size.`);
    await readFully(file, weights, 0, endsEarly);
    await file.close();
    return weights;
  });
}

/** The files of a folder in one zip, not compressed (weights do not shrink), all in a folder of this name. */
export function zipped(folder: MemoryFolder, name: string): Uint8Array<ArrayBuffer> {
  const files = [...folder.files].map(([file, bytes]) => [`${name}/${file}`, bytes] as const);
  // Times would make equal models unequal files.
  return zipSync(Object.fromEntries(files), { level: 0, mtime: new Date(1980, 0, 1) }) as Uint8Array<ArrayBuffer>;
}

/**
 * The weights of a dropped checkpoint as a safetensors file, once everything fits the recipe's model.
 *
 * @throws ForeignCheckpointError for another model; CheckpointError for files that are missing or damaged
 */
export async function droppedWeights(dropped: readonly DroppedFile[], recipe: Recipe): Promise<Uint8Array> {
  const folder = await droppedFolder(dropped);
  const { init } = recipe.model;
  const expected = modelConfigOf(init!, buildTokenizer(init!.tokenizer));
  const config = await readModelConfig(folder);
  for (const [key, what] of SHAPE_KEYS) {
    if (config[key] === expected[key]) continue;
    throw new ForeignCheckpointError(
      `This is a checkpoint of another model: ${what} ${String(config[key])}, where the model of this page has ` +
        `${String(expected[key])}. Drop one that this page, or the recipe ${recipe.name}, has made.`,
    );
  }
  await requireTokenizer(folder, recipe);
  const { values } = await readModel(folder);
  for (const [name, numbers] of values) {
    if (!numbers.every(Number.isFinite)) {
      throw new CheckpointError(`${name} in the dropped checkpoint has numbers that are none (NaN or infinite).`);
    }
  }
  return folder.files.get(WEIGHTS_FILE)!;
}

const SHAPE_KEYS = [
  ["architecture", "architecture"],
  ["vocabSize", "vocabulary"],
  ["hiddenSize", "hidden size"],
  ["intermediateSize", "intermediate size"],
  ["numLayers", "layers"],
  ["numHeads", "heads"],
  ["numKvHeads", "key-value heads"],
  ["headDim", "head size"],
  ["tieWordEmbeddings", "tied embeddings"],
] as const;

/** Another vocabulary of the same size would be another language. */
async function requireTokenizer(folder: MemoryFolder, { model, name }: Recipe): Promise<void> {
  const found = folder.files.get(TOKENIZER_FILE);
  if (found === undefined) return;
  const own = new MemoryFolder();
  await buildTokenizer(model.init!.tokenizer).save(own);
  const [text, expected] = [found, own.files.get(TOKENIZER_FILE)!].map((bytes) => new TextDecoder().decode(bytes));
  if (text === expected) return;
  throw new ForeignCheckpointError(
    `This is a checkpoint of another model: its ${TOKENIZER_FILE} is not that of ${name}. ` +
      "Drop one that this page, or that recipe, has made.",
  );
}

async function droppedFolder(dropped: readonly DroppedFile[]): Promise<MemoryFolder> {
  const total = dropped.reduce((sum, { blob }) => sum + blob.size, 0);
  if (total > MOST_BYTES) {
    throw new ForeignCheckpointError(
      `What was dropped has ${total} bytes; the model of this page has about a million. It is of another model.`,
    );
  }
  const [first] = dropped;
  const isZip = dropped.length === 1 && first!.path.toLowerCase().endsWith(".zip");
  const files = isZip
    ? unzipped(new Uint8Array(await first!.blob.arrayBuffer()))
    : await Promise.all(
        dropped.map(async ({ path, blob }) => [path, new Uint8Array(await blob.arrayBuffer())] as const),
      );
  const folder = new MemoryFolder("the dropped checkpoint");
  for (const [path, bytes] of files) folder.files.set(path.slice(path.lastIndexOf("/") + 1), bytes);
  for (const name of [CONFIG_FILE, WEIGHTS_FILE]) {
    if (folder.files.has(name)) continue;
    const found = [...folder.files.keys()].slice(0, 10).join(", ");
    throw new CheckpointError(
      `There is no ${name} in what was dropped (${found || "nothing"}). Drop a model in the Hugging Face layout: ` +
        `${CONFIG_FILE}, ${WEIGHTS_FILE} and its tokenizer's files, or the zip that this page has made.`,
    );
  }
  return folder;
}

/** In this thread: fflate's own ones begin from a blob, which the page's policy does not allow. */
function unzipped(bytes: Uint8Array): (readonly [string, Uint8Array])[] {
  let total = 0;
  const filter = ({ originalSize }: { readonly originalSize: number }) => {
    total += originalSize;
    return total <= MOST_BYTES;
  };
  try {
    return Object.entries(unzipSync(bytes, { filter }));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CheckpointError(`The zip that was dropped cannot be read: ${reason}.`);
  }
}
