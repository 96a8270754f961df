/**
 * The server: OpenAI's routes over node:http, for a model and adapters of it.
 *
 *     GET  /v1/models, /v1/models/ID       POST /v1/chat/completions, /v1/completions
 *     GET  /health, /metrics               POST /tokenize, /detokenize       GET /tokenizer_info
 *
 * Here are the limits (size of a body, sequences in flight, time of a request), what happens to a request from arrival
 * to its record, and the end: a server that is being stopped accepts no new requests and gives running ones some time
 * to finish. Text is generated in `generation.ts`. The endpoints define what a body means, and `understanding.ts`
 * parses it. A web framework would only replace a dozen lines of routing.
 */

import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { SessionLoad } from "../engine/contract/session.ts";
import { EngineError } from "../errors.ts";
import { cannotListen } from "../listening.ts";
import { hashString } from "../random.ts";
import { isTinkerPath } from "../tinker/tinker-path.ts";
import { type AccessRules, corsHeaders, preflightHeaders, requireApiKey, requireKnownHost } from "./access.ts";
import { ApiError, goneError, stoppingError, timeoutError } from "./api-error.ts";
import { ChatFormat } from "./chat-completions.ts";
import { CompletionFormat } from "./completions.ts";
import type { AnsweringModel, ResponseFormat } from "./endpoint.ts";
import { promptTokenCount } from "./generation.ts";
import { METRICS_TYPE, type RequestRecord, ServerMetrics } from "./metrics.ts";
import { modelNamed } from "./model-facts.ts";
import { readBody } from "./read-body.ts";
import { type Exchange, respond, sendJson } from "./respond.ts";
import { absentEndpoint, decodePath, pathOf, ROUTES } from "./routes.ts";
import { listedModel, type ServedModel } from "./served-model.ts";
import type { Snapshots } from "./snapshots.ts";
import { TokenTexts } from "./token-text.ts";
import { tokenizerInfo } from "./tokenizer-info.ts";
import type { BodyKind, UnderstoodBody } from "./understanding.ts";
import { Understanding } from "./understanding-threads.ts";

/** Further routes of the server, which have errors of their own shape. */
export interface MountedRoutes {
  /** What their paths begin with. */
  readonly prefix: string;
  answer(request: IncomingMessage, response: ServerResponse, path: string, signal: AbortSignal): Promise<void>;
  /** Copies of the first model that the server's own routes serve by their paths. */
  readonly snapshots?: Snapshots;
}

export interface ServerOptions extends AccessRules {
  /** 0: any that is free. */
  readonly port: number;
  readonly maxBodyBytes: number;
  /** Most sequences that are decoded or wait, over all requests; one more is refused with 429. */
  readonly maxSequences: number;
  /** Most time of a request, from its arrival to its last token. */
  readonly requestTimeoutMs: number;
  /** Asked before the server's own routes. */
  readonly mounted?: MountedRoutes | undefined;
  /** Called when a request is over. */
  readonly onRequest?: (record: RequestRecord) => void;
  /** Called with errors that are a defect of ours; the client only learns that there was one. */
  readonly onDefect?: (error: unknown) => void;
}

/** Time to send the head and the body of a request. */
const RECEIVE_TIMEOUT_MS = 60_000;
/** Time without progress after which a client that does not read its answer is cut off. */
const STALLED_MS = 60_000;
const MAX_HEADER_BYTES = 16_384;
/**
 * How long a connection without a request stays open: longer than clients and proxies keep one in their pools (Python's
 * aiohttp 15 s, nginx and AWS's balancers 60 s, Go 90 s). If a client takes a connection from its pool at the moment
 * when it is closed here, the request fails.
 */
const KEEP_ALIVE_MS = 120_000;

/** The reason of an abort after which no client is left that could be informed. */
class ClientGone extends Error {
  override name = "ClientGone";
}

/** What a request used, as it goes on. */
interface Progress {
  secondsToFirstToken?: number;
  promptTokens: number;
  completionTokens: number;
}

