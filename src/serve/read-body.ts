/**
 * Reads a request's body within a limit, as bytes. Only application/json is taken: what a browser sends without asking
 * first (a form, plain text) could come from any web page that its user happens to look at.
 */

import type { IncomingMessage } from "node:http";
import { ApiError } from "./api-error.ts";

/** Throws ApiError: 415 for another content type, 413 for a body beyond the limit. */
export async function readBody(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const type = /^[^;]*/
    .exec(request.headers["content-type"] ?? "")![0]
    .trim()
    .toLowerCase();
  if (type !== "application/json") {
    throw new ApiError(415, "Expected a body of content type application/json.", { code: "unsupported_media_type" });
  }
  // A wrong Content-Length is detected below.
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const chunks: Buffer[] = [];
  let size = 0;
  // Destroying the request would close the connection before the answer is sent.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function tooLarge(maxBytes: number): ApiError {
  return new ApiError(413, `The request's body is larger than the ${maxBytes} bytes that this server takes.`, {
    code: "request_too_large",
  });
}
