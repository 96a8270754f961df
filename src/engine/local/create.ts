/** Opens the embedded engine on a checkpoint. */

import { availableParallelism } from "node:os";
import { EngineError } from "../../errors.ts";
import { loadModel } from "../../model/checkpoint.ts";
import { Runtime } from "../../runtime/runtime.ts";
import type { Engine } from "../engine.ts";
import { LocalEngine, type LocalEngineLimits } from "./local-engine.ts";
import { allocateFloats } from "./weights.ts";

export interface LocalEngineOptions extends Partial<LocalEngineLimits> {
  /** Threads to compute with; by default one per processor, at most 8. */
  readonly threads?: number;
}

/** More threads than any machine has cores: a slip of the keyboard, that would end the process for want of memory. */
const MAX_THREADS = 1024;

const DEFAULT_LIMITS = { maxSlots: 256, cacheBytes: 2 ** 30, microBatchTokens: 2048 };

/** Threads where none are asked for: one per processor, at most 8. */
export function defaultThreads(): number {
  return Math.min(8, availableParallelism());
}

/**
 * An engine on this machine's CPU for a model in the Hugging Face layout. All engines of a process share one pool of
 * threads, so they are opened with the same number of them.
 *
 * @throws CheckpointError for a directory that is no model; EngineError for an option that cannot be.
 */
export async function createLocalEngine(modelDirectory: string, options: LocalEngineOptions = {}): Promise<Engine> {
  const { threads = defaultThreads(), ...limits } = options;
  const { logitChunkTokens: chunk } = limits;
  if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
    throw new EngineError(`Expected a whole number of threads from 1 to ${MAX_THREADS}, not ${threads}.`);
  }
  if (chunk !== undefined && !(Number.isSafeInteger(chunk) && chunk >= 1)) {
    throw new EngineError(`Expected a whole number of at least 1 for logitChunkTokens, not ${chunk}.`);
  }
  const { config, values } = await loadModel(modelDirectory, { allocate: allocateFloats });
  return new LocalEngine(Runtime.open(threads), config, values, { ...DEFAULT_LIMITS, ...limits });
}
