/**
 * Where recipes and commands get data sets of the Hub from: the one place at which a downloader plugs in. A data set on
 * the disk needs none.
 */

import type { ResolveDataset } from "../data/reference.ts";
import { ConfigError } from "../errors.ts";

/** The local folder of `org/name[@revision]`. There is no downloader here yet, so it is refused. */
export const resolveDataset: ResolveDataset = async (reference) => {
  throw new ConfigError(
    `${reference} is no path that exists here, and data sets of the Hub are not fetched. Download it and give its folder.`,
  );
};