export class ApiServer {
  /** The first one is asked where a request names none. */
  readonly #models: readonly (ServedModel & AnsweringModel)[];
  readonly #options: ServerOptions;
  readonly #understanding: Understanding;
  readonly #server: Server;
  readonly #metrics = new ServerMetrics();
  /** One for each request that is being answered. */
  readonly #inFlight = new Set<AbortController>();
  /** Resolves when the last request is over, once the server was told to stop. */
  #idle: (() => void) | undefined;
  #stopping = false;
  /** Requests whose bodies are being understood: they are not among the engine's sequences yet. */
  #beingUnderstood = 0;
  /** Sequences of copies: theirs are sessions of their own. */
  #ofSnapshots = 0;

  private constructor(models: readonly ServedModel[], options: ServerOptions) {
    const hasSnapshots = options.mounted?.snapshots !== undefined;
    this.#models = models.map((model, i) => ({
      ...{ ...model, texts: new TokenTexts(model.tokenizer) },
      ...(i === 0 && hasSnapshots && { hasSnapshots }),
    }));
    this.#options = options;
    this.#understanding = new Understanding(this.#models, options.maxSequences);
    const limits = {
      maxHeaderSize: MAX_HEADER_BYTES,
      requestTimeout: RECEIVE_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
    };
    this.#server = createServer(limits, (request, response) => void this.#answer(request, response));
  }

  /** Starts to listen. Throws ConfigError where the address cannot be used. */
  static async listen(models: ServedModel | readonly ServedModel[], options: ServerOptions): Promise<ApiServer> {
    const api = new ApiServer("id" in models ? [models] : models, options);
    const { host, port } = options;
    await new Promise<void>((resolve, reject) => {
      api.#server.once("error", (error: NodeJS.ErrnoException) => reject(cannotListen(host, port, error)));
      api.#server.listen(port, host, resolve);
    });
    // Later errors concern single connections that could not be accepted, for example without a free file handle. The
    // server goes on.
    api.#server.on("error", (error) => options.onDefect?.(error));
    return api;
  }

  /** Where clients reach it, without a path. */
  get url(): string {
    const { address, port, family } = this.#server.address() as AddressInfo;
    return `http://${family === "IPv6" ? `[${address}]` : address}:${port}`;
  }

  /** Stops: nothing new is taken; requests that still run after `graceMs` are cut off, with an error to their clients. */
  async close(graceMs: number): Promise<void> {
    this.#stopping = true;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    if (this.#inFlight.size > 0) {
      const idle = new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
      const cut = setTimeout(() => {
        for (const controller of this.#inFlight) controller.abort(stoppingError());
      }, graceMs);
      await idle;
      clearTimeout(cut);
    }
    this.#server.closeIdleConnections();
    const impatient = setTimeout(() => this.#server.closeAllConnections(), 1000);
    await closed;
    clearTimeout(impatient);
    await this.#understanding.close();
  }

  /** One request, from its arrival to its record. Never throws. */
  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedAt = performance.now();
    const controller = new AbortController();
    const progress: Progress = { promptTokens: 0, completionTokens: 0 };
    const path = pathOf(request);
    const endpoint = ROUTES.find(({ matches }) => matches(path))?.name ?? "other";
    response.on("close", () => controller.abort(new ClientGone()));
    response.on("error", () => controller.abort(new ClientGone()));
    this.#inFlight.add(controller);
    let failure: ApiError | undefined;
    try {
      await this.#route(request, response, path, controller, progress, startedAt);
    } catch (error) {
      failure = response.destroyed || (request.destroyed && !request.complete) ? goneError() : this.#describe(error);
      this.#sendFailure(response, failure);
    } finally {
      this.#inFlight.delete(controller);
      if (!response.writableFinished && !response.destroyed) {
        response.setTimeout(STALLED_MS, () => response.destroy());
      }
      const status = failure?.status ?? response.statusCode;
      const record = { endpoint, status, seconds: (performance.now() - startedAt) / 1000, ...progress };
      this.#metrics.record(record);
      this.#options.onRequest?.(record);
      if (this.#inFlight.size === 0) this.#idle?.();
    }
  }

  async #route(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    controller: AbortController,
    progress: Progress,
    startedAt: number,
  ): Promise<void> {
    requireKnownHost(this.#options, request);
    const method = request.method === "HEAD" ? "GET" : request.method;
    if (method === "OPTIONS" && this.#options.corsOrigin !== undefined) {
      response.writeHead(204, preflightHeaders(this.#options, request)).end();
      return;
    }
    const { mounted } = this.#options;
    if (mounted && path.startsWith(mounted.prefix)) {
      return mounted.answer(request, response, path, controller.signal);
    }
    const route = ROUTES.find(({ matches }) => matches(path));
    if (route === undefined) throw absentEndpoint(request.method ?? "GET", path);
    if (route.name !== "/health") requireApiKey(this.#options, request);
    if (method !== route.method) {
      const headers = { allow: route.method };
      throw new ApiError(405, `${route.name} takes ${route.method}, not ${request.method}.`, { headers });
    }
    switch (route.name) {
      case "/health":
        return this.#sendHealth(response);
      case "/metrics":
        return this.#sendMetrics(response);
      case "/v1/models":
        return this.#send(response, { object: "list", data: this.#models.map(listedModel) });
      case "/v1/models/{model}":
        return this.#send(response, await this.#modelNamed(path));
      case "/v1/chat/completions":
        return this.#generate("chat", request, response, controller, progress, startedAt);
      case "/v1/completions":
        return this.#generate("completion", request, response, controller, progress, startedAt);
      case "/tokenize":
        return this.#tokenize(request, response, controller.signal);
      case "/detokenize":
        return this.#send(response, await this.#understand("detokenize", request, controller.signal));
      case "/tokenizer_info":
        return this.#send(response, tokenizerInfo(this.#models[0]!));
      default:
        route satisfies never;
    }
  }

  /** What a request's body asks for. */
  async #understand<K extends BodyKind>(
    kind: K,
    request: IncomingMessage,
    signal: AbortSignal,
  ): Promise<UnderstoodBody[K]> {
    if (this.#stopping) throw stoppingError();
    const body = await readBody(request, this.#options.maxBodyBytes);
    // This is checked before a long prompt is tokenized, to save that work, and again when the number of sequences is
    // known.
    this.#requireRoom(1);
    this.#beingUnderstood++;
    try {
      return await this.#understanding.understand(kind, body, signal);
    } finally {
      this.#beingUnderstood--;
    }
  }

  async #tokenize(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<void> {
    const { model: name, tokens, texts } = await this.#understand("tokenize", request, signal);
    const model = modelNamed(this.#models, name);
    const spelling = (token: number) => model.tokenizer.spelling?.(token) ?? model.texts.inCompletion(token);
    this.#send(response, {
      count: tokens.length,
      max_model_len: model.maxContextTokens,
      tokens: [...tokens],
      token_strs: texts ? Array.from(tokens, spelling) : null,
    });
  }

  async #generate(
    kind: "chat" | "completion",
    request: IncomingMessage,
    response: ServerResponse,
    controller: AbortController,
    progress: Progress,
    startedAt: number,
  ): Promise<void> {
    const { requestTimeoutMs } = this.#options;
    const timeout = setTimeout(() => controller.abort(timeoutError(requestTimeoutMs)), requestTimeoutMs);
    try {
      const understood = await this.#understand(kind, request, controller.signal);
      const { spec, stream } = understood;
      this.#requireRoom(spec.prompts.length * spec.n);
      const uuid = randomUUID();
      const model = modelNamed(this.#models, understood.model);
      progress.promptTokens = promptTokenCount(spec);
      const exchange = {
        spec: { ...spec, params: { ...spec.params, seed: understood.seed ?? hashString(uuid) } },
        format: formatOf(kind, understood, model, uuid),
        stream,
        response,
        headers: { ...this.#headers(), "x-request-id": uuid },
        signal: controller.signal,
        describe: (error: unknown) => this.#describe(error),
        onToken: () => {
          progress.completionTokens++;
          progress.secondsToFirstToken ??= (performance.now() - startedAt) / 1000;
        },
      };
      if (!isTinkerPath(model.id)) await respond({ model, ...exchange });
      else await this.#respondAs(model, exchange);
    } finally {
      clearTimeout(timeout);
    }
  }

  /** Generates with the copy of a model that the request named. */
  async #respondAs(model: ServedModel, exchange: Omit<Exchange, "model">): Promise<void> {
    const sequences = exchange.spec.prompts.length * exchange.spec.n;
    this.#ofSnapshots += sequences;
    try {
      const { snapshots } = this.#options.mounted!;
      await snapshots!.use(model.id, (session) => respond({ ...exchange, model: { ...model, session } }));
    } finally {
      this.#ofSnapshots -= sequences;
    }
  }

  /** Sequences of all models. */
  get #load(): SessionLoad {
    let [active, waiting] = [0, 0];
    for (const { session } of this.#models) {
      active += session.load.active;
      waiting += session.load.waiting;
    }
    return { active, waiting };
  }

  #requireRoom(sequences: number): void {
    const { maxSequences } = this.#options;
    const { active, waiting } = this.#load;
    const running = active + this.#ofSnapshots;
    if (running + waiting + this.#beingUnderstood + sequences <= maxSequences) return;
    throw new ApiError(
      429,
      `The server is busy: ${running} completions are running and ${waiting} wait. Try again later.`,
      {
        type: "rate_limit_error",
        code: "rate_limit_exceeded",
        headers: { "retry-after": "1" },
      },
    );
  }

  #sendHealth(response: ServerResponse): void {
    const status = this.#stopping ? "stopping" : "ok";
    sendJson(
      response,
      this.#stopping ? 503 : 200,
      { status, model: this.#models[0]!.id, ...this.#load },
      this.#headers(),
    );
  }

  #sendMetrics(response: ServerResponse): void {
    // This request is not one that is being served.
    const text = this.#metrics.text(this.#load, this.#inFlight.size - 1);
    response.writeHead(200, { ...this.#headers(), "content-type": METRICS_TYPE }).end(text);
  }

  #send(response: ServerResponse, value: object): void {
    sendJson(response, 200, value, this.#headers());
  }

  async #modelNamed(path: string): Promise<object> {
    const model = modelNamed(this.#models, decodePath(path.slice("/v1/models/".length)));
    if (!isTinkerPath(model.id)) return listedModel(model);
    await this.#options.mounted!.snapshots!.require(model.id);
    return listedModel({ ...model, parent: this.#models[0]!.id });
  }

  #headers(): Readonly<Record<string, string>> {
    return { ...corsHeaders(this.#options), ...(this.#stopping && { connection: "close" }) };
  }

  #sendFailure(response: ServerResponse, failure: ApiError): void {
    if (response.destroyed || response.writableEnded) return;
    if (response.headersSent) response.destroy();
    else sendJson(response, failure.status, failure.body, { ...this.#headers(), ...failure.headers });
  }

  /** What a client may know of an error. */
  #describe(error: unknown): ApiError {
    if (error instanceof ApiError) return error;
    if (error instanceof ClientGone) return goneError();
    if (error instanceof EngineError) return new ApiError(500, error.message, { code: "engine_error" });
    this.#options.onDefect?.(error);
    return new ApiError(500, "The server had an error while it worked on your request.", { code: "internal_error" });
  }
}

function formatOf(
  kind: "chat" | "completion",
  { answer }: UnderstoodBody["chat" | "completion"],
  model: AnsweringModel,
  uuid: string,
): ResponseFormat {
  const identity = { uuid, created: Math.floor(Date.now() / 1000) };
  return kind === "chat"
    ? new ChatFormat(model, answer as UnderstoodBody["chat"]["answer"], identity)
    : new CompletionFormat(model, answer as UnderstoodBody["completion"]["answer"], identity);
}
