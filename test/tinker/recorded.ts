/**
 * Exchanges with a server of the protocol as JSON, recorded by `record.ts`, and a wire that answers from them. Bodies of
 * protobuf are base64. What differs from one recording to the next by chance (ids, polls that say "try again") is as it came.
 */

import type { Wire, WireRequest, WireResponse } from "../../src/engine/tinker/transport.ts";

/** One request and its answer. */
interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly body: string | null;
  readonly status: number;
  readonly contentType: string | null;
  readonly answer: string;
}

/** A recording of `scenario.ts`. */
export interface Recording {
  readonly profile: string;
  /** What was asked, in words: the program and its version. */
  readonly server: string;
  /** Its model is a toy: what it answers has the right form, and means nothing. */
  readonly isToy?: boolean;
  /** Aha's server was asked, and its answers were made those of the profile: the server of that name was not. */
  readonly isMade?: boolean;
  /** The server was compared with its profile first, as a run does: what was refused, or null. Absent: it was not. */
  readonly refusal?: string | null;
  readonly baseModel: string;
  /** The model's config.json. */
  readonly config: object;
  readonly exchanges: readonly Exchange[];
  /** What the scenario came to. */
  readonly outcome: unknown;
}

const isText = (contentType: string | null) => contentType?.startsWith("application/json") === true;

const textOf = (bytes: Uint8Array, contentType: string | null) =>
  Buffer.from(bytes).toString(isText(contentType) ? "utf8" : "base64");

const bodyOf = ({ body, headers }: WireRequest) =>
  body === undefined
    ? null
    : typeof body === "string"
      ? body
      : textOf(body, headers["content-type"] ?? "application/octet-stream");

/** A wire that notes what goes over another one, in the order in which answers come; heartbeats are left out. */
export function recordingWire(wire: Wire): { readonly wire: Wire; readonly exchanges: Exchange[] } {
  const exchanges: Exchange[] = [];
  return {
    exchanges,
    wire: async (request) => {
      const response = await wire(request);
      if (!request.path.endsWith("session_heartbeat")) {
        const contentType = response.header("content-type");
        exchanges.push({
          ...{ method: request.method, path: request.path, body: bodyOf(request) },
          ...{ status: response.status, contentType, answer: textOf(response.body, contentType) },
        });
      }
      return response;
    },
  };
}

/** A wire that answers as a server once did: a request of the same bytes gets the same answers, the last one again and again. */
export function replayingWire({ exchanges }: Recording): { readonly wire: Wire; readonly unasked: () => string[] } {
  const keyOf = (method: string, path: string, body: string | null) => `${method} ${path} ${body}`;
  const answers = new Map<string, Exchange[]>();
  for (const exchange of exchanges) {
    const key = keyOf(exchange.method, exchange.path, exchange.body);
    answers.set(key, [...(answers.get(key) ?? []), exchange]);
  }
  const asked = new Set<string>();
  const wire: Wire = async (request): Promise<WireResponse> => {
    if (request.path.endsWith("session_heartbeat")) return response({ status: 200, contentType: null, answer: "" });
    const key = keyOf(request.method, request.path, bodyOf(request));
    const known = answers.get(key);
    if (known === undefined) throw new Error(`The recording has no ${key.slice(0, 400)}`);
    asked.add(key);
    return response(known.length > 1 ? known.shift()! : known[0]!);
  };
  return { wire, unasked: () => [...answers.keys()].filter((key) => !asked.has(key)) };
}

function response({ status, contentType, answer }: Pick<Exchange, "status" | "contentType" | "answer">): WireResponse {
  return {
    status,
    header: (name) => (name === "content-type" ? contentType : null),
    body: new Uint8Array(Buffer.from(answer, isText(contentType) || contentType === null ? "utf8" : "base64")),
  };
}
