/**
 * The slots of a session, which does not know what requests will come. There is one cache. Its rows are as long as the
 * longest sequence in it may become, and there are as many rows as the memory allows at that length.
 *
 * If a sequence needs longer rows, a new cache is made, provided that all sequences that are being decoded fit into it
 * as well. Otherwise the sequence waits until enough of them have ended. When the long sequences have ended, rows
 * become shorter again, and there are more of them. Space is reserved for the longest completion that a sequence may
 * have, so a sequence that was begun is never evicted. Lengths are powers of two: few caches are made. While one cache
 * replaces another, both are in memory, and the sequences that are being decoded wait. To avoid this, rows are from the
 * start as long as the memory allows for all slots. (Memory that nothing was written to is only an address range.)
 */

import type { SlotMemory, UsedRow } from "./decode-loop.ts";
import { KeyValueCache } from "./key-value-cache.ts";
import { affordableRows, type SamplerLimits } from "./limits.ts";
import type { SamplingProgram } from "./sampling-program.ts";

const SHORTEST_ROW = 256;

export class GrowingSlots implements SlotMemory {
  readonly #program: SamplingProgram;
  readonly #limits: SamplerLimits;
  readonly #shortestRow: number;
  #cache: KeyValueCache | undefined;

  constructor(program: SamplingProgram, limits: SamplerLimits) {
    this.#program = program;
    this.#limits = limits;
    const { config } = program;
    let length = SHORTEST_ROW;
    while (
      length < config.maxContextTokens &&
      affordableRows(config, program.cacheDType, limits, 2 * length) >= limits.maxSlots
    )
      length *= 2;
    this.#shortestRow = length;
  }

  rowsFor(mostPositions: number, used: readonly UsedRow[], leave: () => void): KeyValueCache | undefined {
    const { device, config, cacheDType } = this.#program;
    const needed = used.reduce((most, row) => Math.max(most, row.mostPositions), mostPositions);
    const current = this.#cache;
    if (current && needed <= current.positions && used.length < current.rows) return current;
    const positions = this.#rowLength(needed);
    const rows = affordableRows(config, cacheDType, this.#limits, positions);
    if (used.length >= rows) return undefined;
    const letGo = () => {
      if (current) leave();
      this.release();
    };
    if (used.length === 0) letGo();
    const cache = new KeyValueCache(device, config, cacheDType, rows, positions);
    if (current && used.length > 0) {
      for (const [row, { cachedPositions }] of used.entries()) cache.copyRow(row, current, row, cachedPositions);
      letGo();
    }
    this.#cache = cache;
    return cache;
  }

  hasRoom(rows: number, mostPositions: number): boolean {
    const current = this.#cache;
    if (current && mostPositions <= current.positions && rows <= current.rows) return true;
    return (
      rows <=
      affordableRows(this.#program.config, this.#program.cacheDType, this.#limits, this.#rowLength(mostPositions))
    );
  }

  /** Positions of a row that holds `needed` positions. */
  #rowLength(needed: number): number {
    let positions = this.#shortestRow;
    while (positions < needed) positions *= 2;
    return Math.min(positions, this.#program.config.maxContextTokens);
  }

  /** Lets go of the memory. */
  release(): void {
    this.#cache?.dispose();
    this.#cache = undefined;
  }
}
