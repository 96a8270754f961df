/**
 * Server-sent events, as OpenAI streams them: one JSON object per event, `[DONE]` at the end. While there is no event,
 * a comment is sent from time to time, so that proxies do not close a connection that is only waiting.
 */

import type { ServerResponse } from "node:http";

const COMMENT_EVERY_MS = 15_000;

export class EventStream {
  readonly #response: ServerResponse;
  readonly #comments: NodeJS.Timeout;

  /** Sends the response's head; `headers` are added to it. */
  constructor(response: ServerResponse, headers: Readonly<Record<string, string>>) {
    this.#response = response;
    response.writeHead(200, {
      ...headers,
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache, no-transform",
      // nginx would otherwise collect events before it passes them on.
      "x-accel-buffering": "no",
    });
    response.flushHeaders();
    this.#comments = setInterval(() => this.#write(": waiting\n\n"), COMMENT_EVERY_MS);
    this.#comments.unref();
  }

  send(data: object): void {
    this.#write(`data: ${JSON.stringify(data)}\n\n`);
    this.#comments.refresh();
  }

  /** Ends the stream; `complete`: with `[DONE]`, which says that nothing is missing. */
  end(complete: boolean): void {
    clearInterval(this.#comments);
    if (complete) this.#write("data: [DONE]\n\n");
    this.#response.end();
  }

  #write(text: string): void {
    if (!this.#response.writableEnded && !this.#response.destroyed) this.#response.write(text);
  }
}
