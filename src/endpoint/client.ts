/**
 * A client of a model behind an OpenAI-compatible endpoint, for judges, teachers and refining models: retries with
 * backoff, a time limit for each try, a limit on requests under way and on what they cost, answers kept on disk.
 *
 * The API key comes from an environment variable and goes nowhere but into the `Authorization` header: no message, cache
 * key or log holds it. Redirects are refused, because a key should reach the named host only. Why not the `openai`
 * package: it is 10 MB for one route, and its retries know neither our cache nor our limits.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError, EndpointError } from "../errors.ts";
import { hashString } from "../random.ts";
import { Budget, type BudgetLimits, type SpentUsage } from "./budget.ts";
import { type ChatAnswer, type ChatClient, type ChatRequest, chatBody, parseChatAnswer, shown } from "./chat.ts";
import { questionKey, ResponseCache } from "./response-cache.ts";
import { DEFAULT_RETRIES, isPassing, type RetryPolicy, retryAfterMs, waitMs } from "./retry.ts";
import { Turnstile } from "./turnstile.ts";

/** The variable that has the API key where none is named. */
export const DEFAULT_KEY_VARIABLE = "OPENAI_API_KEY";
/** Longer answers are refused before they are held in memory. */
const MAX_BODY_BYTES = 16 * 2 ** 20;

export interface EndpointOptions {
  /** Where the routes begin, e.g. `http://127.0.0.1:8000/v1`. */
  readonly baseUrl: string;
  /** The model's name there. */
  readonly model: string;
  /** The environment variable that has the key; no key is sent where it is empty. */
  readonly apiKeyEnv?: string;
  /** For one try, the whole answer included. */
  readonly timeoutMs?: number;
  /** Requests under way at once. */
  readonly concurrency?: number;
  readonly retries?: Partial<RetryPolicy>;
  /** The folder of the answers; none are kept if absent. */
  readonly cacheDirectory?: string;
  readonly limits?: BudgetLimits;
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** One try's outcome: an answer, or why not and whether another try may do better. */
type Outcome =
  | { readonly answer: ChatAnswer }
  | { readonly error: EndpointError; readonly again: boolean; readonly askedMs?: number | undefined };

/** Asks a model; see the file's header. */
export class EndpointClient implements ChatClient {
  readonly #url: string;
  readonly #model: string;
  readonly #apiKey: string | undefined;
  readonly #timeoutMs: number;
  readonly #retries: RetryPolicy;
  readonly #turnstile: Turnstile;
  readonly #cache: ResponseCache | undefined;
  readonly #budget: Budget;
  /** Equal requests under way share one answer. */
  readonly #underWay = new Map<
    string,
    { readonly signal: AbortSignal | undefined; readonly answer: Promise<ChatAnswer> }
  >();

  /** Throws ConfigError for an address that is none. */
  constructor(options: EndpointOptions) {
    const { apiKeyEnv = DEFAULT_KEY_VARIABLE, environment = process.env } = options;
    this.#url = chatUrl(options.baseUrl);
    this.#model = options.model;
    this.#apiKey = environment[apiKeyEnv]?.trim() || undefined;
    this.#timeoutMs = options.timeoutMs ?? 60_000;
    this.#retries = { ...DEFAULT_RETRIES, ...options.retries };
    this.#turnstile = new Turnstile(options.concurrency ?? 8);
    this.#cache = options.cacheDirectory === undefined ? undefined : new ResponseCache(options.cacheDirectory);
    this.#budget = new Budget(options.limits);
  }

  /** What was paid for; answers from the cache are not. */
  get spent(): SpentUsage {
    return this.#budget.spent;
  }

  /** Goes on from what an earlier session had spent. */
  restoreSpent(spent: SpentUsage): void {
    this.#budget.restore(spent);
  }

