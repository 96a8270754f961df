/**
 * Results that are fetched later. A request is answered at once with an id; whoever has it polls, each time for some tens
 * of seconds, and may ask again for what was lost on the way, so results are kept for minutes. What identifies a request
 * (a model and a number in it, for example) is its key: the same key again is the same request, whose work is not done twice.
 */

import { createHash, randomUUID } from "node:crypto";
import { AhaError } from "../../errors.ts";
import type { Failure } from "../../tinker/requests.ts";
import { Refusal, RequestFailure } from "./refusal.ts";

/** What a request came to. */
export type FutureResult =
  | { readonly kind: "json"; readonly value: object }
  | { readonly kind: "protobuf"; readonly bytes: Uint8Array }
  | ({ readonly kind: "failed" } & Failure);

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

interface Entry {
  readonly id: string;
  /** Of the body: one key with two bodies is two requests, of which the second is refused. */
  readonly digest: string;
  result: FutureResult | "pending" | "gone";
  bytes: number;
  /** When it settled, by the clock that `performance` has. */
  settledAt: number;
  /** Settles when the result is there. */
  readonly done: Promise<void>;
  readonly cancel: AbortController;
}

export class Futures {
  readonly #limits: FutureLimits;
  readonly #onDefect: (error: unknown) => void;
  readonly #secret = randomUUID();
  readonly #byKey = new Map<string, Entry>();
  readonly #byId = new Map<string, Entry>();
  #pending = 0;
  #resultBytes = 0;
  #closed = false;
  /** Those who wait for a result, each with what ends its poll. */
  readonly #polls = new Set<() => void>();

  constructor(limits: FutureLimits, onDefect: (error: unknown) => void) {
    this.#limits = limits;
    this.#onDefect = onDefect;
  }

  get pending(): number {
    return this.#pending;
  }

  /**
   * The id of the request that `key` identifies: that of the one that is known, or of a new one, whose `work` is begun.
   *
   * @throws Refusal 422 for another body under a known key, 429 where too many requests are pending.
   */
  begin(key: string, body: Uint8Array | string, work: (signal: AbortSignal) => Promise<FutureResult>): string {
    const digest = createHash("sha256").update(body).digest("base64");
    const known = this.#byKey.get(key);
    if (known !== undefined) {
      if (known.digest === digest) return known.id;
      throw new Refusal(422, `The request ${key} was sent before with another body; a number stands for one request.`);
    }
    if (this.#closed) throw new Refusal(503, "The server is shutting down.");
    if (this.#pending >= this.#limits.mostPending) {
      throw new Refusal(429, `${this.#pending} requests are pending already; send this one again later.`);
    }
    const id = createHash("sha256").update(`${this.#secret} ${key}`).digest("hex").slice(0, 32);
    const cancel = new AbortController();
    this.#pending++;
    const done = this.#settle(id, work(cancel.signal));
    const entry: Entry = { id, digest, result: "pending", bytes: 0, settledAt: 0, done, cancel };
    this.#byKey.set(key, entry);
    this.#byId.set(id, entry);
    this.#forget();
    return id;
  }

  /** The result; undefined where it is not there after the time of a poll. Throws Refusal 404, or 410 for one that is gone. */
  async retrieve(id: string, signal: AbortSignal): Promise<FutureResult | undefined> {
    const entry = this.#byId.get(id);
    if (entry === undefined) throw new Refusal(404, `There is no request ${id.slice(0, 100)}.`);
    if (entry.result === "pending") await this.#wait(entry.done, signal);
    const { result } = entry;
    if (result === "gone")
      throw new Refusal(410, "The result was kept for a while and is gone; send the request again.");
    return result === "pending" ? undefined : result;
  }

  /** Ends a request whose result nobody wants any more. */
  cancel(id: string): void {
    this.#byId.get(id)?.cancel.abort(new RequestFailure("The request was cancelled."));
  }

  /** Answers polls and takes nothing more; what is under way is cancelled. */
  close(): void {
    this.#closed = true;
    for (const stop of this.#polls) stop();
    for (const entry of this.#byId.values()) {
      if (entry.result === "pending") entry.cancel.abort(new RequestFailure("The server is shutting down.", "server"));
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

  async #settle(id: string, work: Promise<FutureResult>): Promise<void> {
    const result = await work.catch((error: unknown) => this.#failure(error));
    this.#pending--;
    const entry = this.#byId.get(id)!;
    entry.result = result;
    entry.settledAt = performance.now();
    entry.bytes = sizeOf(result);
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
  }

  /** Forgets the oldest requests, of which there is no result any more. */
  #forget(): void {
    if (this.#byKey.size <= MOST_REMEMBERED) return;
    for (const [key, entry] of this.#byKey) {
      if (this.#byKey.size <= MOST_REMEMBERED / 2) return;
      if (entry.result !== "gone") continue;
      this.#byKey.delete(key);
      this.#byId.delete(entry.id);
    }
  }
}

function sizeOf(result: FutureResult): number {
  switch (result.kind) {
    case "json":
      return JSON.stringify(result.value).length;
    case "protobuf":
      return result.bytes.length;
    case "failed":
      return result.error.length;
    default:
      return result satisfies never;
  }
}
