/**
 * Access control: the API key, the host names that the server answers to, and the headers for web pages (CORS).
 *
 * A server on the loopback address without a key is for the programs of this machine. A web page could still reach it by
 * a name of its own that it lets resolve to 127.0.0.1 (DNS rebinding), so in that case only requests to a loopback name
 * are answered. With a key, or bound to a network, other names are legitimate.
 */

import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { ApiError } from "./api-error.ts";

export interface AccessRules {
  /** Where the server listens. */
  readonly host: string;
  readonly apiKey: string | undefined;
  /** The origin whose pages may read answers, or `*`; undefined: none but the server's own. */
  readonly corsOrigin: string | undefined;
}

/** Whether an address is only reachable from this machine. */
export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, "").toLowerCase();
  return name === "localhost" || name === "::1" || /^127(\.\d{1,3}){3}$/.test(name);
}

/** Throws ApiError 403 for a request that was sent to another name than this machine's own. */
export function requireKnownHost(rules: AccessRules, request: IncomingMessage): void {
  if (rules.apiKey !== undefined || !isLoopback(rules.host)) return;
  const name = (request.headers.host ?? "").replace(/:\d+$/, "");
  if (isLoopback(name)) return;
  throw new ApiError(
    403,
    "Without an API key this server answers only to localhost and 127.0.0.1. Start it with an API key to use other names.",
    { code: "host_not_allowed" },
  );
}

/** Throws ApiError 401 for a request without the server's key, where it has one. */
export function requireApiKey(rules: AccessRules, request: IncomingMessage): void {
  if (rules.apiKey === undefined) return;
  const [scheme, token] = (request.headers.authorization ?? "").split(" ");
  if (scheme?.toLowerCase() === "bearer" && token !== undefined && equalInConstantTime(token, rules.apiKey)) return;
  const message =
    request.headers.authorization === undefined
      ? "You didn't provide an API key: send it in the header Authorization: Bearer KEY."
      : "Incorrect API key provided.";
  throw new ApiError(401, message, { code: "invalid_api_key", headers: { "www-authenticate": "Bearer" } });
}

/** Digests have one length, so the time of the comparison reveals nothing, not even the length of the key. */
function equalInConstantTime(a: string, b: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** The headers that let pages of the allowed origin read an answer; none by default. */
export function corsHeaders({ corsOrigin }: AccessRules): Readonly<Record<string, string>> {
  if (corsOrigin === undefined) return {};
  return { "access-control-allow-origin": corsOrigin, ...(corsOrigin !== "*" && { vary: "origin" }) };
}

/** The answer to a browser that asks whether a page may send a request (a preflight); empty where none may. */
export function preflightHeaders(rules: AccessRules, request: IncomingMessage): Readonly<Record<string, string>> {
  if (rules.corsOrigin === undefined) return {};
  return {
    ...corsHeaders(rules),
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": request.headers["access-control-request-headers"] ?? "authorization, content-type",
    "access-control-max-age": "600",
  };
}
