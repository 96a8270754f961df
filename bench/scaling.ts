/**
 * What a GRPO step costs over group size, completion length and model size, each alone: the work doubles twice, and the
 * cost should double with it. `cost_of_work` is the step's time for its work, with 1 for the first row of each series:
 * below 1 the step is cheaper than in proportion, above 1 dearer (attention, which grows with the square of the length).
 *
 * Model size is depth: random models of the given shape with half, all and twice of its layers; work is then the number
 * of parameters. Every point is a process of its own.
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { diskFolder } from "../src/disk-folder.ts";
import { readModelConfig } from "../src/model/hf-config.ts";
import { initializeParameter } from "../src/model/initialize.ts";
import { modelSize } from "../src/model/memory.ts";
import { saveModelFrom } from "../src/model/on-disk.ts";
import { loadTokenizer } from "../src/tokenizer/on-disk.ts";
import { measureApart } from "./apart.ts";
import type { BenchOptions, Figures } from "./options.ts";

/** A point: what is other than in the options, and the work that it is. */
interface Point {
  readonly series: string;
  readonly value: number;
  readonly work: number;
  readonly change: Partial<BenchOptions>;
}

export async function benchScaling(options: BenchOptions): Promise<Figures[]> {
  const folder = await mkdtemp(join(tmpdir(), "aha-bench-"));
  try {
    const { group, tokens } = options;
    const series: readonly (readonly Point[])[] = [
      [1, 2, 4].map((factor) => {
        const value = group * factor;
        return { series: "group", value, work: value, change: { group: value } };
      }),
      [1, 2, 4].map((factor) => {
        const value = tokens * factor;
        return { series: "tokens", value, work: value, change: { tokens: value } };
      }),
      await modelsOfOtherDepth(options, folder),
    ];
    const rows: Figures[] = [];
    for (const points of series) {
      let first: number | undefined;
      for (const { series: name, value, work, change } of points) {
        const figures = await measureApart("grpo", { ...options, ...change });
        const cost = figures.s_per_step! / work;
        first ??= cost;
        rows.push({
          series: name,
          value,
          s_per_step: figures.s_per_step!,
          cost_of_work: cost / first,
          sampling_s: figures.sampling_s!,
          reference_s: figures.reference_s!,
          training_s: figures.training_s!,
          peak_memory_mib: figures.peak_memory_mib!,
        });
        if (!options.json) console.error(`${name} ${value}: ${figures.s_per_step!.toFixed(2)} s`);
      }
    }
    return rows;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Random models with half, all and twice of the layers, in `folder`. */
async function modelsOfOtherDepth(options: BenchOptions, folder: string): Promise<Point[]> {
  const config = await readModelConfig(diskFolder(options.model));
  const tokenizer = await loadTokenizer(options.model);
  const points: Point[] = [];
  for (const factor of [0.5, 1, 2]) {
    const other = { ...config, numLayers: Math.max(1, Math.round(config.numLayers * factor)) };
    const model = await mkdtemp(join(folder, "model-"));
    await tokenizer.save(diskFolder(model));
    await saveModelFrom(model, other, (parameter) => initializeParameter(other, parameter, { seed: options.seed }));
    const { parameterCount } = modelSize(other);
    points.push({ series: "parameters", value: parameterCount, work: parameterCount, change: { model } });
  }
  return points;
}
