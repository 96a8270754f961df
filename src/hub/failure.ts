/**
 * What went wrong between here and the Hub, in words that say what to do. Answers are told apart by status and by the
 * Hub's own `X-Error-Code`, because 401 alone means a bad token, a private repository or one that does not exist.
 */

import { HubError, shorten } from "../errors.ts";
import { DEFAULT_REVISION, type HubReference, KIND_TEXT } from "./reference.ts";
import type { HubSettings } from "./settings.ts";

/** Kinds of failures, for code that goes on differently after some of them. */
export type FailureKind =
  | "network"
  | "server"
  | "unauthorized"
  | "forbidden"
  | "gated"
  | "no-repository"
  | "no-revision"
  | "no-file"
  | "exists"
  | "range"
  | "content"
  | "refused";

/** A failed request. */
export class HubFailure extends HubError {
  readonly kind: FailureKind;
  /** The same request may succeed later. */
  readonly transient: boolean;
  /** How long the server asked to wait, in milliseconds. */
  readonly waitMs: number | undefined;

  constructor(kind: FailureKind, message: string, options: { transient?: boolean; waitMs?: number | undefined } = {}) {
    super(message);
    this.kind = kind;
    this.transient = options.transient ?? false;
    this.waitMs = options.waitMs;
  }
}

/** What a request was about. */
export interface RequestSubject {
  readonly reference: HubReference;
  readonly purpose: "read" | "write";
  readonly settings: HubSettings;
}

/** An answer that is not a success. */
export interface RefusedAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The first few kilobytes of its body. */
  readonly body: string;
}

/** The longest part of a server's own words that is shown. */
const MAX_SERVER_TEXT = 300;

/** The failure that an answer with an error status stands for. */
export function answerFailure(answer: RefusedAnswer, subject: RequestSubject): HubFailure {
  const { status, headers } = answer;
  const said = serverText(answer, subject.settings.token);
  const code = headers.get("x-error-code") ?? "";
  const waitMs = requestedWait(headers);
  const host = hostOf(subject.settings);
  const quote = said === "" ? "" : ` It says: ${said}`;

  if (status === 429) {
    const advice = subject.settings.token === undefined ? " A token in HF_TOKEN raises the limit." : "";
    const message = `${host} refuses more requests for now (429). Try again in some minutes.${advice}`;
    return new HubFailure("server", message, { transient: true, waitMs });
  }
  if (status >= 500 || status === 408) {
    const message = `${host} has a problem (HTTP ${status}). Try again later.${quote}`;
    return new HubFailure("server", message, { transient: true, waitMs });
  }
  if (status === 409) return new HubFailure("exists", `${subject.reference.name} exists already.${quote}`);
  if (status === 416) return new HubFailure("range", `${host} cannot go on with an interrupted download.`);
  if (code === "GatedRepo" || (isDenied(status) && /\bgated\b|restricted/i.test(said))) return gated(subject);
  if (code === "RevisionNotFound") return noRevision(subject);
  if (code === "EntryNotFound") {
    return new HubFailure("no-file", `${naming(subject)} has no such file although its list names it. Try again.`);
  }
  if (code === "RepoNotFound" || status === 404) return noRepository(subject, quote, code);
  if (status === 401) return unauthorized(subject, quote);
  if (status === 403) return forbidden(subject, quote);
  return new HubFailure("refused", `${host} refused a request about ${naming(subject)} (HTTP ${status}).${quote}`);
}

/** The failure that an exception of `fetch` stands for. */
export function networkFailure(error: unknown, settings: HubSettings): HubFailure {
  const reason = networkReason(error);
  return new HubFailure(
    "network",
    `Cannot reach ${hostOf(settings)}: ${reason}. Check the network (and HF_ENDPOINT, if it is set); with HF_HUB_OFFLINE=1 ` +
      `only what is in the cache is used.${proxyNote(process.env)}`,
    { transient: true },
  );
}

/** Node's fetch does not use a proxy by default, so the message tells users who have one. */
export function proxyNote(environment: Readonly<Record<string, string | undefined>>): string {
  const names = ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
  const name = names.find((candidate) => environment[candidate]);
  if (name === undefined || environment.NODE_USE_ENV_PROXY === "1") return "";
  return (
    ` ${name} is set, but Node.js uses it only from version 24 on and with NODE_USE_ENV_PROXY=1; or fetch the files ` +
    "with another program into the cache (HF_HUB_CACHE), or into a directory."
  );
}

/** The failure of a content that is not what it has to be. */
export function contentFailure(message: string): HubFailure {
  return new HubFailure("content", message);
}

/** Milliseconds that `Retry-After` (seconds or a date) or the Hub's `RateLimit: …;t=seconds` ask to wait. */
export function requestedWait(headers: Headers, now: number = Date.now()): number | undefined {
  const text = headers.get("retry-after")?.trim();
  if (text !== undefined && text !== "") {
    if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
    const date = Date.parse(text);
    if (!Number.isNaN(date)) return Math.max(0, date - now);
  }
  const seconds = /;\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1000;
}

/** `huggingface.co`: the Hub as sentences name it. */
export function hostOf(settings: HubSettings): string {
  return new URL(settings.endpoint).host;
}

/** The page of a repository. */
export function pageOf({ kind, name }: HubReference, settings: HubSettings): string {
  return `${settings.endpoint}/${kind === "model" ? "" : "datasets/"}${name}`;
}

