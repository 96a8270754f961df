/**
 * An adapter folded into its base: W′ = W + s·B·A for every adapted matrix, everything else as it is. The result is a
 * model like any other, which needs neither the adapter nor a program that knows adapters.
 *
 * Sums are taken in f64 and rounded once to f32 (and once more to the stored format), so an adapter that was never
 * trained leaves every bit of the base. Merging into sixteen bits loses the part of B·A that is smaller than W's last
 * place: log- probabilities then differ from those with the adapter apart by about as much as from those of f32
 * weights.
 */

import { CheckpointError } from "../errors.ts";
import type { OpenCheckpoint, SaveOptions } from "./checkpoint.ts";
import { SAVE_DTYPES, type SaveDtype } from "./hf-config.ts";
import { adaptedParameters, type LoraConfig } from "./lora.ts";
import { saveModelFrom } from "./on-disk.ts";
import { elementCount, type ParameterValues } from "./parameters.ts";
import { isReadDtype, type ReadDtype } from "./safetensors.ts";

/** An adapter's settings and its numbers, by the names of `adapterSpecs`. */
export interface AdapterWeights {
  readonly lora: LoraConfig;
  readonly values: ParameterValues;
}

/** Numbers of 64 bits were rounded to 32 when they were read. */
const DTYPE_NAMES: Readonly<Record<ReadDtype, SaveDtype>> = {
  F64: "float32",
  F32: "float32",
  BF16: "bfloat16",
  F16: "float16",
};

/** The format in which a checkpoint stores most of its numbers. */
export function storedDtype({ fileOf }: OpenCheckpoint): SaveDtype {
  const elements: Record<SaveDtype, number> = { float32: 0, bfloat16: 0, float16: 0 };
  for (const [name, file] of fileOf) {
    const { dtype, shape } = file.entries.get(name)!;
    if (isReadDtype(dtype)) elements[DTYPE_NAMES[dtype]] += elementCount(shape);
  }
  return SAVE_DTYPES.reduce((a, b) => (elements[b] > elements[a] ? b : a));
}

/** Adds s·B·A to `weight` [rows, columns] in place; A is [r, columns], B is [rows, r]. */
export function foldAdapter(weight: Float32Array, a: Float32Array, b: Float32Array, rank: number, scale: number): void {
  const columns = a.length / rank;
  const row = new Float64Array(columns);
  for (let i = 0; i < weight.length / columns; i++) {
    const target = weight.subarray(i * columns, (i + 1) * columns);
    row.set(target);
    for (let k = 0; k < rank; k++) {
      const factor = scale * b[i * rank + k]!;
      // Besides being faster, this keeps the sign of a weight of −0 to which nothing is added: −0 + 0 would be 0.
      if (factor === 0) continue;
      const offset = k * columns;
      for (let j = 0; j < columns; j++) row[j]! += factor * a[offset + j]!;
    }
    target.set(row);
  }
}

/**
 * Writes the merged model into an existing directory, as `saveModel` does; one matrix at a time is in memory, beside the
 * adapter. In the base's format unless `options` name another. Throws CheckpointError where a number is not finite: a
 * diverged adapter, or a sum beyond the format's range.
 */
export async function saveMergedModel(
  directory: string,
  checkpoint: OpenCheckpoint,
  { lora, values }: AdapterWeights,
  options: SaveOptions = {},
): Promise<void> {
  const { config, fileOf } = checkpoint;
  for (const [name, numbers] of values) {
    if (numbers.every(Number.isFinite)) continue;
    throw new CheckpointError(`Cannot merge: the adapter's ${name} has values that are not finite; it has diverged.`);
  }
  const adapted = new Map(adaptedParameters(config, lora).map((parameter) => [parameter.base.name, parameter]));
  await saveModelFrom(
    directory,
    config,
    async ({ name, checkpointName, shape }) => {
      const value = new Float32Array(elementCount(shape));
      await fileOf.get(checkpointName)!.readInto(checkpointName, value);
      const pair = adapted.get(name);
      if (pair === undefined) return value;
      foldAdapter(value, values.get(pair.a.name)!, values.get(pair.b.name)!, pair.rank, pair.scale);
      if (value.every(Number.isFinite)) return value;
      throw new CheckpointError(`Cannot merge: ${checkpointName} with the adapter has values that are not finite.`);
    },
    { dtype: storedDtype(checkpoint), ...options },
  );
}
