/**
 * Reads a request's JSON body within a limit. Only application/json is taken: what a browser sends without asking first
 * (a form, plain text) could come from any web page that its user happens to look at.
 */

import type { IncomingMessage } from "node:http";
import { ApiError } from "./api-error.ts";

/** Throws ApiError: 415 for another content type, 413 for a body beyond the limit, 400 where it is not JSON in UTF-8. */
export async function readJsonBody(request: IncomingMessage, maxBytes: number): Promise<unknown> {
  const type = /^[^;]*/
    .exec(request.headers["content-type"] ?? "")![0]
    .trim()
    .toLowerCase();
  if (type !== "application/json") {
    throw new ApiError(415, "Expected a body of content type application/json.", { code: "unsupported_media_type" });
  }
  // A length that lies is found out below.
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) throw tooLarge(maxBytes);
  const chunks: Buffer[] = [];
  let size = 0;
  // To destroy the request would close the connection before its answer is sent.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
  } catch (error) {
    const reason = error instanceof SyntaxError ? error.message.slice(0, 200) : "it is not UTF-8";
    throw new ApiError(400, `The request's body is not JSON: ${reason}.`, { code: "invalid_json" });
  }
}

function tooLarge(maxBytes: number): ApiError {
  return new ApiError(413, `The request's body is larger than the ${maxBytes} bytes that this server takes.`, {
    code: "request_too_large",
  });
}
