/**
 * Requests to a Tinker server, sent again where that may help. What may be sent again is decided by who asks: a request that
 * has a number (of a model, of a sampling session) is the same request however often it arrives.
 */

import { fetchFailure } from "../../endpoint/fetch-failure.ts";
import { retryAfterMs } from "../../endpoint/retry.ts";
import { EngineError } from "../../errors.ts";

/** One request over the wire. */
export interface WireRequest {
  readonly method: "GET" | "POST" | "DELETE";
  /** Below the server's address, e.g. `/api/v1/asample`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

export interface WireResponse {
  readonly status: number;
  readonly header: (name: string) => string | null;
  readonly body: Uint8Array;
}

/** What carries requests: `fetch`, or a stand-in. Rejects where no answer came. */
export type Wire = (request: WireRequest) => Promise<WireResponse>;

/** Time as the client has it: real, or a test's. */
export interface Clock {
  now(): number;
  sleep(milliseconds: number): Promise<void>;
}

/** Time as it passes. */
export const REAL_CLOCK: Clock = {
  now: () => performance.now(),
  sleep: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
};

/** Longest that a single exchange may take. Servers may hold a poll for longer (SkyRL: 300 s). */
const EXCHANGE_MS = 120_000;

/** A wire over `fetch` to a server at `url`. */
export function fetchWire(url: string): Wire {
  const base = url.replace(/\/+$/, "");
  return async ({ method, path, headers, body }) => {
    const signal = AbortSignal.timeout(EXCHANGE_MS);
    const response = await fetch(base + path, {
      method,
      headers,
      signal,
      redirect: "error",
      ...(body !== undefined && { body }),
    });
    const bytes = new Uint8Array(await response.arrayBuffer());
    return { status: response.status, header: (name) => response.headers.get(name), body: bytes };
  };
}

/** The server refused a request for good: it was not taken. */
export class RequestRefused extends EngineError {
  override name = "RequestRefused";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** The same of a request that was sent before and whose answer was lost: it may have been taken then. */
export class RepeatedRequest extends RequestRefused {
  override name = "RepeatedRequest";
}

/** No answer came, or only those that say "again", for as long as was tried: whether the request was taken is not known. */
export class ServerLost extends EngineError {
  override name = "ServerLost";
}

/** Waits between tries: 0.25 s, doubling, at most 15 s. */
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 15_000;
/** A server that asks for a longer wait is asked again at our own pace. */
const LONGEST_ASKED_MS = 60_000;

export interface TransportOptions {
  readonly wire: Wire;
  readonly clock: Clock;
  /** The server as messages call it. */
  readonly url: string;
  /** Sent with every request where it is there; in no message. */
  readonly apiKey: string | undefined;
  /** How long a request is tried. */
  readonly patienceMs: number;
}

/** Requests to one server, with its key. */
export class Transport {
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  /** What a server says, without the key: one that repeats it does not make it known. */
  redacted(text: string): string {
    const { apiKey } = this.#options;
    return apiKey === undefined ? text : text.replaceAll(apiKey, "[key]");
  }

  /** What an answer says of itself: `detail`, or its beginning. It is without the key, and without a part of it at the cut. */
  detailOf(body: Uint8Array): string {
    const text = this.redacted(new TextDecoder().decode(body)).slice(0, 4000).trim();
    try {
      const { detail } = JSON.parse(text) as { readonly detail?: unknown };
      if (detail !== undefined) {
        // Once more: in JSON the key may have been written in another way.
        return this.redacted(typeof detail === "string" ? detail : JSON.stringify(detail)).replace(/\.$/, "");
      }
    } catch {
      // No JSON.
    }
    return text.slice(0, 300);
  }

  /**
   * Sends a request until it is answered. `once`: it may not be sent again where it may have arrived. `patienceMs`: how long it
   * is tried, if not as long as others; 0: it is never sent again. `polls`: it asks for what takes as long as it takes, so a
   * server that has nothing yet (408, or no answer before the exchange ends, while it answers others) is not one that is lost.
   *
   * @throws RequestRefused for an answer that will stay; ServerLost where none came, or where it may not be asked again.
   */
  async send(
    request: Omit<WireRequest, "headers"> & { readonly headers?: Readonly<Record<string, string>> },
    {
      once = false,
      patienceMs = this.#options.patienceMs,
      polls = false,
    }: { readonly once?: boolean; readonly patienceMs?: number; readonly polls?: boolean } = {},
  ): Promise<WireResponse> {
    const { wire, clock, apiKey, url } = this.#options;
    const headers = {
      ...(apiKey !== undefined && { "x-api-key": apiKey }),
      ...(request.body !== undefined && { "content-type": "application/json" }),
      ...request.headers,
    };
    let startedAt = clock.now();
    let mayHaveArrived = false;
    let wait = FIRST_WAIT_MS;
    let pause = wait;
    // A server that has nothing yet is not in trouble: its next poll comes as soon as after a first one.
    const beginAnew = () => {
      startedAt = clock.now();
      wait = pause = FIRST_WAIT_MS;
    };
    for (; ; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
      const outcome = await wire({ ...request, headers }).catch((error: unknown) => error as Error);
      let trouble: string;
      pause = wait;
      if (outcome instanceof Error) {
        trouble = this.redacted(`no answer (${fetchFailure(outcome)})`);
        if (once) throw lost(url, request.path, trouble);
        mayHaveArrived = true;
        if (polls && outcome.name === "TimeoutError" && (await this.#isThere(headers))) beginAnew();
      } else {
        const { status } = outcome;
        if (status >= 200 && status < 300) return outcome;
        const detail = this.detailOf(outcome.body);
        trouble = `${status}${detail === "" ? "" : ` ${detail}`}`;
        if (!isPassing(outcome)) throw refused(url, request.path, status, detail, mayHaveArrived);
        if (status !== 429) mayHaveArrived = true;
        if (polls && status === 408) beginAnew();
        // A server that is busy has not taken it; one that broke may have.
        if (once && status !== 429) throw lost(url, request.path, trouble);
        const askedMs = retryAfterMs(outcome.header("retry-after"), Date.now());
        if (askedMs !== undefined && askedMs <= LONGEST_ASKED_MS) pause = askedMs;
      }
      if (clock.now() - startedAt + pause > patienceMs) throw lost(url, request.path, trouble);
      await clock.sleep(pause);
    }
  }

  /** Whether the server answers at all. */
  async #isThere(headers: Readonly<Record<string, string>>): Promise<boolean> {
    const { wire } = this.#options;
    return wire({ method: "GET", path: "/api/v1/healthz", headers }).then(
      ({ status }) => status < 500,
      () => false,
    );
  }
}

/** Whether the same request may be answered differently later. */
function isPassing({ status, header }: WireResponse): boolean {
  const said = header("x-should-retry");
  if (said === "true" || said === "false") return said === "true";
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

function refused(url: string, path: string, status: number, detail: string, isRepeated: boolean): RequestRefused {
  const Refused = isRepeated ? RepeatedRequest : RequestRefused;
  const advice = status === 401 || status === 403 ? " The key comes from the environment variable TINKER_API_KEY." : "";
  return new Refused(
    status,
    `The Tinker server at ${url} refused ${path} (${status}): ${detail || "it does not say why"}.${advice}`,
  );
}

function lost(url: string, path: string, trouble: string): ServerLost {
  return new ServerLost(
    `The Tinker server at ${url} could not be asked (${path}): ${trouble}. ` +
      "Go on from the last checkpoint (--resume) when it is there again.",
  );
}
