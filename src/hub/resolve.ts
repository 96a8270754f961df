/**
 * Models and data sets by path or by name. Wherever Aha takes the path of one, `org/name[@revision]` does too, where no
 * such path exists: it is looked up on the Hub and found in the cache.
 */

import { existsSync } from "node:fs";
import { resolve as resolvePath } from "node:path";
import { HubError } from "../errors.ts";
import { RepositoryCache } from "./cache.ts";
import { HubFailure } from "./failure.ts";
import { type PullOptions, pull } from "./pull.ts";
import {
  DEFAULT_REVISION,
  formatHubReference,
  type HubReference,
  isCommitHash,
  parseHubReference,
  type RepositoryKind,
} from "./reference.ts";
import { hubSettings } from "./settings.ts";

/** How a name is resolved: as a pull, with the settings of the environment unless others are given. */
export interface ResolveOptions extends Partial<PullOptions> {
  /** Use the cache alone, whatever the environment says. */
  readonly offline?: boolean;
}

/** Of a model's files those that are no weights, for `include`. */
export const MODEL_TEXT_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "additional_chat_templates/*.jinja"] as const;

/** What a path or name led to. */
export interface Resolved {
  /** A path on this disk. */
  readonly path: string;
  /** `org/name@commit`, which always means the same files; undefined for what was a path already. */
  readonly pinned: string | undefined;
}

/** The model of a path (as it is, also where nothing is there) or of a name on the Hub. Throws what `pull` throws. */
export function resolveModel(text: string, options: ResolveOptions = {}): Promise<Resolved> {
  return resolve(text, "model", options);
}

/** The data set of a path (as it is, also where nothing is there) or of a name on the Hub. Throws what `pull` throws. */
export function resolveDataset(text: string, options: ResolveOptions = {}): Promise<Resolved> {
  return resolve(text, "dataset", options);
}

/** Files have such endings; names of repositories do not. */
const FILE_ENDING = /\.(?:jsonl?|ndjson|parquet|csv|tsv|txt|ya?ml|safetensors|gguf|bin|gz|zst|bz2|xz|lz4|zip)$/;

/** The repository that `text` names, where no such path exists. */
export function hubReferenceOf(text: string, kind: RepositoryKind): HubReference | undefined {
  const reference = parseHubReference(text, kind);
  return reference === undefined || FILE_ENDING.test(text) || existsSync(text) ? undefined : reference;
}

/**
 * A path or name that stands in a file of `folder`, as it is to be kept: an absolute path, or a name as it is where
 * nothing of that path exists.
 */
export function anchorReference(text: string, kind: RepositoryKind, folder: string): string {
  const absolute = resolvePath(folder, text);
  return !existsSync(absolute) && hubReferenceOf(text, kind) !== undefined ? text : absolute;
}

/**
 * The commit of a reference as far as the cache knows it: what its branch was when it was last looked up. It sends no
 * request.
 */
export async function knownCommit(reference: HubReference, settings = hubSettings()): Promise<string | undefined> {
  if (isCommitHash(reference.revision)) return reference.revision;
  const cache = new RepositoryCache(settings.cacheDirectory, reference);
  return cache.readRef(reference.revision ?? DEFAULT_REVISION);
}

async function resolve(text: string, kind: RepositoryKind, options: ResolveOptions): Promise<Resolved> {
  const reference = hubReferenceOf(text, kind);
  if (reference === undefined) return { path: text, pinned: undefined };
  try {
    const settings = options.settings ?? hubSettings({ offline: options.offline === true });
    const { directory, commit } = await pull(reference, { ...options, settings });
    return { path: directory, pinned: formatHubReference({ name: reference.name, revision: commit }) };
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    // A mistyped path looks like a name.
    const message = `There is no ${text} on this disk, so the Hub was asked. ${error.message}`;
    if (error instanceof HubFailure) throw new HubFailure(error.kind, message, error);
    throw new HubError(message);
  }
}
