/**
 * What the server counts, in Prometheus' text format (version 0.0.4): requests by endpoint and status, tokens, time to
 * the first token, time of a request, and how busy the batch is now. No client of Prometheus' is needed for five numbers.
 */

import type { SessionLoad } from "../engine/contract/session.ts";

/** Content type of the text format. */
export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

const SECONDS_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];

/** A request that is over. */
export interface RequestRecord {
  /** The route, not the path of the request: unknown paths must not become names of metrics. */
  readonly endpoint: string;
  /** 499, as nginx has it, where the client went away. */
  readonly status: number;
  readonly seconds: number;
  /** From the request's arrival to its first token; undefined where none was drawn. */
  readonly secondsToFirstToken?: number | undefined;
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** The counters of one server. */
export class ServerMetrics {
  readonly #requests = new Map<string, number>();
  readonly #seconds = new Histogram();
  readonly #secondsToFirstToken = new Histogram();
  #promptTokens = 0;
  #completionTokens = 0;

  record(request: RequestRecord): void {
    const labels = `endpoint="${request.endpoint}",status="${request.status}"`;
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1);
    this.#promptTokens += request.promptTokens;
    this.#completionTokens += request.completionTokens;
    if (request.completionTokens > 0) this.#seconds.observe(request.seconds);
    if (request.secondsToFirstToken !== undefined) this.#secondsToFirstToken.observe(request.secondsToFirstToken);
  }

  /** Everything as text; `load` is the session's now, `inFlight` the requests that are being answered. */
  text(load: SessionLoad, inFlight: number): string {
    const requests = [...this.#requests].sort().map(([labels, count]) => `aha_requests_total{${labels}} ${count}`);
    return [
      ...family("aha_requests_total", "counter", "Requests that were answered, by endpoint and status."),
      ...requests,
      ...single("aha_requests_in_flight", "gauge", "Requests being answered now.", inFlight),
      ...single("aha_sequences_active", "gauge", "Sequences being decoded now, in one batch.", load.active),
      ...single("aha_sequences_waiting", "gauge", "Sequences waiting for a slot.", load.waiting),
      ...single("aha_prompt_tokens_total", "counter", "Prompt tokens of answered requests.", this.#promptTokens),
      ...single(
        "aha_completion_tokens_total",
        "counter",
        "Tokens drawn for answered requests.",
        this.#completionTokens,
      ),
      ...family("aha_request_seconds", "histogram", "Seconds from a request that generated to its last token."),
      ...this.#seconds.lines("aha_request_seconds"),
      ...family("aha_first_token_seconds", "histogram", "Seconds from a request to its first token."),
      ...this.#secondsToFirstToken.lines("aha_first_token_seconds"),
      "",
    ].join("\n");
  }
}

class Histogram {
  /** Observations at or below each bucket's bound. */
  readonly #buckets = SECONDS_BUCKETS.map(() => 0);
  #count = 0;
  #sum = 0;

  observe(value: number): void {
    this.#count++;
    this.#sum += value;
    SECONDS_BUCKETS.forEach((bound, i) => {
      if (value <= bound) this.#buckets[i]!++;
    });
  }

  lines(name: string): string[] {
    return [
      ...SECONDS_BUCKETS.map((bound, i) => `${name}_bucket{le="${bound}"} ${this.#buckets[i]}`),
      `${name}_bucket{le="+Inf"} ${this.#count}`,
      `${name}_sum ${this.#sum}`,
      `${name}_count ${this.#count}`,
    ];
  }
}

function family(name: string, type: string, help: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function single(name: string, type: string, help: string, value: number): string[] {
  return [...family(name, type, help), `${name} ${value}`];
}
