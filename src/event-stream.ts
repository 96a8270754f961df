/**
 * Server-sent events: one JSON value per event. While there is no event, a comment is sent from time to time, so that proxies
 * do not close a connection that is only waiting.
 */

import type { ServerResponse } from "node:http";

const COMMENT_EVERY_MS = 15_000;

/** A response that is a stream of events. */
export class EventStream {
  readonly #response: ServerResponse;
  readonly #comments: NodeJS.Timeout;

  /** Sends the response's head; `headers` are added to it. */
  constructor(response: ServerResponse, headers: Readonly<Record<string, string>>) {
    this.#response = response;
    response.writeHead(200, {
      ...headers,
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-store, no-transform",
      // nginx would otherwise collect events before it passes them on.
      "x-accel-buffering": "no",
    });
    response.flushHeaders();
    this.#comments = setInterval(() => this.#write(": waiting\n\n"), COMMENT_EVERY_MS);
    this.#comments.unref();
    response.on("close", () => clearInterval(this.#comments));
  }

  send(data: unknown): void {
    this.sendText(JSON.stringify(data));
  }

  /** An event that is one line of text as it stands. */
  sendText(line: string): void {
    this.#write(`data: ${line}\n\n`);
    this.#comments.refresh();
  }

  /** Ends the stream. */
  end(): void {
    clearInterval(this.#comments);
    this.#response.end();
  }

  #write(text: string): void {
    if (!this.#response.writableEnded && !this.#response.destroyed) this.#response.write(text);
  }
}
