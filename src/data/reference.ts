/** How a data set comes to this disk: the interface between the readers of files and the Hub. */

import { resolveDataset } from "../hub/resolve.ts";

/**
 * Makes of a path itself, and of a data set of the Hub, `org/name[@revision]`, a local folder in the Hub's layout
 * (README.md, data/…), from the cache or by download.
 */
export type ResolveDataset = (reference: string) => Promise<string>;

/** The Hub of the environment's settings. Throws HubError for a data set that cannot be downloaded. */
export const fetchDataset: ResolveDataset = async (reference) => (await resolveDataset(reference)).path;
