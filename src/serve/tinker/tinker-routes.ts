/**
 * The Tinker server's transport: which path is which request, bodies within limits, the key, and the protocol's errors.
 * Unknown members of bodies are passed over; what is wrong is answered with {"detail"}.
 */

import type { IncomingMessage, ServerResponse } from "node:http";
import { z } from "zod";
import { AhaError } from "../../errors.ts";
import { FORWARD_BACKWARD_ADDRESS } from "../../tinker/messages.ts";
import { WireError } from "../../tinker/protobuf.ts";
import { REQUESTS, type RequestBody, type RequestName } from "../../tinker/requests.ts";
import { type AccessRules, equalInConstantTime } from "../access.ts";
import { ApiError } from "../api-error.ts";
import { readBytes } from "../read-body.ts";
import { sendJson } from "../respond.ts";
import { decodePath } from "../routes.ts";
import type { Snapshots } from "../snapshots.ts";
import { checkpointRoute } from "./checkpoint-routes.ts";
import type { FutureResult } from "./future-result.ts";
import { jsonBody } from "./json-body.ts";
import { Refusal } from "./refusal.ts";
import type { NumberedRequest, TinkerService } from "./tinker-service.ts";

/** Everything of the protocol is below it. */
const TINKER_PREFIX = "/api/v1/";

/** What hosted servers' keys begin with; the official client sends no other. */
export const KEY_PREFIX = "tml-";

const PROTOBUF = "application/x-protobuf";

/** What a handler answers with: JSON, a future's id, nothing, or bytes. */
type Answer = object | "nothing";

/** The routes, over one service. */
export class TinkerRoutes {
  readonly prefix = TINKER_PREFIX;
  /** Saved weights, which OpenAI's routes serve by their paths. */
  readonly snapshots: Snapshots;
  readonly #service: TinkerService;
  readonly #access: Pick<AccessRules, "apiKey">;
  readonly #onDefect: (error: unknown) => void;

  constructor(service: TinkerService, access: Pick<AccessRules, "apiKey">, onDefect: (error: unknown) => void) {
    this.#service = service;
    this.snapshots = service.snapshots;
    this.#access = access;
    this.#onDefect = onDefect;
  }

  /** Answers a request below the prefix. Never throws for what the client did. */
  async answer(request: IncomingMessage, response: ServerResponse, path: string, signal: AbortSignal): Promise<void> {
    try {
      await this.#route(request, response, path.slice(TINKER_PREFIX.length), signal);
    } catch (error) {
      if (response.destroyed || response.headersSent) throw error;
      const [status, detail] = this.#described(error);
      const retry: Readonly<Record<string, string>> = status === 429 ? { "retry-after": "1" } : {};
      sendJson(response, status, { detail }, retry);
    }
  }

  async close(): Promise<void> {
    await this.#service.close();
  }

