/**
 * A client of the Tinker protocol: a session with a server, kept alive, and its requests, most of which are answered with a
 * future that is polled. What a client means by them is not here (`remote-model.ts`, `tinker-policy.ts`).
 */

import { z } from "zod";
import { EngineError } from "../../errors.ts";
import { ahaServerSchema } from "../../tinker/aha-extension.ts";
import {
  FORWARD_BACKWARD_OUTPUT,
  SAMPLE_RESPONSE,
  type WireForwardBackwardOutput,
  type WireSampleResponse,
} from "../../tinker/messages.ts";
import { failureSchema, type RequestInput, type RequestName } from "../../tinker/requests.ts";
import type { EngineUsage } from "../contract/policy.ts";
import { RequestRefused, ServerLost, type Transport } from "./transport.ts";

const PROTOBUF = "application/x-protobuf";
const HEARTBEAT_MS = 10_000;
/** Says who asks; servers of the protocol want to know. */
const CLIENT = "aha";

const submittedSchema = z.object({ request_id: z.string() });
const capabilitiesSchema = z.object({
  supported_models: z.array(
    z.object({
      model_name: z.string().nullish(),
      max_context_length: z.int().nullish(),
      trainable: z.boolean().nullish(),
    }),
  ),
  aha: ahaServerSchema.optional(),
});

/** What a server has. */
export type ServerCapabilities = z.output<typeof capabilitiesSchema>;

/** The request was taken, and failed. */
export class RequestFailed extends EngineError {
  override name = "RequestFailed";
}

/** The result of a sampling request is gone: it may be sent as a new one. */
export class ResultGone extends EngineError {
  override name = "ResultGone";
}

/** A request that was taken. */
export interface Submitted {
  readonly id: string;
  readonly kind: string;
}

/** `EngineUsage`, as it is counted. */
export type UsageCounts = { -readonly [Name in keyof EngineUsage]: number };

/** A session with a server. */
export class TinkerClient {
  /** Counted by those who ask. */
  readonly usage: UsageCounts = { promptTokens: 0, sampledTokens: 0, scoredTokens: 0, trainedTokens: 0 };
  /** Models of the session that were not given up, by their ids; kept by those who make them. */
  readonly models = new Set<string>();
  readonly #transport: Transport;
  readonly #sessionId: string;
  readonly #heartbeat: ReturnType<typeof setInterval>;
  #modelNumber = 0;
  #samplingNumber = 0;

  readonly #gone: RegExp | undefined;

  private constructor(transport: Transport, sessionId: string, gone: RegExp | undefined) {
    this.#transport = transport;
    this.#sessionId = sessionId;
    this.#gone = gone;
    this.#heartbeat = setInterval(() => void this.#beat(), HEARTBEAT_MS);
    this.#heartbeat.unref?.();
  }

  /**
   * Opens a session. `gone`: what the server says of a model that it does not have any more. Throws EngineError where it cannot
   * be asked, or refuses.
   */
  static async open(transport: Transport, gone?: RegExp): Promise<TinkerClient> {
    await transport
      .send({ method: "POST", path: "/api/v1/client/config", body: JSON.stringify({ sdk_version: CLIENT }) })
      .catch((error: unknown) => {
        // Servers that have no flags need not have the request.
        if (!(error instanceof RequestRefused && error.status === 404)) throw error;
      });
    const body: RequestInput<"create_session"> = { tags: [], user_metadata: {}, sdk_version: CLIENT };
    const answer = await post(transport, "create_session", body, z.object({ session_id: z.string() }));
    const client = new TinkerClient(transport, answer.session_id, gone);
    // SkyRL keeps a session that has never shown a sign of life for ever, and its models: of a client that is killed, or ends,
    // before the first interval has passed.
    await client.#beat();
    return client;
  }

  get sessionId(): string {
    return this.#sessionId;
  }

  get transport(): Transport {
    return this.#transport;
  }

  /** A number for a new model, and for a new sampling session. */
  nextModelNumber(): number {
    return this.#modelNumber++;
  }

  nextSamplingNumber(): number {
    return this.#samplingNumber++;
  }

