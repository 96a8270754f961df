/** Answers of the Hub on this machine over node:http: content by ranges, JSON. */

import type { ServerResponse } from "node:http";

export interface LoggedRequest {
  readonly method: string;
  /** Path with its query. */
  readonly url: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  /** `hub`, or `files`: the other origin. */
  readonly server: "hub" | "files";
}

/** Sends the head of an answer with the content, or with what the request's range leaves of it; returns where it begins. */
export function head(response: ServerResponse, request: LoggedRequest, content: Buffer): number {
  const from = /^bytes=(\d+)-$/.exec(request.range ?? "")?.[1];
  response.setHeader("accept-ranges", "bytes");
  if (from === undefined) {
    response.writeHead(200, { "content-length": content.length });
    return 0;
  }
  const start = Number(from);
  if (start >= content.length) {
    response.writeHead(416, { "content-range": `bytes */${content.length}` });
    return content.length;
  }
  response.writeHead(206, {
    "content-range": `bytes ${start}-${content.length - 1}/${content.length}`,
    "content-length": content.length - start,
  });
  return start;
}

/** Answers with the content, or with what the request's range leaves of it. */
export function sendContent(response: ServerResponse, request: LoggedRequest, content: Buffer): void {
  const from = head(response, request, content);
  response.end(content.subarray(from));
}

/** Answers with JSON. */
export function json(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(value));
}
