/**
 * The directory of a run, new or resumed, and the recipe with what a run takes from the machine that it began on: threads and
 * device. Both change the last bits of every result, so a run records them, and goes on with them where it is resumed.
 *
 * A resume that names another device goes on there, so that a run is not lost with its GPU. It is not bit for bit what the
 * first device would have computed: the run directory says so and writes it into events.jsonl (`run/environment.ts`). The
 * recipe in the run directory stays the one that the run was begun with.
 */

import { defaultThreads } from "../compute/compute.ts";
import { devices } from "../compute/devices.ts";
import { DEFAULT_DEVICE } from "../compute/node-devices.ts";
import { engines } from "../engine/open.ts";
import { RunDirectory } from "../run/run-directory.ts";
import type { Recipe } from "./schema.ts";
import { pinThreads } from "./threads.ts";

/** A run directory, and the recipe as it is computed now. */
export interface OpenedRun {
  readonly run: RunDirectory;
  readonly recipe: Recipe;
}

/**
 * Begins a run in a directory, or with `resume` goes on with the one that is there, `recorded` the recipe that it began with.
 *
 * @throws AhaError
 */
export async function openRunDirectory(
  path: string,
  given: Recipe,
  { resume, recorded }: { readonly resume: boolean; readonly recorded: unknown },
): Promise<OpenedRun> {
  const recipe = await pinDevice(pinThreads(given, recorded), recorded);
  const about = { device: deviceOf(recipe) };
  const run = resume
    ? await RunDirectory.resume(path, withDevice(recipe, deviceIn(recorded)), about)
    : await RunDirectory.create(path, recipe, about);
  return { run, recipe };
}

/**
 * The recipe with the device that it is computed on: what it says, else what the run that is to be resumed was begun on
 * (`recorded`, its recipe). A name that stands for several devices becomes that of the one which is there.
 *
 * @throws AhaError where none is there
 */
export async function pinDevice(recipe: Recipe, recorded?: unknown): Promise<Recipe> {
  const { device, threads } = recipe.engine;
  const kind = typeof device === "string" ? devices.find(device) : undefined;
  if (recorded !== undefined && (device === undefined || kind?.resolve)) return withDevice(recipe, deviceIn(recorded));
  return kind?.resolve ? withDevice(recipe, await kind.resolve({ threads: threads ?? defaultThreads() })) : recipe;
}

/** Name of the device that a recipe is computed on in this process; undefined where an engine computes elsewhere. */
export function deviceOf({ engine }: Recipe): string | undefined {
  const kind = engines.get(engine.kind);
  return kind.deviceOf && (kind.deviceOf(engine) ?? DEFAULT_DEVICE);
}

function withDevice(recipe: Recipe, device: string | undefined): Recipe {
  const { device: _, ...engine } = recipe.engine;
  return { ...recipe, engine: device === undefined ? engine : { ...engine, device } };
}

function deviceIn(recorded: unknown): string | undefined {
  const { engine } = (recorded ?? {}) as { readonly engine?: { readonly device?: unknown } };
  return typeof engine?.device === "string" ? engine.device : undefined;
}
