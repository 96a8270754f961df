/** A repository at a commit, as its files lie in the cache. */

import type { HubReference } from "./reference.ts";
import type { RemoteFile } from "./remote-file.ts";

/** A repository at a commit, on this disk. */
export interface Snapshot {
  readonly reference: HubReference;
  readonly commit: string;
  readonly directory: string;
  /** The wanted files; offline, those of them that the cache has. */
  readonly files: readonly Pick<RemoteFile, "path" | "sizeBytes">[];
  /** What was not in the cache before. */
  readonly downloadedBytes: number;
}
