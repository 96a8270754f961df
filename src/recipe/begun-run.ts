/**
 * The directory of a run, new or resumed, and the recipe with what a run takes from the machine that it began on: threads and
 * device. Both change the last bits of every result, so a run records them, and goes on with them where it is resumed.
 *
 * A resume that names another device goes on there, so that a run is not lost with its GPU. It is not bit for bit what the
 * first device would have computed: the run directory says so and writes it into events.jsonl (`run/environment.ts`). The
 * recipe in the run directory stays the one that the run was begun with.
 */

import { defaultThreads } from "../compute/compute.ts";
import type { DeviceKind } from "../compute/device.ts";
import { devices } from "../compute/devices.ts";
import { DEFAULT_DEVICE } from "../compute/node-devices.ts";
import { engines } from "../engine/open.ts";
import { isFloatDType } from "../graph/tensor-type.ts";
import { RunDirectory } from "../run/run-directory.ts";
import type { Recipe } from "./schema.ts";
import { pinThreads } from "./threads.ts";

/** A run directory, and the recipe as it is computed now. */
export interface OpenedRun {
  readonly run: RunDirectory;
  readonly recipe: Recipe;
}

/** What is resumed. */
interface Resumption {
  readonly resume: boolean;
  /** The recipe that the run began with. */
  readonly recorded: unknown;
  /** As of `pinDevice`. */
  readonly asksForDevice?: boolean;
}

/**
 * Begins a run in a directory, or with `resume` goes on with the one that is there.
 *
 * @throws AhaError
 */
export async function openRunDirectory(
  path: string,
  given: Recipe,
  { resume, recorded, asksForDevice }: Resumption,
): Promise<OpenedRun> {
  const recipe = await pinDevice(pinThreads(given, recorded), recorded, asksForDevice);
  const about = { device: deviceOf(recipe) };
  const run = resume
    ? await RunDirectory.resume(path, withDevice(recipe, deviceIn(recorded)), about)
    : await RunDirectory.create(path, recipe, about);
  return { run, recipe };
}

/**
 * The recipe with the device that it is computed on. A run that is resumed (`recorded`, its recipe) goes on where it was begun,
 * unless another device is asked for: `asksForDevice` says whether the recipe's is, and if absent a device by its name is,
 * and one that stands for several is not. Such a name becomes that of the device which is there.
 *
 * @throws AhaError where none is there
 */
export async function pinDevice(recipe: Recipe, recorded?: unknown, asksForDevice?: boolean): Promise<Recipe> {
  const { device, threads, dtype } = recipe.engine;
  const isAskedFor = device !== undefined && (asksForDevice ?? kindOf(device)?.resolve === undefined);
  const chosen = recorded === undefined || isAskedFor ? device : deviceIn(recorded);
  const resolve = kindOf(chosen)?.resolve;
  if (resolve === undefined) return withDevice(recipe, chosen);
  const options = { threads: threads ?? defaultThreads(), ...(isFloatDType(dtype) && { dtype }) };
  return withDevice(recipe, await resolve(options));
}

function kindOf(device: unknown): DeviceKind | undefined {
  return typeof device === "string" ? devices.find(device) : undefined;
}

/** Name of the device that a recipe is computed on in this process; undefined where an engine computes elsewhere. */
export function deviceOf({ engine }: Recipe): string | undefined {
  const kind = engines.get(engine.kind);
  return kind.deviceOf && (kind.deviceOf(engine) ?? DEFAULT_DEVICE);
}

function withDevice(recipe: Recipe, device: unknown): Recipe {
  const { device: _, ...engine } = recipe.engine;
  return { ...recipe, engine: device === undefined ? engine : { ...engine, device } };
}

function deviceIn(recorded: unknown): string | undefined {
  const { engine } = (recorded ?? {}) as { readonly engine?: { readonly device?: unknown } };
  return typeof engine?.device === "string" ? engine.device : undefined;
}
