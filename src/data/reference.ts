/** How a data set's rows come to this disk: the one seam between those who read files and the Hub that has them. */

import { resolveDataset } from "../hub/resolve.ts";
import type { ResolveDataset } from "./options.ts";

/** The Hub of the environment's settings. Throws HubError for what cannot be had. */
export const fetchDataset: ResolveDataset = async (reference) => (await resolveDataset(reference)).path;
