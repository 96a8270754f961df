/**
 * Models and data sets by path or by name. Wherever Aha takes the path of one, `org/name[@revision]` does too, where no
 * such path exists: it is looked up on the Hub and found in the cache.
 */

import { existsSync } from "node:fs";
import { HubError } from "../errors.ts";
import { HubFailure } from "./failure.ts";
import { type PullOptions, pull } from "./pull.ts";
import { formatHubReference, type HubReference, parseHubReference, type RepositoryKind } from "./reference.ts";
import { hubSettings } from "./settings.ts";

/** How a name is resolved: as a pull, with the settings of the environment unless others are given. */
export type ResolveOptions = Partial<PullOptions>;

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

/** The repository that `text` names, where no such path exists. */
export function hubReferenceOf(text: string, kind: RepositoryKind): HubReference | undefined {
  return existsSync(text) ? undefined : parseHubReference(text, kind);
}

async function resolve(text: string, kind: RepositoryKind, options: ResolveOptions): Promise<Resolved> {
  const reference = hubReferenceOf(text, kind);
  if (reference === undefined) return { path: text, pinned: undefined };
  try {
    const { directory, commit } = await pull(reference, { ...options, settings: options.settings ?? hubSettings() });
    return { path: directory, pinned: formatHubReference({ name: reference.name, revision: commit }) };
  } catch (error) {
    if (!(error instanceof HubError)) throw error;
    // A mistyped path looks like a name.
    const message = `There is no ${text} on this disk, so the Hub was asked. ${error.message}`;
    if (error instanceof HubFailure) throw new HubFailure(error.kind, message, error);
    throw new HubError(message);
  }
}