  /** A request that is answered at once. Throws EngineError for an answer of another form. */
  ask<N extends RequestName, T>(name: N, body: RequestInput<N>, answer: z.ZodType<T>): Promise<T> {
    return post(this.#transport, name, body, answer);
  }

  /** A request that is answered with a future, by its name or as bytes of forward_backward. */
  async submit(
    name: RequestName | "forward_backward",
    kind: string,
    body: string | Uint8Array<ArrayBuffer>,
    options: { readonly once?: boolean } = {},
  ): Promise<Submitted> {
    const headers = { "content-type": typeof body === "string" ? "application/json" : PROTOBUF };
    const { body: bytes } = await this.#transport.send(
      { method: "POST", path: `/api/v1/${name}`, headers, body },
      options,
    );
    return { id: parsed(this.#transport, bytes, submittedSchema, name).request_id, kind };
  }

  /** The result of a request, as JSON. Throws RequestFailed. */
  async json<T>(request: Submitted, schema: z.ZodType<T>): Promise<T> {
    return parsed(this.#transport, await this.#result(request, false), schema, request.kind);
  }

  async forwardBackwardOutput(request: Submitted): Promise<WireForwardBackwardOutput> {
    return decoded(FORWARD_BACKWARD_OUTPUT.decode, await this.#result(request, true));
  }

  async sampleResponse(request: Submitted): Promise<WireSampleResponse> {
    return decoded(SAMPLE_RESPONSE.decode, await this.#result(request, true));
  }

  /** Polls until the result is there. */
  async #result({ id, kind }: Submitted, binary: boolean): Promise<Uint8Array> {
    const body = JSON.stringify({ request_id: id, allow_metadata_only: false });
    for (let iteration = 0; ; iteration++) {
      const headers = {
        accept: binary ? PROTOBUF : "application/json",
        "X-Tinker-Request-Iteration": `${iteration}`,
        "X-Tinker-Request-Type": kind,
      };
      const response = await this.#transport
        .send({ method: "POST", path: "/api/v1/retrieve_future", headers, body }, { polls: true })
        .catch((error: unknown) => {
          if (!(error instanceof RequestRefused)) throw error;
          if (error.status === 410) throw new ResultGone(error.message);
          // So some servers say that the request failed.
          if (error.status === 400)
            throw this.#gone?.test(error.message) ? gone(error) : new RequestFailed(error.message);
          throw error;
        });
      if (response.header("content-type")?.startsWith(PROTOBUF)) return response.body;
      const answer = jsonOf(this.#transport, response.body, kind);
      if (isTryAgain(answer)) continue;
      const failure = failureSchema.safeParse(answer);
      if (failure.success) throw new RequestFailed(this.#transport.redacted(failure.data.error));
      if (binary) {
        const said = this.#transport.detailOf(response.body);
        throw new EngineError(`The Tinker server answered ${kind} with JSON: ${said}`);
      }
      return response.body;
    }
  }

  /** Ends the session; never throws. */
  async close(): Promise<void> {
    clearInterval(this.#heartbeat);
    const body = JSON.stringify({ reason: { type: "success" }, detail: null });
    const path = `/api/v1/sessions/${this.#sessionId}/finish`;
    // A server that is gone ends the session by itself.
    await this.#transport.send({ method: "POST", path, body }, { once: true }).catch(() => {});
  }

  async #beat(): Promise<void> {
    const body = JSON.stringify({ session_id: this.#sessionId });
    await this.#transport
      .send({ method: "POST", path: "/api/v1/session_heartbeat", body }, { once: true })
      .catch(() => {});
  }
}

const gone = ({ message }: RequestRefused) =>
  new ServerLost(
    `${message} It was begun anew since the model was made there, or heard nothing of this session for minutes. ` +
      "Go on from the last checkpoint (--resume).",
  );

/** What a server has; of one that does not say, nothing. */
export async function serverCapabilities(transport: Transport): Promise<ServerCapabilities> {
  try {
    const { body } = await transport.send({ method: "GET", path: "/api/v1/get_server_capabilities" });
    return parsed(transport, body, capabilitiesSchema, "get_server_capabilities");
  } catch (error) {
    if (error instanceof RequestRefused && error.status === 404) return { supported_models: [] };
    throw error;
  }
}

async function post<N extends RequestName, T>(
  transport: Transport,
  name: N,
  body: RequestInput<N>,
  answer: z.ZodType<T>,
): Promise<T> {
  const response = await transport.send({ method: "POST", path: `/api/v1/${name}`, body: JSON.stringify(body) });
  return parsed(transport, response.body, answer, name);
}

function isTryAgain(answer: unknown): boolean {
  return typeof answer === "object" && answer !== null && "type" in answer && answer.type === "try_again";
}

function jsonOf(transport: Transport, body: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    throw new EngineError(`The Tinker server answered ${what} with no JSON: ${transport.detailOf(body)}`);
  }
}

function parsed<T>(transport: Transport, body: Uint8Array, schema: z.ZodType<T>, what: string): T {
  const result = schema.safeParse(jsonOf(transport, body, what));
  if (result.success) return result.data;
  throw new EngineError(`The Tinker server answered ${what} in another form: ${z.prettifyError(result.error)}`);
}

function decoded<T>(decode: (bytes: Uint8Array) => T, bytes: Uint8Array): T {
  try {
    return decode(bytes);
  } catch (error) {
    throw new EngineError(`The Tinker server's answer cannot be read: ${(error as Error).message}`);
  }
}