  /** The model's answer. Throws EndpointError after the last try; an aborted signal rejects with its reason, but for
   * an answer that is in the cache. */
  async complete(request: ChatRequest, signal?: AbortSignal): Promise<ChatAnswer> {
    const body = chatBody(this.#model, request);
    const key = questionKey({ url: this.#url, body, sample: request.sample ?? 0 });
    const known = this.#underWay.get(key);
    // Only with one signal: the end of one caller's request would be the other's too.
    if (known && known.signal === signal) return known.answer;
    const asked = { signal, answer: this.#answer(key, request, body, signal) };
    this.#underWay.set(key, asked);
    try {
      return await asked.answer;
    } finally {
      if (this.#underWay.get(key) === asked) this.#underWay.delete(key);
    }
  }

  async #answer(
    key: string,
    request: ChatRequest,
    body: Record<string, unknown>,
    signal: AbortSignal | undefined,
  ): Promise<ChatAnswer> {
    const kept = await this.#cache?.get(key);
    if (kept) return kept;
    return this.#turnstile.pass(async () => {
      const text = JSON.stringify(body);
      for (let failures = 0; ; ) {
        signal?.throwIfAborted();
        this.#budget.require();
        const outcome = await this.#try(request, text, signal);
        if ("answer" in outcome) {
          this.#budget.add(outcome.answer.usage);
          await this.#cache?.put(key, outcome.answer);
          return outcome.answer;
        }
        failures++;
        const wait = waitMs(this.#retries, failures, hashString(key), outcome.askedMs);
        if (!outcome.again || wait === undefined) throw outcome.error;
        await pause(wait, signal);
      }
    });
  }

  async #try(request: ChatRequest, body: string, signal: AbortSignal | undefined): Promise<Outcome> {
    const limit = AbortSignal.timeout(this.#timeoutMs);
    try {
      const response = await fetch(this.#url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          ...(this.#apiKey !== undefined && { authorization: `Bearer ${this.#apiKey}` }),
        },
        body,
        redirect: "error",
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
      const text = await boundedText(response);
      if (response.ok) return { answer: parseChatAnswer(text, request) };
      return this.#refusal(response, text);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      // A body of another form may be a proxy's page about a server that is just starting.
      if (error instanceof EndpointError) return { error, again: true };
      if (limit.aborted) {
        const message = `${this.#url} did not answer within ${this.#timeoutMs} ms`;
        return { error: new EndpointError("timeout", message), again: true };
      }
      return {
        error: new EndpointError("unreachable", this.#redacted(`${this.#url}: ${reasonOf(error)}`)),
        again: true,
      };
    }
  }

  #refusal(response: Response, text: string): Outcome {
    const again = isPassing(response.status);
    const hint = response.status === 401 || response.status === 403 ? this.#keyHint() : "";
    const said = this.#redacted(`${this.#url} answered ${response.status}: ${shown(text)}${hint}`);
    const askedMs = retryAfterMs(response.headers.get("retry-after"), Date.now());
    return { error: new EndpointError(again ? "busy" : "refused", said), again, askedMs };
  }

  #keyHint(): string {
    return this.#apiKey === undefined ? " (no API key was sent: its environment variable is not set)" : "";
  }

  /** Servers repeat keys in their messages. */
  #redacted(text: string): string {
    return this.#apiKey === undefined ? text : text.replaceAll(this.#apiKey, "[API key]");
  }
}

function chatUrl(baseUrl: string): string {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    throw new ConfigError(
      `baseUrl: expected an http or https address such as http://127.0.0.1:8000/v1, got ${shown(baseUrl)}.`,
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new ConfigError("baseUrl: holds a user name or password; put the key into an environment variable instead.");
  }
  return `${url.href.replace(/\/+$/, "").replace(/\/chat\/completions$/, "")}/chat/completions`;
}

/** The body as text, read no further than the limit. */
async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of response.body ?? []) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > MAX_BODY_BYTES) {
      throw new EndpointError("malformed", `the answer is longer than ${MAX_BODY_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

/** fetch says only that it failed; its cause says why. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (!(cause instanceof Error)) return error.message;
  return "code" in cause && typeof cause.code === "string" ? `${error.message} (${cause.code})` : cause.message;
}

/** Waits; an aborted signal rejects with its own reason, which that of the timer would hide. */
async function pause(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(waitMs, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
}
