/**
 * Which files hold a checkpoint's weights: one `model.safetensors`, or shards named by `model.safetensors.index.json`.
 *
 * The layout is transformers': tensors in order, a new shard where the next one would pass the limit, a tensor that is
 * larger than the limit in a shard of its own. Where both forms are in a directory the single file counts, as there.
 */

import { z } from "zod";
import { CheckpointError } from "../errors.ts";
import { type Folder, writeJson } from "../folder.ts";
import { parseJson } from "../json-text.ts";
import { elementCount } from "./parameters.ts";
import { DTYPE_BYTES, type FloatDtype, type TensorSource, writeSafetensors } from "./safetensors.ts";

/** All weights in one file. */
export const WEIGHTS_FILE = "model.safetensors";
const INDEX_FILE = "model.safetensors.index.json";
const MAX_INDEX_BYTES = 64 * 2 ** 20;
/** transformers 4's limit; in decimal units, as there. */
const MAX_SHARD_BYTES = 5e9;

/** The weight files in a folder. Throws CheckpointError where there are none, or the index makes no sense. */
export async function findWeightFiles(folder: Folder): Promise<{
  names: readonly string[];
  /** Of each tensor, where an index says it. */
  fileNameOf: ReadonlyMap<string, string>;
}> {
  const present = await folder.names();
  if (present.includes(WEIGHTS_FILE)) return { names: [WEIGHTS_FILE], fileNameOf: new Map() };
  const indexPath = folder.pathOf(INDEX_FILE);
  const text = await folder.readText(INDEX_FILE, { maxBytes: MAX_INDEX_BYTES, error: CheckpointError });
  if (text === undefined) {
    throw new CheckpointError(
      `${folder.path} has neither ${WEIGHTS_FILE} nor ${INDEX_FILE}. Expected a model in the Hugging Face layout` +
        `${otherWeights(present)}.`,
    );
  }
  const index = z
    .looseObject({ weight_map: z.record(z.string(), z.string()) })
    .safeParse(parseJson(text, indexPath, CheckpointError));
  if (!index.success) throw new CheckpointError(`${indexPath} has no weight_map from tensor names to file names.`);
  const fileNameOf = new Map(Object.entries(index.data.weight_map));
  const names = [...new Set(fileNameOf.values())];
  // The index may come from anywhere: a shard's name must not lead out of the directory.
  const strange = names.find((name) => /[\\/]/.test(name) || !name.endsWith(".safetensors"));
  if (strange !== undefined) {
    throw new CheckpointError(`${indexPath} names ${JSON.stringify(strange)}, which is no safetensors file beside it.`);
  }
  const missing = names.filter((name) => !present.includes(name));
  if (missing.length > 0) {
    throw new CheckpointError(
      `${folder.path} lacks ${missing.length} of the ${names.length} weight files that ${INDEX_FILE} names: ` +
        `${missing.slice(0, 3).join(", ")}${missing.length > 3 ? ", …" : ""}. Fetch the model again.`,
    );
  }
  return { names, fileNameOf };
}

/** Weights in other forms by the names of their files, and what to do with each. */
const OTHER_WEIGHTS: readonly (readonly [name: RegExp, advice: string])[] = [
  [/^model-\d{5}-of-\d{5}\.safetensors$/, `is a shard whose index is missing. Fetch ${INDEX_FILE} too`],
  [/^adapter_model\.(?:safetensors|bin)$/, "is an adapter's. Name its base, and this with --adapter"],
  [
    /^(?:pytorch_model.*|model|consolidated.*)\.(?:bin|pt|pth)$/,
    "is a pickle, which can run code and is not read. Load it with transformers and save it with save_pretrained",
  ],
  [
    /^consolidated.*\.safetensors$/,
    "is in Mistral's own layout. Take the files model*.safetensors of the same repository",
  ],
  [/^model\.[\w-]+\.safetensors$/, `is a variant. Rename it to ${WEIGHTS_FILE}`],
  [/\.gguf$/, "is a GGUF file. Name that file itself, in place of the directory"],
  [
    /^(?:tf_model\.h5|flax_model\.msgpack|.*\.onnx)$/,
    "is of another framework. Load it with transformers and save it with save_pretrained",
  ],
];

function otherWeights(present: readonly string[]): string {
  const names = [...present].sort();
  for (const [pattern, advice] of OTHER_WEIGHTS) {
    const found = names.find((name) => pattern.test(name));
    if (found !== undefined) return `; ${found} ${advice}`;
  }
  return "";
}

/**
 * Writes the tensors into a folder: one file, or shards of at most `maxShardBytes` and their index. Weight
 * files of an earlier checkpoint there are removed afterwards, so that the folder has one form only.
 */
export async function writeWeightFiles(
  folder: Folder,
  tensors: readonly TensorSource[],
  dtype: FloatDtype,
  maxShardBytes = MAX_SHARD_BYTES,
): Promise<void> {
  const sizeBytes = ({ shape }: TensorSource) => elementCount(shape) * DTYPE_BYTES[dtype];
  const shards = planShards(tensors, sizeBytes, maxShardBytes);
  const nameOf = (shard: number) => (shards.length === 1 ? WEIGHTS_FILE : shardName(shard, shards.length));
  for (const [shard, part] of shards.entries()) {
    await writeSafetensors(folder, nameOf(shard), part, { format: "pt" }, dtype);
  }
  const written = new Set(shards.map((_, shard) => nameOf(shard)));
  if (shards.length > 1) {
    const index = {
      metadata: {
        total_parameters: tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0),
        total_size: tensors.reduce((sum, tensor) => sum + sizeBytes(tensor), 0),
      },
      weight_map: Object.fromEntries(
        shards.flatMap((part, shard) => part.map(({ name }) => [name, nameOf(shard)] as const)),
      ),
    };
    await writeJson(folder, INDEX_FILE, index);
    written.add(INDEX_FILE);
  }
  for (const name of await folder.names()) {
    if (isWeightFile(name) && !written.has(name)) await folder.remove(name);
  }
}

function planShards(
  tensors: readonly TensorSource[],
  sizeBytes: (tensor: TensorSource) => number,
  maxShardBytes: number,
): TensorSource[][] {
  const shards: TensorSource[][] = [[]];
  let used = 0;
  for (const tensor of tensors) {
    const size = sizeBytes(tensor);
    if (used > 0 && used + size > maxShardBytes) {
      shards.push([]);
      used = 0;
    }
    shards.at(-1)!.push(tensor);
    used += size;
  }
  return shards;
}

function shardName(shard: number, count: number): string {
  const five = (value: number) => String(value).padStart(5, "0");
  return `model-${five(shard + 1)}-of-${five(count)}.safetensors`;
}

function isWeightFile(name: string): boolean {
  return name === WEIGHTS_FILE || name === INDEX_FILE || /^model-\d{5}-of-\d{5}\.safetensors$/.test(name);
}