function naming({ reference }: RequestSubject): string {
  return `the ${KIND_TEXT[reference.kind]} ${reference.name}`;
}

function isDenied(status: number): boolean {
  return status === 401 || status === 403;
}

function gated(subject: RequestSubject): HubFailure {
  const token =
    subject.settings.token === undefined
      ? "then set HF_TOKEN to a token of the account that accepted"
      : "with the account whose token is in HF_TOKEN; some owners answer only after days";
  return new HubFailure(
    "gated",
    `${capital(naming(subject))} is gated: its owner gives access to those who accept the terms. Open ` +
      `${pageOf(subject.reference, subject.settings)} and accept them, ${token}.`,
  );
}

function noRevision(subject: RequestSubject): HubFailure {
  const revision = subject.reference.revision ?? DEFAULT_REVISION;
  return new HubFailure(
    "no-revision",
    `${capital(naming(subject))} has no branch, tag or commit ${JSON.stringify(revision)}.`,
  );
}

function noRepository(subject: RequestSubject, quote: string, code = "RepoNotFound"): HubFailure {
  const { reference, settings } = subject;
  const other = reference.kind === "model" ? "data set" : "model";
  // A server that is not the Hub itself may not say which of the two is missing.
  const { revision } = reference;
  const orRevision =
    code === "" && revision !== undefined ? `, or none with a revision ${JSON.stringify(revision)}` : "";
  const advice =
    settings.token === undefined
      ? "If it is private, set HF_TOKEN to a token that may read it."
      : "If it is private, the token in HF_TOKEN may not read it.";
  return new HubFailure(
    "no-repository",
    `${hostOf(settings)} has no ${KIND_TEXT[reference.kind]} ${reference.name}${orRevision}. Check the name, and that it is a ` +
      `${KIND_TEXT[reference.kind]} and not a ${other}. ${advice}${isPlain(quote) ? "" : quote}`,
  );
}

/** Whether a server only says again that there is nothing. */
function isPlain(quote: string): boolean {
  return quote === "" || /not found|invalid username/i.test(quote);
}

function unauthorized(subject: RequestSubject, quote: string): HubFailure {
  const { settings, purpose } = subject;
  // Without a token the Hub answers 401 for a repository that does not exist, so that private names stay secret.
  if (settings.token === undefined && purpose === "read") return noRepository(subject, quote);
  if (settings.token === undefined) {
    return new HubFailure(
      "unauthorized",
      `Set HF_TOKEN to a token that may write to ${subject.reference.name}.${quote}`,
    );
  }
  return new HubFailure(
    "unauthorized",
    `${hostOf(settings)} does not accept the token in HF_TOKEN for ${naming(subject)}: it may be mistyped, expired or ` +
      `revoked. Make a new one at ${settings.endpoint}/settings/tokens; for something public, unset HF_TOKEN.${quote}`,
  );
}

function forbidden(subject: RequestSubject, quote: string): HubFailure {
  const { reference, settings, purpose } = subject;
  const needed =
    purpose === "write"
      ? `write to ${reference.name}`
      : `read ${reference.name} (fine-grained tokens name repositories)`;
  const what = settings.token === undefined ? "needs a token in HF_TOKEN" : "needs another token in HF_TOKEN";
  return new HubFailure(
    "forbidden",
    `${hostOf(settings)} forbids it: ${naming(subject)} ${what}, one that may ${needed}. ` +
      `See ${settings.endpoint}/settings/tokens.${quote}`,
  );
}

/** What the server said itself, on one line, without control characters and without the token, should it echo it. */
function serverText({ headers, body }: RefusedAnswer, token: string | undefined): string {
  const text = headers.get("x-error-message") ?? errorInJson(body) ?? "";
  const safe = (token === undefined ? text : text.replaceAll(token, "***"))
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    .replace(/[\u0000-\u001f\u007f-\u009f\s]+/g, " ")
    .trim();
  return shorten(safe, MAX_SERVER_TEXT);
}

function errorInJson(body: string): string | undefined {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== "object" || value === null) return undefined;
    const { error, message } = value as { error?: unknown; message?: unknown };
    if (typeof error === "string") return error;
    return typeof message === "string" ? message : undefined;
  } catch {
    return undefined;
  }
}

/** `fetch` wraps what happened; the system's own code is in a cause, perhaps of a cause. */
function networkReason(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = "code" in cause && typeof cause.code === "string" ? cause.code : "";
    const known = NETWORK_REASONS[code];
    if (known !== undefined) return known;
    if (/certificate|self.signed|^ERR_TLS/i.test(`${code} ${cause.message}`))
      return `its certificate: ${cause.message}`;
    if (code !== "" && !(cause.cause instanceof Error)) return `${cause.message || code}`;
  }
  return error instanceof Error ? error.message : String(error);
}

const NETWORK_REASONS: Readonly<Record<string, string>> = {
  ENOTFOUND: "its name is not known (no network?)",
  EAI_AGAIN: "its name cannot be looked up (no network?)",
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was cut",
  EPIPE: "the connection was cut",
  UND_ERR_SOCKET: "the connection was cut",
  ETIMEDOUT: "the connection took too long",
  UND_ERR_CONNECT_TIMEOUT: "the connection took too long",
  UND_ERR_HEADERS_TIMEOUT: "it does not answer",
  UND_ERR_BODY_TIMEOUT: "it stopped in the middle of an answer",
  ENETUNREACH: "there is no network",
  EHOSTUNREACH: "the network has no route to it",
};

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
