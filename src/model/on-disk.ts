/**
 * Models and adapters in directories of this machine's disk, by their paths. What is read and written is in `checkpoint.ts`
 * and `peft-adapter.ts`, which know folders only.
 */

import { existsSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { diskFolder } from "../disk-folder.ts";
import { CheckpointError } from "../errors.ts";
import {
  type Allocate,
  inspectModelIn,
  type LoadedModel,
  type OpenCheckpoint,
  openCheckpointIn,
  readModel,
  type SaveOptions,
  writeModel,
  writeModelFrom,
} from "./checkpoint.ts";
import type { ModelConfig, ModelHead } from "./model-config.ts";
import type { ParameterSpec, ParameterValues } from "./parameters.ts";
import { ADAPTER_CONFIG_FILE, type AdapterDescription, describeAdapterIn, readPeftAdapter } from "./peft-adapter.ts";

/** `readModel` of a directory. Throws CheckpointError. */
export function loadModel(directory: string, options: { allocate?: Allocate } = {}): Promise<LoadedModel> {
  return readModel(diskFolder(directory), options);
}

/** `inspectModelIn` of a directory. Throws CheckpointError. */
export function inspectModel(directory: string): ReturnType<typeof inspectModelIn> {
  return inspectModelIn(diskFolder(directory));
}

/** `openCheckpointIn` of a directory. Throws CheckpointError. */
export function openCheckpoint(directory: string, head?: ModelHead): Promise<OpenCheckpoint> {
  return openCheckpointIn(diskFolder(directory), head);
}

/** `writeModel` into an existing directory. Throws CheckpointError where `values` are not those of `config`. */
export function saveModel(
  directory: string,
  config: ModelConfig,
  values: ReadonlyMap<string, Float32Array>,
  options?: SaveOptions,
): Promise<void> {
  return writeModel(diskFolder(directory), config, values, options);
}

/** `saveModel` for weights that are not all in memory: `parameterValue` is asked for one parameter after another. */
export function saveModelFrom(
  directory: string,
  config: ModelConfig,
  parameterValue: (parameter: ParameterSpec) => Float32Array | Promise<Float32Array>,
  options?: SaveOptions,
): Promise<void> {
  return writeModelFrom(diskFolder(directory), config, parameterValue, options);
}

/** Whether a directory holds an adapter in PEFT's format. */
export function isAdapterDirectory(directory: string): boolean {
  return existsSync(join(directory, ADAPTER_CONFIG_FILE));
}

/** `describeAdapterIn` of a directory. Throws CheckpointError. */
export function describeAdapter(directory: string): Promise<AdapterDescription> {
  return describeAdapterIn(diskFolder(directory));
}

/** `readPeftAdapter` of a directory. Throws CheckpointError. */
export function loadPeftAdapter(
  directory: string,
  config: ModelConfig,
): Promise<AdapterDescription & { readonly values: ParameterValues }> {
  return readPeftAdapter(diskFolder(directory), config);
}

/**
 * Where the base of an adapter is: `baseModel` as PEFT understands it, a directory (relative to the working directory), or
 * relative to the adapter's own. Throws CheckpointError where there is none: names on the Hub must be fetched first.
 */
export function baseDirectoryOf(directory: string, baseModel: string | undefined): string {
  const advice = "Name the base, and this adapter with --adapter.";
  if (baseModel === undefined || baseModel === "") {
    throw new CheckpointError(
      `${join(directory, ADAPTER_CONFIG_FILE)} names no base (base_model_name_or_path). ${advice}`,
    );
  }
  const candidates = isAbsolute(baseModel) ? [baseModel] : [resolve(baseModel), resolve(directory, baseModel)];
  const found = candidates.find((candidate) => existsSync(join(candidate, "config.json")));
  if (found !== undefined) return found;
  throw new CheckpointError(
    `The adapter in ${directory} was trained on ${JSON.stringify(baseModel)}, which is no model directory here. ${advice}`,
  );
}
