/**
 * Results that are fetched later. A request is kept (`journal.ts`) and answered at once with an id; whoever has it polls,
 * each time for some tens of seconds, and may ask again for what was lost on the way, so results are kept for minutes
 * (`kept-results.ts`). What identifies a request (a model and a number in it, for example) is its key: as long as its result
 * is kept, the same key again is the same request, whose work is not done twice. Afterwards a request is forgotten. One that
 * takes a turn of a model is still not carried out twice: its number is over (`numbered-turns.ts`).
 */

import { createHash, randomUUID } from "node:crypto";
import { AhaError } from "../../errors.ts";
import { diskFullFailure } from "./checkpoint-room.ts";
import type { FutureResult } from "./future-result.ts";
import type { Journal } from "./journal.ts";
import { digestOf, type TakenRequest, takenRequest } from "./kept-files.ts";
import { type KeptResult, KeptResults, type ResultKeeper, type ResultLimits } from "./kept-results.ts";
import { Refusal, RequestFailure } from "./refusal.ts";

export interface FutureLimits extends ResultLimits {
  /** Requests whose results are not there yet. */
  readonly mostPending: number;
  /** Longest poll. */
  readonly pollMs: number;
}

/** Of how many requests that were forgotten last it is known that there were such ones. */
const MOST_GONE = 10_000;

/** A request as who takes it knows it: without an id. */
export type FutureRequest = Omit<TakenRequest, "id" | "digest">;

/** Where requests and results are kept beyond the end of the process (`journal.ts`). */
export type RequestKeeper = ResultKeeper & Pick<Journal, "request" | "whileBegunAgain">;

/** The work of a request. Where the signal is aborted nobody wants its result any more. */
type Work = (signal: AbortSignal) => Promise<FutureResult>;

/** What a request has until its result is there. */
interface Pending {
  /** It was there when the server began, and is not begun yet. */
  isFound: boolean;
  /** Resolves when the request is kept. */
  kept: Promise<void>;
  /** Resolves when the result is there. */
  readonly done: Promise<void>;
  readonly settled: () => void;
  readonly cancel: AbortController;
}

/** A request: what it waits for, or what it came to. There are many of the latter, so they are small. */
interface Entry {
  readonly record: TakenRequest;
  state: Pending | KeptResult;
}

export class Futures {
  readonly #limits: FutureLimits;
  readonly #keeper: RequestKeeper;
  readonly #onDefect: (error: unknown) => void;
  readonly #secret = randomUUID();
  readonly #results: KeptResults;
  readonly #byKey = new Map<string, Entry>();
  readonly #byId = new Map<string, Entry>();
  /** Ids of requests that were forgotten, the oldest first. */
  readonly #gone = new Set<string>();
  #pending = 0;
  #closed = false;
  /** Those who wait for a result, each with what ends its poll. */
  readonly #polls = new Set<() => void>();

  constructor(limits: FutureLimits, keeper: RequestKeeper, onDefect: (error: unknown) => void) {
    this.#limits = limits;
    this.#keeper = keeper;
    this.#onDefect = onDefect;
    this.#results = new KeptResults(limits, keeper, { onGone: (record) => this.#forget(record), onDefect });
  }

  get pending(): number {
    return this.#pending;
  }

  /** How many results are kept, and their bytes: of all, and of those in memory. */
  get kept(): KeptResults["size"] {
    return this.#results.size;
  }

  /**
   * The id of the request: that of the one of this key which is known, or of a new one. It is kept, then its `work` is begun.
   *
   * @throws Refusal 422 for another body under a known key, 429 where too many requests are pending or kept, 410 for one
   * that was carried out and whose result is gone.
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
      if (isPending(known.state)) {
        if (known.state.isFound) this.#start(known, known.state, this.#again(known.record, work));
        await known.state.kept;
      }
      return known.record.id;
    }
    if (this.#closed) throw new Refusal(503, "The server is shutting down.");
    if (this.#pending >= this.#limits.mostPending) {
      throw new Refusal(429, `${this.#pending} requests are pending already; send this one again later.`);
    }
    // Of the bytes: a part of a longer text would keep all of it in memory.
    const id = createHash("sha256").update(`${this.#secret} ${key}`).digest().toString("hex", 0, 16);
    const { session, name, turn } = request;
    const record = takenRequest({ id, key, digest, session, name, turn });
    const pending = newPending(false);
    const entry = this.#add(record, pending);
    this.#pending++;
    try {
      pending.kept = this.#keeper.request(record, typeof body === "string" ? Buffer.from(body) : body);
      await pending.kept;
    } catch (error) {
      this.#pending--;
      this.#byKey.delete(key);
      this.#byId.delete(id);
      throw error;
    }
    this.#start(entry, pending, work);
    return id;
  }

  /**
   * Takes over a request of a server before this one, with the bytes of its result. Where it has none it is begun when it is
   * sent again (`begin`).
   */
  restore(record: TakenRequest, result: { readonly bytes: number } | "gone" | undefined): void {
    if (result === "gone") this.#noteGone(record.id);
    else if (result !== undefined) this.#add(record, this.#results.addFound(record, result.bytes));
    else {
      this.#add(record, newPending(true));
      this.#pending++;
    }
  }

