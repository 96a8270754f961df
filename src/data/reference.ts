/** How a data set's rows come to this disk: the one seam between those who read files and the Hub that has them. */

import { resolveDataset } from "../hub/resolve.ts";

/**
 * Makes of a path itself, and of a data set of the Hub, `org/name[@revision]`, a local folder in the Hub's layout
 * (README.md, data/…), from the cache or by download.
 */
export type ResolveDataset = (reference: string) => Promise<string>;

/** The Hub of the environment's settings. Throws HubError for what cannot be had. */
export const fetchDataset: ResolveDataset = async (reference) => (await resolveDataset(reference)).path;
