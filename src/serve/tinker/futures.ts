/**
 * Results that are fetched later. A request is kept (`journal.ts`) and answered at once with an id; whoever has it polls,
 * each time for some tens of seconds, and may ask again for what was lost on the way, so results are kept for minutes. What
 * identifies a request (a model and a number in it, for example) is its key: the same key again is the same request, whose
 * work is not done twice.
 */

import { createHash, randomUUID } from "node:crypto";
import { AhaError } from "../../errors.ts";
import type { FutureResult } from "./future-result.ts";
import type { Journal } from "./journal.ts";
import { digestOf, payloadOf, type TakenRequest } from "./kept-files.ts";
import { Refusal, RequestFailure } from "./refusal.ts";

export interface FutureLimits {
  /** Requests whose results are not there yet. */
  readonly mostPending: number;
  /** Bytes of results that are kept. */
  readonly mostResultBytes: number;
  /** How long a result is kept. */
  readonly keptMs: number;
  /** Longest poll. */
  readonly pollMs: number;
}

/** How many requests are remembered beyond their results, so that a late repetition is recognised. */
const MOST_REMEMBERED = 100_000;

/** A request as who takes it knows it: without an id. */
export type FutureRequest = Omit<TakenRequest, "id" | "digest">;

/** Where requests and results are kept beyond the end of the process (`journal.ts`). */
export type RequestKeeper = Pick<Journal, "request" | "result" | "drop">;

/** The work of a request. Where the signal is aborted nobody wants its result any more. */
type Work = (signal: AbortSignal) => Promise<FutureResult>;

interface Entry {
  readonly record: TakenRequest;
  /** `found`: it was there when the server began, and is not begun yet. */
  result: FutureResult | "found" | "pending" | "gone";
  bytes: number;
  /** When it settled, by the clock that `performance` has. */
  settledAt: number;
  /** Resolves when the request is kept. */
  kept: Promise<void>;
  /** Resolves when the result is there. */
  readonly done: Promise<void>;
  readonly settled: () => void;
  /** Undefined once it is settled: what is remembered for long is small. */
  cancel: AbortController | undefined;
}

export class Futures {
  readonly #limits: FutureLimits;
  readonly #keeper: RequestKeeper;
  readonly #onDefect: (error: unknown) => void;
  readonly #secret = randomUUID();
  readonly #byKey = new Map<string, Entry>();
  readonly #byId = new Map<string, Entry>();
  #pending = 0;
  #resultBytes = 0;
  #closed = false;
  /** Those who wait for a result, each with what ends its poll. */
  readonly #polls = new Set<() => void>();

  constructor(limits: FutureLimits, keeper: RequestKeeper, onDefect: (error: unknown) => void) {
    this.#limits = limits;
    this.#keeper = keeper;
    this.#onDefect = onDefect;
  }

  get pending(): number {
    return this.#pending;
  }

  /**
   * The id of the request: that of the one of this key which is known, or of a new one. It is kept, then its `work` is begun.
   *
   * @throws Refusal 422 for another body under a known key, 429 where too many requests are pending or kept.
   */
  async begin(request: FutureRequest, body: Uint8Array | string, work: Work): Promise<string> {
    const { key } = request;
    const digest = digestOf(body);
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      if (known.record.digest !== digest) {
        throw new Refusal(
          422,
          `The request ${key} was sent before with another body; a number stands for one request.`,
        );
      }
      if (known.result === "found") this.#start(known, work);
      await known.kept;
      return known.record.id;
    }
    if (this.#closed) throw new Refusal(503, "The server is shutting down.");
    if (this.#pending >= this.#limits.mostPending) {
      throw new Refusal(429, `${this.#pending} requests are pending already; send this one again later.`);
    }
    const id = createHash("sha256").update(`${this.#secret} ${key}`).digest("hex").slice(0, 32);
    const record = { ...request, id, digest };
    const entry = this.#add(record, "pending");
    this.#pending++;
    try {
      entry.kept = this.#keeper.request(record, typeof body === "string" ? Buffer.from(body) : body);
      await entry.kept;
    } catch (error) {
      this.#pending--;
      this.#byKey.delete(key);
      this.#byId.delete(id);
      throw error;
    }
    this.#start(entry, work);
    this.#forget();
    return id;
  }

  /** Takes over a request of a server before this one. Where it has no result it is begun when it is sent again (`begin`). */
  restore(record: TakenRequest, result: FutureResult | "gone" | undefined): void {
    const entry = this.#add(record, result ?? "found");
    if (result === undefined) {
      this.#pending++;
      return;
    }
    entry.settled();
    entry.cancel = undefined;
    if (result === "gone") return;
    entry.settledAt = performance.now();
    entry.bytes = payloadOf(result).length;
    this.#resultBytes += entry.bytes;
  }

