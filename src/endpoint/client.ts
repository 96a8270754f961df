/**
 * A client of a model behind an OpenAI-compatible endpoint, for judges, teachers and refining models: retries with
 * backoff, a time limit for each try, a limit on requests under way and on what they cost, answers kept on disk. It asks
 * for answers to conversations, for continuations of texts, and for the log-probabilities of given tokens.
 *
 * The API key comes from an environment variable and goes nowhere but into the `Authorization` header: no message, cache
 * key or log holds it. Redirects are refused, because a key should reach the named host only. Why not the `openai`
 * package: it is 10 MB for one route, and its retries know neither our cache nor our limits.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError, EndpointError } from "../errors.ts";
import { hashString } from "../random.ts";
import { Budget, type BudgetLimits, type SpentUsage } from "./budget.ts";
import { type ChatAnswer, type ChatRequest, type ChatUsage, chatBody, parseChatAnswer, quotedText } from "./chat.ts";
import { type EchoedPrompt, echoBody, parseEcho, parseTextAnswer, type TextRequest, textBody } from "./completions.ts";
import type { Endpoint } from "./endpoint.ts";
import { fetchFailure } from "./fetch-failure.ts";
import { addressFault, DEFAULT_KEY_VARIABLE } from "./options.ts";
import { questionKey, ResponseCache } from "./response-cache.ts";
import { DEFAULT_RETRIES, isPassing, type RetryPolicy, retryAfterMs, waitMs } from "./retry.ts";
import { Turnstile } from "./turnstile.ts";

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

/** What is asked, whatever the route: the body, and how its answer is read. */
interface Question<Answer> {
  readonly url: string;
  readonly body: Record<string, unknown>;
  /** Throws EndpointError `malformed`. */
  readonly parse: (text: string) => Answer;
  readonly isUsable?: IsUsable;
}

/** Whether the caller can use an answer. */
type IsUsable = (answer: ChatAnswer) => boolean;

/** One try's outcome: an answer, or why not and whether another try may do better. */
type Outcome<Answer> =
  | { readonly answer: Answer }
  | { readonly error: EndpointError; readonly again: boolean; readonly askedMs?: number | undefined };

/** Asks a model; see the file's header. */
export class EndpointClient implements Endpoint {
  readonly #baseUrl: string;
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
    this.#baseUrl = checkedBase(options.baseUrl);
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
   * an answer that is in the cache. One that is not `isUsable` is given back, and not kept. */
  complete(request: ChatRequest, signal?: AbortSignal, isUsable?: IsUsable): Promise<ChatAnswer> {
    const body = chatBody(this.#model, request);
    const parse = (text: string) => parseChatAnswer(text, request);
    const question = { url: `${this.#baseUrl}/chat/completions`, body, parse, ...(isUsable && { isUsable }) };
    return this.#kept(question, request.sample ?? 0, signal);
  }

  /** The model's continuation of a text, by the route of base models. Throws as `complete` does. */
  continueText(request: TextRequest, signal?: AbortSignal): Promise<ChatAnswer> {
    const body = textBody(this.#model, request);
    const parse = (text: string) => parseTextAnswer(text, request);
    return this.#kept({ url: `${this.#baseUrl}/completions`, body, parse }, request.sample ?? 0, signal);
  }

  /** Log-probabilities (natural, temperature 1) of given tokens, each after those before it. They are not kept: a student
   * writes other tokens each time. Throws as `complete` does. */
  echo(tokens: ArrayLike<number>, signal?: AbortSignal): Promise<EchoedPrompt> {
    const parse = (text: string) => parseEcho(text, tokens.length);
    const question = { url: `${this.#baseUrl}/completions`, body: echoBody(this.#model, tokens), parse };
    return this.#turnstile.pass(() => this.#asked(question, hashString(JSON.stringify(question.body)), signal));
  }

  /** The answer from the cache; else asked for, and kept. */
  async #kept(question: Question<ChatAnswer>, sample: number, signal: AbortSignal | undefined): Promise<ChatAnswer> {
    const key = questionKey({ url: question.url, body: question.body, sample });
    const known = this.#underWay.get(key);
    // Requests are shared only by callers with the same signal, because one caller could otherwise abort the request of
    // the other.
    if (known && known.signal === signal) return known.answer;
    const asked = { signal, answer: this.#answer(key, question, signal) };
    this.#underWay.set(key, asked);
    try {
      return await asked.answer;
    } finally {
      if (this.#underWay.get(key) === asked) this.#underWay.delete(key);
    }
  }

  async #answer(key: string, question: Question<ChatAnswer>, signal: AbortSignal | undefined): Promise<ChatAnswer> {
    const kept = await this.#cache?.get(key);
    const { isUsable = () => true } = question;
    if (kept && isUsable(kept)) return kept;
    return this.#turnstile.pass(async () => {
      const answer = await this.#asked(question, hashString(key), signal);
      if (isUsable(answer)) await this.#cache?.put(key, answer);
      return answer;
    });
  }

  /** Asks until there is an answer or no more tries; `spread` keeps clients from trying again at the same moment. */
  async #asked<Answer extends { readonly usage: ChatUsage }>(
    question: Question<Answer>,
    spread: number,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const text = JSON.stringify(question.body);
    for (let failures = 0; ; ) {
      signal?.throwIfAborted();
      this.#budget.require();
      const outcome = await this.#try(question, text, signal);
      if ("answer" in outcome) {
        this.#budget.add(outcome.answer.usage);
        return outcome.answer;
      }
      failures++;
      const wait = waitMs(this.#retries, failures, spread, outcome.askedMs);
      if (!outcome.again || wait === undefined) throw outcome.error;
      await pause(wait, signal);
    }
  }

  async #try<Answer>(
    { url, parse }: Question<Answer>,
    body: string,
    signal: AbortSignal | undefined,
  ): Promise<Outcome<Answer>> {
    const limit = AbortSignal.timeout(this.#timeoutMs);
    try {
      const response = await fetch(url, {
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
      if (response.ok) return { answer: parse(text) };
      return this.#refusal(url, response, text);
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      // A body of another form may be a proxy's page about a server that is just starting.
      if (error instanceof EndpointError) return { error, again: error.kind === "malformed" };
      if (limit.aborted) {
        const message = `${url} did not answer within ${this.#timeoutMs} ms`;
        return { error: new EndpointError("timeout", message), again: true };
      }
      return { error: new EndpointError("unreachable", this.#redacted(`${url}: ${fetchFailure(error)}`)), again: true };
    }
  }

  #refusal(url: string, response: Response, text: string): Outcome<never> {
    const again = isPassing(response.status);
    const hint = response.status === 401 || response.status === 403 ? this.#keyHint() : "";
    const said = this.#redacted(`${url} answered ${response.status}: ${quotedText(text)}${hint}`);
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

/** The address without a route at its end, where people paste one. */
function checkedBase(baseUrl: string): string {
  const fault = addressFault(baseUrl);
  if (fault !== undefined) throw new ConfigError(`baseUrl: ${fault}.`);
  return new URL(baseUrl).href.replace(/\/+$/, "").replace(/(\/chat)?\/completions$/, "");
}

/** The body as text, read no further than the limit. */
export async function boundedText(response: Response): Promise<string> {
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

/** Waits; if the signal is aborted, it rejects with the signal's own reason instead of the timer's error. */
async function pause(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(waitMs, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  }
}
