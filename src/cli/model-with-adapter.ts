/**
 * A model that is a base and an adapter: where a command takes a model it may be told `--adapter DIR`, or be given the
 * adapter itself, whose config says on which base it was trained. Both may be directories or names on the Hub.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { CheckpointError, ConfigError } from "../errors.ts";
import { hubReferenceOf } from "../hub/resolve.ts";
import { baseDirectoryOf, describeAdapter, isAdapterDirectory } from "../model/on-disk.ts";
import type { CommandContext } from "./command.ts";
import { type FoundModel, openModel } from "./model-directory.ts";

export interface FoundPolicy extends FoundModel {
  /** Directory with the tokenizer: the adapter's where it has one of its own, else the model's. */
  readonly tokenizerDirectory: string;
  /** For `openEngine`: the adapter's directory, where there is one. */
  readonly adapter: { readonly adapter?: string };
}

/** The option of the commands that call `openPolicy`. */
export const ADAPTER_OPTION = { adapter: { type: "string", completes: "directory" } } as const;

/** What their help says of it. */
export const ADAPTER_HELP =
  "--adapter DIR          apply this LoRA adapter (PEFT's format); DIR may be an adapter itself, which names its base";

/**
 * The model that `text` names with the adapter that `adapterText` names, or, where `text` is an adapter, the base that
 * its config names with it; downloaded where they are on the Hub and not in the cache.
 *
 * @throws CheckpointError where one of them is nothing of the kind; ConfigError for two adapters; HubError
 */
export async function openPolicy(
  text: string,
  adapterText: string | undefined,
  context: CommandContext,
): Promise<FoundPolicy> {
  const found = isAdapterAlone(text) ? { modelDirectory: text, recipePath: undefined } : await openModel(text, context);
  if (!isAdapterAlone(found.modelDirectory)) {
    const adapter = adapterText === undefined ? undefined : await openAdapter(adapterText, context);
    return policyOf(found, adapter);
  }
  if (adapterText !== undefined) {
    throw new ConfigError(`${text} is an adapter itself: give its base as DIR, or leave --adapter out.`);
  }
  const adapter = found.modelDirectory;
  const { modelDirectory } = await openBase(adapter, context);
  return policyOf({ ...found, modelDirectory }, adapter);
}

/**
 * The whole model that `text` names, for commands that cannot apply an adapter. Throws CheckpointError for an adapter,
 * with the command that makes a model of it.
 */
export async function openWholeModel(text: string, context: CommandContext): Promise<FoundModel> {
  const found = isAdapterAlone(text) ? { modelDirectory: text, recipePath: undefined } : await openModel(text, context);
  const { modelDirectory } = found;
  if (!isAdapterAlone(modelDirectory)) return found;
  const { baseModel } = await describeAdapter(modelDirectory);
  throw new CheckpointError(
    `${modelDirectory} is a LoRA adapter, not a whole model. Merge it into its base first: aha model merge ` +
      `${baseModel || "BASE"} ${modelDirectory} --out DIR.`,
  );
}

/** The directory of the adapter that `text` names: a directory, that of a run which trained one, or a name on the Hub. */
export async function openAdapter(text: string, context: CommandContext): Promise<string> {
  if (isAdapterDirectory(text)) return text;
  const isHere = hubReferenceOf(text, "model") === undefined;
  const directory = isHere && !existsSync(text) ? text : (await openModel(text, context)).modelDirectory;
  if (isAdapterDirectory(directory)) return directory;
  throw new CheckpointError(
    `${text} is no adapter: it has no adapter_config.json. Expected a LoRA adapter in PEFT's format.`,
  );
}

function policyOf(found: FoundModel, adapter: string | undefined): FoundPolicy {
  const { modelDirectory } = found;
  return {
    ...found,
    tokenizerDirectory: adapter === undefined ? modelDirectory : tokenizerDirectoryOf(modelDirectory, adapter),
    adapter: adapter === undefined ? {} : { adapter },
  };
}

/** Whether a directory holds an adapter and no model; where both lie together, the directory is the model. */
export function isAdapterAlone(directory: string): boolean {
  return isAdapterDirectory(directory) && !existsSync(join(directory, "config.json"));
}

/** The base that an adapter's config names: a directory, else a name on the Hub. */
async function openBase(adapter: string, context: CommandContext): Promise<FoundModel> {
  const { baseModel } = await describeAdapter(adapter);
  try {
    return { modelDirectory: baseDirectoryOf(adapter, baseModel), recipePath: undefined };
  } catch (error) {
    if (!(error instanceof CheckpointError) || !baseModel || hubReferenceOf(baseModel, "model") === undefined)
      throw error;
    return openModel(baseModel, context);
  }
}

/** An adapter under a name of its own. */
export interface NamedAdapter {
  readonly name: string;
  /** What the user wrote behind the name. */
  readonly text: string;
}

/**
 * The values of a repeated `--adapter`: names with directories, or one directory alone.
 *
 * @throws ConfigError for both at once, several directories without names, and a name that comes twice.
 */
export function namedAdapters(texts: readonly string[]): { readonly alone?: string; readonly named: NamedAdapter[] } {
  const named: NamedAdapter[] = [];
  const alone: string[] = [];
  for (const text of texts) {
    const [, name, directory] = /^([\w.-]+)=(.+)$/s.exec(text) ?? [];
    // A directory may have such a name, too.
    if (name === undefined || directory === undefined || existsSync(text)) alone.push(text);
    else named.push({ name, text: directory });
  }
  const twice = named.find(({ name }, i) => named.findIndex((other) => other.name === name) < i);
  if (twice) throw new ConfigError(`--adapter: the name ${twice.name} comes twice.`);
  if (alone.length > 1 || (alone.length === 1 && named.length > 0)) {
    const example = `--adapter ${alone[0]!.split("/").at(-1)}=${alone[0]}`;
    throw new ConfigError(`--adapter: several adapters need names, such as ${example}.`);
  }
  return { ...(alone[0] !== undefined && { alone: alone[0] }), named };
}

/** The tokenizer's directory of an adapter on a model: its own where it has one. */
export function tokenizerDirectoryOf(modelDirectory: string, adapter: string): string {
  return existsSync(join(adapter, "tokenizer.json")) ? adapter : modelDirectory;
}
