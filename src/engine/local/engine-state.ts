/**
 * The embedded engine's state on disk: one safetensors file with the weights, the Adam moments and the frozen reference,
 * and a small JSON file with the rest. Restoring it is exact: every number is kept in the f32 that it has in memory.
 */

import { join } from "node:path";
import { z } from "zod";
import { CheckpointError } from "../../errors.ts";
import { parseJson, readTextFile, writeWhole } from "../../files.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { elementCount, type ParameterValues, parameterSpecs } from "../../model/parameters.ts";
import { SafetensorsFile, writeSafetensors } from "../../model/safetensors.ts";

const TENSORS_FILE = "engine.safetensors";
const STATE_FILE = "engine.json";
const FORMAT = 1;

const stateSchema = z.strictObject({
  format: z.literal(FORMAT),
  optimizerSteps: z.int().nonnegative(),
  /** Which sets of tensors the file holds, in the order in which they are read. */
  sets: z
    .tuple([z.literal("weights")])
    .rest(z.enum(["firstMoments", "secondMoments", "reference"]))
    .refine((sets) => new Set(sets).size === sets.length, "a set of tensors is listed twice"),
});

/** A set of tensors, one for each parameter of the model. */
export type SetName = "weights" | "firstMoments" | "secondMoments" | "reference";

/** What is saved: sets of values by parameter name; a set that is absent was never made. */
export interface EngineState {
  readonly optimizerSteps: number;
  readonly sets: Partial<Record<SetName, ParameterValues>>;
}

/** Writes the state into an existing directory. */
export async function saveEngineState(directory: string, config: ModelConfig, state: EngineState): Promise<void> {
  const specs = parameterSpecs(config);
  const sets = Object.keys(state.sets) as SetName[];
  const tensors = sets.flatMap((set) =>
    specs.map(({ name, shape }) => ({ name: `${set}/${name}`, shape, data: state.sets[set]!.get(name)! })),
  );
  await writeSafetensors(join(directory, TENSORS_FILE), tensors);
  const description = { format: FORMAT, optimizerSteps: state.optimizerSteps, sets };
  await writeWhole(join(directory, STATE_FILE), `${JSON.stringify(description, null, 2)}\n`);
}

/**
 * Reads a state into memory that `target` gives for each set. Throws CheckpointError where a tensor is missing or of
 * another shape: a checkpoint of another model; nothing is read into memory then.
 */
export async function loadEngineState(
  directory: string,
  config: ModelConfig,
  target: (set: SetName) => ParameterValues,
): Promise<{ optimizerSteps: number; sets: readonly SetName[] }> {
  const path = join(directory, STATE_FILE);
  const text = await readTextFile(path, { maxBytes: 1 << 20, error: CheckpointError });
  const parsed = stateSchema.safeParse(parseJson(text, path, CheckpointError));
  if (!parsed.success) throw new CheckpointError(`${path} is not an engine state: ${z.prettifyError(parsed.error)}`);
  const { sets, optimizerSteps } = parsed.data;
  const file = await SafetensorsFile.open(join(directory, TENSORS_FILE));
  try {
    const specs = parameterSpecs(config);
    for (const set of sets) for (const { name, shape } of specs) requireShape(file, `${set}/${name}`, shape);
    for (const set of sets) {
      const values = target(set);
      for (const { name } of specs) await file.readInto(`${set}/${name}`, values.get(name)!);
    }
  } finally {
    await file.close();
  }
  return { optimizerSteps, sets };
}

function requireShape(file: SafetensorsFile, name: string, shape: readonly number[]): void {
  const found = file.entries.get(name)?.shape;
  if (found?.length === shape.length && found.every((size, i) => size === shape[i])) return;
  const what = found ? `has shape [${found.join(", ")}]` : "is missing";
  const expected = `[${shape.join(", ")}], ${elementCount(shape)} elements`;
  throw new CheckpointError(
    `${file.path}: ${name} ${what}; this model needs ${expected}. It is a checkpoint of another model.`,
  );
}
