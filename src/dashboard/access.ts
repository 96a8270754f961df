/**
 * Who may ask the dashboard: the page that it serves itself, and programs of this machine.
 *
 * It listens on 127.0.0.1 without a password. A page of somewhere else could still reach it, by a name of its own that it
 * lets resolve to 127.0.0.1 (DNS rebinding), or by simply sending requests whose answers it may not read. So the Host has to
 * be a loopback name, an Origin has to be the dashboard's own, and what changes something has to come as JSON, which no
 * page can send to another origin without asking first.
 */

import type { IncomingMessage } from "node:http";
import { HttpError } from "./http-error.ts";

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Throws HttpError 403 for a request that a page of another origin has sent, or that came by another name. `who` answers. */
export function requireOwnPage({ headers }: IncomingMessage, who = "The dashboard"): void {
  const host = headers.host ?? "";
  // The port may be another one: ssh -L forwards from where it likes.
  if (!LOOPBACK.has(host.replace(/:\d+$/, "").toLowerCase())) {
    throw new HttpError(403, `${who} answers only to localhost and 127.0.0.1.`);
  }
  const { origin } = headers;
  if (origin !== undefined && origin !== `http://${host}`) {
    throw new HttpError(403, `${who} answers only to its own page, not to pages of other origins.`);
  }
  if (headers["sec-fetch-site"] === "cross-site" && headers["sec-fetch-mode"] !== "navigate") {
    throw new HttpError(403, `${who} answers only to its own page, not to pages of other sites.`);
  }
}

/** Throws HttpError for a request to change something that is not one of the page's own. */
export function requireIntent({ headers }: IncomingMessage): void {
  if (/^application\/json(;|$)/.test(headers["content-type"] ?? "")) return;
  throw new HttpError(415, "Requests that change something are sent as application/json.");
}

/**
 * What browsers are told of every answer: nothing is loaded from elsewhere, no inline script runs, nothing may frame the
 * page or read it across origins. Completions are text that a model wrote: even where one became markup, it could do
 * nothing.
 */
export const SAFE_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};