  /** Fails a request that was taken over and cannot be begun. */
  async failRestored(id: string, error: unknown): Promise<void> {
    const entry = this.#byId.get(id);
    if (entry?.result === "found") await this.#settle(entry, Promise.reject(error));
  }

  /** The result; undefined where it is not there after the time of a poll. Throws Refusal 404, or 410 for one that is gone. */
  async retrieve(id: string, signal: AbortSignal): Promise<FutureResult | undefined> {
    const entry = this.#byId.get(id);
    if (entry === undefined) throw new Refusal(404, `There is no request ${id.slice(0, 100)}.`);
    if (isUnsettled(entry)) await this.#wait(entry.done, signal);
    const { result } = entry;
    if (result === "gone")
      throw new Refusal(410, "The result was kept for a while and is gone; send the request again.");
    return result === "pending" || result === "found" ? undefined : result;
  }

  /** Ends a request whose result nobody wants any more. */
  cancel(id: string): void {
    this.#byId.get(id)?.cancel?.abort(new RequestFailure("The request was cancelled."));
  }

  /** Answers polls and takes nothing more. What is under way is cancelled; it is pending for the next server. */
  close(): void {
    this.#closed = true;
    for (const stop of this.#polls) stop();
    for (const entry of this.#byId.values()) {
      if (isUnsettled(entry)) entry.cancel?.abort(new RequestFailure("The server is shutting down.", "server"));
    }
  }

  /** Lets go of results that were kept for long enough. Called now and then. */
  sweep(): void {
    const oldest = performance.now() - this.#limits.keptMs;
    for (const entry of this.#byId.values()) {
      if (typeof entry.result === "object" && entry.settledAt < oldest) this.#drop(entry);
    }
  }

  async #wait(done: Promise<void>, signal: AbortSignal): Promise<void> {
    let stop: () => void = () => {};
    const over = new Promise<void>((resolve) => {
      stop = resolve;
    });
    const timer = setTimeout(stop, this.#limits.pollMs);
    signal.addEventListener("abort", stop, { once: true });
    this.#polls.add(stop);
    await Promise.race([done, over]);
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    this.#polls.delete(stop);
  }

  #add(record: TakenRequest, result: Entry["result"]): Entry {
    const { promise: done, resolve: settled } = withResolver();
    const cancel = new AbortController();
    const entry: Entry = { record, result, bytes: 0, settledAt: 0, kept: Promise.resolve(), done, settled, cancel };
    this.#byKey.set(record.key, entry);
    this.#byId.set(record.id, entry);
    return entry;
  }

  #start(entry: Entry, work: Work): void {
    entry.result = "pending";
    void this.#settle(entry, work(entry.cancel!.signal));
  }

  async #settle(entry: Entry, work: Promise<FutureResult>): Promise<void> {
    const result = await work.catch((error: unknown) => this.#failure(error));
    // What fails because the server ends is pending for the next one.
    if (this.#closed && result.kind === "failed") return;
    await this.#keeper.result(entry.record, result).catch(this.#onDefect);
    this.#pending--;
    entry.result = result;
    entry.settledAt = performance.now();
    entry.bytes = payloadOf(result).length;
    entry.cancel = undefined;
    entry.settled();
    this.#resultBytes += entry.bytes;
    for (const other of this.#byId.values()) {
      if (this.#resultBytes <= this.#limits.mostResultBytes) break;
      if (typeof other.result === "object" && other !== entry) this.#drop(other);
    }
  }

  #failure(error: unknown): FutureResult {
    if (error instanceof RequestFailure) return { kind: "failed", error: error.message, category: error.category };
    if (error instanceof AhaError) return { kind: "failed", error: error.message, category: "user" };
    this.#onDefect(error);
    return { kind: "failed", error: "The server had an error while it worked on the request.", category: "server" };
  }

  #drop(entry: Entry): void {
    this.#resultBytes -= entry.bytes;
    entry.bytes = 0;
    entry.result = "gone";
    this.#keeper.drop(entry.record).catch(this.#onDefect);
  }

  /** Forgets the oldest requests, of which there is no result any more. */
  #forget(): void {
    if (this.#byKey.size <= MOST_REMEMBERED) return;
    for (const [key, entry] of this.#byKey) {
      if (this.#byKey.size <= MOST_REMEMBERED / 2) return;
      if (entry.result !== "gone") continue;
      this.#byKey.delete(key);
      this.#byId.delete(entry.record.id);
    }
  }
}

const isUnsettled = ({ result }: Entry) => result === "pending" || result === "found";

function withResolver(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((own) => {
    resolve = own;
  });
  return { promise, resolve };
}
