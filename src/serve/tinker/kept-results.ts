/**
 * Results from when they are there until nobody may ask for them any more. They are on the disk (`journal.ts`), and there
 * they stay; in memory a result is until it was told once, for most clients wait for it, and few ask a second time. So what
 * the server has in memory of a request that is over are some hundred bytes, however large its result.
 *
 * Results go when they are old, and earlier where there are too many or they have too many bytes: those that were told first.
 */

import type { FutureResult } from "./future-result.ts";
import type { Journal } from "./journal.ts";
import { payloadOf, type TakenRequest } from "./kept-files.ts";

export interface ResultLimits {
  readonly mostResults: number;
  /** Bytes of all results that are kept. */
  readonly mostBytes: number;
  /** Bytes of those in memory. */
  readonly mostBytesInMemory: number;
  /** How long a result is kept. */
  readonly keptMs: number;
}

/** Where results are on the disk. */
export type ResultKeeper = Pick<Journal, "result" | "readResult" | "drop">;

/** One of them. */
export interface KeptResult {
  readonly record: TakenRequest;
  readonly bytes: number;
  /** By the clock that `performance` has. */
  readonly since: number;
  readonly isOnDisk: boolean;
  inMemory: FutureResult | undefined;
}

export class KeptResults {
  readonly #limits: ResultLimits;
  readonly #keeper: ResultKeeper;
  readonly #onGone: (record: TakenRequest) => void;
  readonly #onDefect: (error: unknown) => void;
  /** The oldest ones first. */
  readonly #untold = new Set<KeptResult>();
  readonly #told = new Set<KeptResult>();
  readonly #inMemory = new Set<KeptResult>();
  #bytes = 0;
  #bytesInMemory = 0;

  /** `onGone` is told of each that is kept no longer. */
  constructor(
    limits: ResultLimits,
    keeper: ResultKeeper,
    {
      onGone,
      onDefect,
    }: { readonly onGone: (record: TakenRequest) => void; readonly onDefect: (error: unknown) => void },
  ) {
    this.#limits = limits;
    this.#keeper = keeper;
    this.#onGone = onGone;
    this.#onDefect = onDefect;
  }

  /** How many there are, and their bytes: of all, and of those in memory. */
  get size(): { readonly results: number; readonly bytes: number; readonly bytesInMemory: number } {
    return {
      results: this.#untold.size + this.#told.size,
      bytes: this.#bytes,
      bytesInMemory: this.#bytesInMemory,
    };
  }

  /** Keeps what a request came to. One that cannot be written stays in memory. */
  async add(record: TakenRequest, result: FutureResult): Promise<KeptResult> {
    const isOnDisk = await this.#keeper.result(record, result).catch((error: unknown) => {
      this.#onDefect(error);
      return false;
    });
    const { length: bytes } = payloadOf(result);
    const kept: KeptResult = { record, bytes, since: performance.now(), isOnDisk, inMemory: result };
    this.#untold.add(kept);
    this.#inMemory.add(kept);
    this.#bytes += bytes;
    this.#bytesInMemory += bytes;
    this.#makeRoom(kept);
    return kept;
  }

  /** Notes a result of a server before this one, of so many bytes. */
  addFound(record: TakenRequest, bytes: number): KeptResult {
    const kept: KeptResult = { record, bytes, since: performance.now(), isOnDisk: true, inMemory: undefined };
    this.#untold.add(kept);
    this.#bytes += bytes;
    return kept;
  }

  /** The result, which counts as told; undefined where it is gone. */
  async tell(kept: KeptResult): Promise<FutureResult | undefined> {
    const result = kept.inMemory ?? (await this.#keeper.readResult(kept.record));
    if (this.#untold.delete(kept)) this.#told.add(kept);
    if (kept.isOnDisk) this.#forgetCopy(kept);
    return result;
  }

  /** Lets go of those that were kept for long enough. Called now and then. */
  sweep(): void {
    const oldest = performance.now() - this.#limits.keptMs;
    for (const results of [this.#told, this.#untold]) {
      for (const kept of results) if (kept.since < oldest) this.#drop(kept);
    }
  }

  /** `newest` stays, whatever it takes. */
  #makeRoom(newest: KeptResult): void {
    const { mostResults, mostBytes, mostBytesInMemory } = this.#limits;
    for (const kept of this.#inMemory) {
      if (this.#bytesInMemory <= mostBytesInMemory) break;
      if (kept === newest) continue;
      if (kept.isOnDisk) this.#forgetCopy(kept);
      else this.#drop(kept);
    }
    for (const results of [this.#told, this.#untold]) {
      for (const kept of results) {
        if (this.#bytes <= mostBytes && this.#told.size + this.#untold.size <= mostResults) return;
        if (kept !== newest) this.#drop(kept);
      }
    }
  }

  #forgetCopy(kept: KeptResult): void {
    if (!this.#inMemory.delete(kept)) return;
    kept.inMemory = undefined;
    this.#bytesInMemory -= kept.bytes;
  }

  #drop(kept: KeptResult): void {
    this.#forgetCopy(kept);
    this.#told.delete(kept);
    this.#untold.delete(kept);
    this.#bytes -= kept.bytes;
    this.#onGone(kept.record);
    this.#keeper.drop(kept.record).catch(this.#onDefect);
  }
}