  /** Fails a request that was taken over and cannot be begun. */
  async failRestored(id: string, error: unknown): Promise<void> {
    const entry = this.#byId.get(id);
    if (entry && isPending(entry.state) && entry.state.isFound) {
      await this.#settle(entry, entry.state, Promise.reject(error));
    }
  }

  /** The result; undefined where it is not there after the time of a poll. Throws Refusal 404, or 410 for one that is gone. */
  async retrieve(id: string, signal: AbortSignal): Promise<FutureResult | undefined> {
    const entry = this.#byId.get(id);
    if (entry === undefined) {
      throw this.#gone.has(id) ? gone() : new Refusal(404, `There is no request ${id.slice(0, 100)}.`);
    }
    if (isPending(entry.state)) await this.#wait(entry.state.done, signal);
    if (isPending(entry.state)) return undefined;
    const result = await this.#results.tell(entry.state);
    if (result === undefined) throw gone();
    return result;
  }

  /** Ends a request whose result nobody wants any more. */
  cancel(id: string): void {
    const state = this.#byId.get(id)?.state;
    if (state && isPending(state)) state.cancel.abort(new RequestFailure("The request was cancelled."));
  }

  /** Answers polls and takes nothing more. What is under way is cancelled; it is pending for the next server. */
  close(): void {
    this.#closed = true;
    for (const stop of this.#polls) stop();
    for (const { state } of this.#byId.values()) {
      if (isPending(state)) state.cancel.abort(new RequestFailure("The server is shutting down.", "server"));
    }
  }

  /** Lets go of results that were kept for long enough. Called now and then. */
  sweep(): void {
    this.#results.sweep();
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

  #add(record: TakenRequest, state: Entry["state"]): Entry {
    const entry = { record, state };
    this.#byKey.set(record.key, entry);
    this.#byId.set(record.id, entry);
    this.#gone.delete(record.id);
    return entry;
  }

  /** The work of a request that is begun again; one that takes a turn of a model sees to it itself, when its turn comes. */
  #again(record: TakenRequest, work: Work): Work {
    if (record.turn !== undefined) return work;
    return (signal) => this.#keeper.whileBegunAgain(record.session, record.key, () => work(signal));
  }

  #start(entry: Entry, pending: Pending, work: Work): void {
    pending.isFound = false;
    void this.#settle(entry, pending, work(pending.cancel.signal));
  }

  async #settle(entry: Entry, pending: Pending, work: Promise<FutureResult>): Promise<void> {
    const result = await work.catch((error: unknown) => this.#failure(error));
    // What fails because the server ends is pending for the next one.
    if (this.#closed && result.kind === "failed") return;
    entry.state = await this.#results.add(entry.record, result);
    this.#pending--;
    pending.settled();
  }

  #failure(error: unknown): FutureResult {
    const failure = error instanceof RequestFailure ? error : diskFullFailure(error);
    if (failure) return { kind: "failed", error: failure.message, category: failure.category };
    if (error instanceof AhaError) return { kind: "failed", error: error.message, category: "user" };
    this.#onDefect(error);
    return { kind: "failed", error: "The server had an error while it worked on the request.", category: "server" };
  }

  #forget({ key, id }: TakenRequest): void {
    this.#byKey.delete(key);
    this.#byId.delete(id);
    this.#noteGone(id);
  }

  #noteGone(id: string): void {
    this.#gone.add(id);
    for (const oldest of this.#gone) {
      if (this.#gone.size <= MOST_GONE) break;
      this.#gone.delete(oldest);
    }
  }
}

const isPending = (state: Entry["state"]): state is Pending => "done" in state;

const gone = () => new Refusal(410, "The result was kept for a while and is gone; send the request as a new one.");

function newPending(isFound: boolean): Pending {
  let settled: () => void = () => {};
  const done = new Promise<void>((resolve) => {
    settled = resolve;
  });
  return { isFound, kept: Promise.resolve(), done, settled, cancel: new AbortController() };
}
