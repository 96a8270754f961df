/** A whole rollout, read from its file where the index says that it stands. */

import { open } from "node:fs/promises";
import { type RolloutRecord, rolloutRecordSchema } from "../run/records.ts";
import { rolloutsFromParquet } from "../run/rollout-parquet.ts";
import { objectIn } from "./log-tail.ts";
import type { RolloutIndex } from "./rollout-index.ts";

/** Reads rows of one index; the Parquet file that was read last stays in memory. */
export class RolloutReader {
  private readonly index: RolloutIndex;
  private parquet: { readonly path: string; readonly rows: readonly RolloutRecord[] } | undefined;

  constructor(index: RolloutIndex) {
    this.index = index;
  }

  /** Row `row`; undefined where there is none, it is damaged, or its file is gone. */
  async read(row: number): Promise<RolloutRecord | undefined> {
    if (!(row >= this.index.firstKept && row < this.index.length)) return undefined;
    const segment = this.index.segmentOf(row);
    try {
      if (segment.format === "parquet") return (await this.rowsOf(segment.path))[row - segment.firstRow];
      const [start, end] = [this.index.starts.at(row), this.index.ends.at(row)];
      const handle = await open(segment.path, "r");
      try {
        const bytes = Buffer.alloc(end - start);
        await handle.read(bytes, 0, bytes.length, start);
        return rolloutRecordSchema.safeParse(objectIn(bytes.toString("utf8"))).data;
      } finally {
        await handle.close();
      }
    } catch (error) {
      // The file may have gone, been renamed or been turned into Parquet just now: asking again finds it.
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  private async rowsOf(path: string): Promise<readonly RolloutRecord[]> {
    if (this.parquet?.path !== path) this.parquet = { path, rows: await rolloutsFromParquet(path) };
    return this.parquet.rows;
  }
}
