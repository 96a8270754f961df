/** Frozen copies of the model that were trained, which requests name by their paths (`tinker://…`). */

import type { SamplingSession } from "../engine/contract/session.ts";

/** Where they are. */
export interface Snapshots {
  /** Throws ApiError 404 where there is none of this path. */
  require(path: string): Promise<void>;
  /** Lets `work` generate with it; its weights stay in memory meanwhile. Throws ApiError 404. */
  use<T>(path: string, work: (session: SamplingSession) => Promise<T>): Promise<T>;
}
