/**
 * How a data set is named: by a path, or by its name on the Hub, `org/name` or `org/name@revision`. What is there on the
 * disk is a path; only what is not may be a name. Fetching is somebody else's (`ResolveDataset`): this folder reads files.
 */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { ConfigError } from "../errors.ts";
import { formatOf } from "./formats.ts";

/**
 * Makes a data set of the Hub, `org/name[@revision]`, a local folder in the Hub's layout (README.md, data/…), from a cache
 * or by download, and returns its path.
 */
export type ResolveDataset = (reference: string) => Promise<string>;

const HUB_NAME = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*(@[\w./-]+)?$/;

/** Whether `text` has the form of a name on the Hub and not of a data file's path. */
export function isHubName(text: string): boolean {
  return HUB_NAME.test(text) && formatOf(text) === undefined;
}

/** `path` as it is to be kept: absolute from `folder`, or the Hub name that it is where nothing of that path exists. */
export function anchorReference(path: string, folder: string): string {
  const absolute = resolve(folder, path);
  return isHubName(path) && !existsSync(absolute) ? path : absolute;
}

/**
 * The local path of a data set: itself, or what `resolveDataset` makes of a Hub name.
 *
 * @throws ConfigError for a Hub name where there is no means to fetch it; whatever `resolveDataset` throws.
 */
export async function localPathOf(reference: string, resolveDataset?: ResolveDataset): Promise<string> {
  if (existsSync(reference) || !isHubName(reference)) return reference;
  if (resolveDataset) return resolveDataset(reference);
  throw new ConfigError(
    `${reference} is no path that exists here, and data sets of the Hub are not fetched in this place. ` +
      "Download it and give its folder.",
  );
}