  #described(error: unknown): readonly [status: number, detail: string] {
    if (error instanceof Refusal) return [error.status, error.message];
    if (error instanceof ApiError) return [error.status, error.message];
    if (error instanceof WireError) return [400, error.message];
    if (error instanceof z.ZodError) return [422, z.prettifyError(error).slice(0, 2000)];
    if (error instanceof AhaError) return [422, error.message];
    this.#onDefect(error);
    return [500, "The server had an error while it worked on the request."];
  }

  async #route(request: IncomingMessage, response: ServerResponse, path: string, signal: AbortSignal): Promise<void> {
    const method = request.method === "HEAD" ? "GET" : (request.method ?? "GET");
    if (path === "healthz" && method === "GET") return sendJson(response, 200, { status: "ok" });
    this.#requireKey(request);
    if (method === "POST" && path === "forward_backward") return this.#forwardBackward(request, response);
    if (method === "POST" && path === "retrieve_future") {
      const { request_id } = (await this.#body(request, "retrieve_future")).body;
      return sendResult(response, request_id, await this.#service.futures.retrieve(request_id, signal));
    }
    if (await checkpointRoute(this.#service, request, response, method, path)) return;
    const answer = method === "POST" ? await this.#post(request, path) : method === "GET" ? this.#get(path) : undefined;
    if (answer === undefined)
      throw new Refusal(404, `This server has no ${method} ${TINKER_PREFIX}${path.slice(0, 100)}.`);
    if (answer === "nothing") response.writeHead(204).end();
    else sendJson(response, 200, answer);
  }

  #get(path: string): Answer | undefined {
    if (path === "get_server_capabilities") return this.#service.capabilities();
    const sampler = /^samplers\/(.+)$/.exec(path)?.[1];
    return sampler === undefined ? undefined : this.#service.sampling.get(decodePath(sampler));
  }

  async #post(request: IncomingMessage, path: string): Promise<Answer | undefined> {
    const service = this.#service;
    const future = (request_id: string, model_id?: string) => ({
      request_id,
      ...(model_id !== undefined && { model_id }),
    });
    const finished = /^sessions\/([^/]+)\/finish$/.exec(path)?.[1];
    if (finished !== undefined) {
      await service.sessions.end(decodePath(finished));
      return "nothing";
    }
    switch (path) {
      case "client/config": {
        const { mostData, mostBodyBytes } = service.limits;
        return {
          // Clones of a sampler would otherwise number their requests at random beyond 2^53.
          sample_join_sampling_session: true,
          custom_loss_server_side: true,
          fwdbwd_max_chunk_len: Math.min(1024, mostData),
          fwdbwd_max_chunk_bytes_count: Math.min(5_000_000, mostBodyBytes),
        };
      }
      case "client/dynamic_config":
        return { sample_cancel_enabled: true };
      case "telemetry":
        // Read to its end, so that the connection can be used again, and forgotten.
        await readBytes(request, service.limits.mostBodyBytes);
        return { status: "accepted" };
      case "create_session":
        await this.#body(request, "create_session");
        return { type: "create_session", session_id: await service.sessions.begin() };
      case "session_heartbeat":
        service.sessions.heard((await this.#body(request, "session_heartbeat")).body.session_id);
        return { type: "session_heartbeat" };
      case "create_model": {
        const { body, text } = await this.#body(request, "create_model");
        return future(await service.createModel(body, text));
      }
      case "load_weights": {
        const { body, text } = await this.#body(request, "load_weights");
        return future(await service.loadWeights(body, text));
      }
      case "create_custom_loss": {
        const { body, text } = await this.#body(request, path, service.limits.mostCustomLossBytes);
        return future(await service.createCustomLoss(body, text));
      }
      case "get_info":
        return service.getInfo((await this.#body(request, "get_info")).body);
      case "unload_model": {
        const { body, text } = await this.#body(request, "unload_model");
        return future(await service.unload(body, text), body.model_id);
      }
      case "optim_step":
      case "save_weights":
      case "save_weights_for_sampler":
        return this.#numbered(request, path);
      case "create_sampling_session":
        return service.sampling.create((await this.#body(request, "create_sampling_session")).body);
      case "join_sampling_session":
        return service.sampling.join((await this.#body(request, "join_sampling_session")).body);
      case "asample": {
        const { body, text } = await this.#body(request, "asample");
        const { requestId, sequenceIds } = await service.sampling.sample(body, text);
        return { request_id: requestId, sample_sequence_ids: sequenceIds };
      }
      case "cancel_future":
        service.futures.cancel((await this.#body(request, "cancel_future")).body.request_id);
        return "nothing";
      case "weights_info":
        return service.weightsInfo((await this.#body(request, "weights_info")).body);
      default:
        return undefined;
    }
  }

  async #forwardBackward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const type = contentType(request);
    if (type !== PROTOBUF) {
      throw new Refusal(415, `forward_backward takes a body of ${PROTOBUF}, not ${type || "none"}.`);
    }
    if ((request.headers["content-encoding"] ?? "identity") !== "identity") {
      throw new Refusal(
        415,
        "This server takes no compressed bodies: leave proto_compress_fwdbwd off, as its client/config has it.",
      );
    }
    const bytes = await readBytes(request, this.#service.limits.mostBodyBytes);
    const { modelId, seqId } = addressOf(bytes);
    const request_id = await this.#service.forwardBackward(modelId, seqId, bytes);
    sendJson(response, 200, { request_id, model_id: modelId });
  }

  async #body<N extends RequestName>(
    request: IncomingMessage,
    name: N,
    mostBytes?: number,
  ): Promise<{ readonly body: RequestBody<N>; readonly text: string }> {
    const { value, text } = await this.#json(request, mostBytes);
    return { body: REQUESTS[name].parse(value) as RequestBody<N>, text };
  }

  /** A request that has a number of its model. */
  async #numbered(request: IncomingMessage, name: NumberedRequest): Promise<Answer> {
    const { value, text } = await this.#json(request);
    const { id, model } = await this.#service.numbered(name, value, text);
    return { request_id: id, model_id: model };
  }

  async #json(
    request: IncomingMessage,
    mostBytes = this.#service.limits.mostBodyBytes,
  ): Promise<{ readonly value: unknown; readonly text: string }> {
    const type = contentType(request);
    if (type !== "application/json")
      throw new Refusal(415, `Expected a body of application/json, not ${type || "none"}.`);
    return jsonBody(await readBytes(request, mostBytes));
  }

  /** Throws Refusal 401 for a request without the server's key, where it has one. */
  #requireKey(request: IncomingMessage): void {
    const { apiKey } = this.#access;
    if (apiKey === undefined) return;
    const given = request.headers["x-api-key"];
    if (typeof given === "string" && equalInConstantTime(given, apiKey)) return;
    throw new Refusal(
      401,
      given === undefined ? "The header X-API-Key is missing." : "The API key is not that of this server.",
    );
  }
}

function contentType(request: IncomingMessage): string {
  return /^[^;]*/
    .exec(request.headers["content-type"] ?? "")![0]
    .trim()
    .toLowerCase();
}

/** Whose a request is, also where the rest of it is cut off. Throws WireError where not even that can be read. */
function addressOf(bytes: Uint8Array): { readonly modelId: string; readonly seqId: number } {
  try {
    return FORWARD_BACKWARD_ADDRESS.decode(bytes);
  } catch (error) {
    // Both stand at the beginning.
    const beginning = /^\n(.)/s.exec(Buffer.from(bytes.subarray(0, 2)).toString("latin1"));
    if (beginning === null) throw error;
    const length = bytes[1]! + 2;
    for (let end = Math.min(bytes.length, length + 6); end > length; end--) {
      try {
        const address = FORWARD_BACKWARD_ADDRESS.decode(bytes.subarray(0, end));
        if (address.seqId > 0) return address;
      } catch {
        // Cut within a field.
      }
    }
    throw error;
  }
}

function sendResult(response: ServerResponse, request_id: string, result: FutureResult | undefined): void {
  if (result === undefined) {
    sendJson(response, 200, { type: "try_again", request_id, queue_state: "active" });
  } else if (result.kind === "json") {
    sendJson(response, 200, result.value);
  } else if (result.kind === "failed") {
    sendJson(response, 200, { error: result.error, category: result.category });
  } else {
    response.writeHead(200, { "content-type": PROTOBUF, "content-length": result.bytes.length }).end(result.bytes);
  }
}
