/** How a data set comes to this disk: the interface between the readers of files and the Hub. */

import { resolveDataset } from "../hub/resolve.ts";
import type { ResolveDataset } from "./options.ts";

/** The Hub of the environment's settings. Throws HubError for a data set that cannot be downloaded. */
export const fetchDataset: ResolveDataset = async (reference) => (await resolveDataset(reference)).path;
