/** The routes of the server, and what is said of those that other servers have and this one has not. */

import type { IncomingMessage } from "node:http";
import { ApiError } from "./api-error.ts";

const exactly = (wanted: string) => (path: string) => path === wanted;

/** The routes, by the names under which they are counted. */
export const ROUTES = [
  { name: "/health", method: "GET", matches: exactly("/health") },
  { name: "/metrics", method: "GET", matches: exactly("/metrics") },
  { name: "/v1/models", method: "GET", matches: exactly("/v1/models") },
  { name: "/v1/models/{model}", method: "GET", matches: (path: string) => path.startsWith("/v1/models/") },
  { name: "/v1/chat/completions", method: "POST", matches: exactly("/v1/chat/completions") },
  { name: "/v1/completions", method: "POST", matches: exactly("/v1/completions") },
  { name: "/tokenize", method: "POST", matches: exactly("/tokenize") },
  { name: "/detokenize", method: "POST", matches: exactly("/detokenize") },
  { name: "/tokenizer_info", method: "GET", matches: exactly("/tokenizer_info") },
] as const;

/** Endpoints that clients may look for, and what will not happen here. */
const ABSENT: readonly (readonly [path: string, lacks: string])[] = [
  ["/v1/embeddings", "no embedding is computed: the served model writes text"],
  ["/v1/responses", "no response is stored or continued; use /v1/chat/completions"],
  ["/v1/assistants", "no assistant is kept; use /v1/chat/completions"],
  ["/v1/threads", "no conversation is kept; use /v1/chat/completions"],
  ["/v1/audio", "nothing is spoken or heard"],
  ["/v1/images", "no image is made"],
  ["/v1/moderations", "nothing is moderated"],
  ["/v1/files", "no file is kept"],
  ["/v1/batches", "no batch is processed; send its requests one by one"],
  ["/v1/fine_tuning", "nothing is trained here; use aha run"],
  ["/v1/rerank", "nothing is ranked"],
  ["/v1/score", "no pair is scored"],
  ["/pooling", "no pooled state is computed"],
];

/** The path of a request's URL, without a slash at its end. */
export function pathOf(request: IncomingMessage): string {
  const path = (request.url ?? "/").split("?")[0]!;
  return path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
}

/** 404, with what will not happen where it is known what was looked for. */
export function absentEndpoint(method: string, path: string): ApiError {
  const known = ABSENT.find(([prefix]) => path === prefix || path.startsWith(`${prefix}/`));
  const message = known
    ? `${known[0]} is not supported by this server: ${known[1]}.`
    : `Unknown request URL: ${method} ${path.slice(0, 200)}.`;
  return new ApiError(404, message, { code: "unknown_url" });
}

/** A part of a path without its escapes; as it stands where they are none. */
export function decodePath(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
