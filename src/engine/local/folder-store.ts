/**
 * Models and states of the embedded engine in folders. A state is one safetensors file with the weights, the Adam moments and
 * the frozen reference, and a small JSON file with the rest. Restoring it is exact: every number is kept in the f32 that it
 * has in memory.
 */

import { z } from "zod";
import { CheckpointError } from "../../errors.ts";
import { type FolderAt, writeJson } from "../../folder.ts";
import { parseJson } from "../../json-text.ts";
import { writeModelFrom } from "../../model/checkpoint.ts";
import { elementCount } from "../../model/parameters.ts";
import { writePeftAdapter } from "../../model/peft-adapter.ts";
import { SafetensorsFile, writeSafetensors } from "../../model/safetensors.ts";
import type { ModelStore, SetName } from "./model-store.ts";

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
  /** The reference is the base with the adapter off, and no set of tensors. */
  referenceOff: z.boolean().default(false),
  /** Where gradients are computed times a scale. */
  lossScale: z.strictObject({ value: z.number().min(1), steps: z.int().nonnegative() }).optional(),
});

/** Models and states in the folders that places name; on a disk they must exist. */
export function folderStore(folderAt: FolderAt): ModelStore {
  return {
    async saveState(place, { optimizerSteps, referenceOff, lossScale, sets }) {
      const names = Object.keys(sets) as SetName[];
      const tensors = names.flatMap((set) => {
        const weights = sets[set]!;
        return weights.specs.map(({ name, shape }) => ({
          name: `${set}/${name}`,
          shape,
          data: () => weights.values(name),
        }));
      });
      const folder = folderAt(place);
      await writeSafetensors(folder, TENSORS_FILE, tensors);
      const others = { ...(referenceOff && { referenceOff }), ...(lossScale && { lossScale }) };
      await writeJson(folder, STATE_FILE, { format: FORMAT, optimizerSteps, sets: names, ...others });
    },

    async loadState(place, specs, target) {
      const folder = folderAt(place);
      const path = folder.pathOf(STATE_FILE);
      const text = await folder.readText(STATE_FILE, { maxBytes: 1 << 20, error: CheckpointError });
      if (text === undefined) throw new CheckpointError(`Cannot read ${path}: it does not exist.`);
      const parsed = stateSchema.safeParse(parseJson(text, path, CheckpointError));
      if (!parsed.success) {
        throw new CheckpointError(`${path} is not an engine state: ${z.prettifyError(parsed.error)}`);
      }
      const { sets, optimizerSteps, referenceOff, lossScale } = parsed.data;
      const file = await SafetensorsFile.open(folder, TENSORS_FILE);
      try {
        for (const set of sets) for (const { name, shape } of specs) requireShape(file, `${set}/${name}`, shape);
        for (const set of sets) await target(set).fill(({ name }, values) => file.readInto(`${set}/${name}`, values));
      } finally {
        await file.close();
      }
      return { optimizerSteps, referenceOff, ...(lossScale && { lossScale }) };
    },

    async saveModel(place, { config, form: { lora, head }, valuesOf, base = "" }, dtype) {
      const folder = folderAt(place);
      if (lora) await writePeftAdapter(folder, config, lora, valuesOf, base);
      else await writeModelFrom(folder, config, valuesOf, { ...(head && { head }), ...(dtype && { dtype }) });
    },
  };
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
