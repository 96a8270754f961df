/**
 * How many threads a run computes with. Kernels divide their sums among threads, so the number of threads affects the
 * last bits of every result: a run records it, and uses the same number wherever it is resumed.
 */

import { availableParallelism } from "node:os";
import { defaultThreads } from "../compute/compute.ts";
import type { Recipe } from "./schema.ts";

/**
 * The recipe with `engine.threads` filled in: what it says, else what the run that is to be resumed began with
 * (`recorded`, its recipe), else one per processor.
 */
export function pinThreads(recipe: Recipe, recorded?: unknown): Recipe {
  if (recipe.engine.threads !== undefined) return recipe;
  const threads = recorded === undefined ? defaultThreads() : recordedThreads(recorded);
  return threads === undefined ? recipe : { ...recipe, engine: { ...recipe.engine, threads } };
}

/** What to say where a run was given more threads than this machine has processors. */
export function threadsWarning({ engine }: Recipe): string | undefined {
  const processors = availableParallelism();
  const { threads } = engine;
  if (threads === undefined || threads <= processors) return undefined;
  return (
    `This run computes with ${threads} threads, and this machine has ${processors} ` +
    `processor${processors === 1 ? "" : "s"}: it will be slow, but its results are those of ${threads} threads.`
  );
}

function recordedThreads(recorded: unknown): number | undefined {
  const { engine } = recorded as { readonly engine?: { readonly threads?: unknown } };
  return typeof engine?.threads === "number" ? engine.threads : undefined;
}
