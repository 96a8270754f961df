/** Opens the embedded engine on a checkpoint. */

import { availableParallelism } from "node:os";
import { loadModel } from "../../model/checkpoint.ts";
import { Runtime } from "../../runtime/runtime.ts";
import type { Engine } from "../engine.ts";
import { LocalEngine, type LocalEngineLimits } from "./local-engine.ts";
import { allocateFloats } from "./weights.ts";

export interface LocalEngineOptions extends Partial<LocalEngineLimits> {
  /** Threads to compute with; by default one per processor, at most 8. */
  readonly threads?: number;
}

const DEFAULT_LIMITS = { maxSlots: 256, cacheBytes: 2 ** 30, microBatchTokens: 2048 };

/**
 * An engine on this machine's CPU for a model in the Hugging Face layout. Throws CheckpointError for a directory that is
 * not one.
 */
export async function createLocalEngine(modelDirectory: string, options: LocalEngineOptions = {}): Promise<Engine> {
  const { threads = Math.min(8, availableParallelism()), ...limits } = options;
  const { config, values } = await loadModel(modelDirectory, { allocate: allocateFloats });
  return new LocalEngine(Runtime.open(threads), config, values, { ...DEFAULT_LIMITS, ...limits });
}
