/** A Tinker server in this process over policies that only note what is done, and what its clients send. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { tinkerRoutes } from "../../src/cli/serve-tinker.ts";
import type { Wire, WireRequest } from "../../src/engine/tinker/transport.ts";
import type { TinkerLimits } from "../../src/serve/tinker/limits.ts";
import {
  bytesOf,
  FORWARD_BACKWARD_REQUEST,
  floatTensor,
  integerTensor,
  type WireDatum,
} from "../../src/tinker/messages.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { inProcessWire } from "./in-process-wire.ts";
import { recordingBase } from "./recording-policy.ts";

const root = mkdtempSync(join(tmpdir(), "aha-tinker-server-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
let places = 0;

export interface Answer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  readonly json: any;
}

/** A server of policies that only note what is done, a session, and ways to ask. */
export async function startAsked(limits: Partial<TinkerLimits> = {}, directory = join(root, `${places++}`)) {
  const { base, policies } = recordingBase();
  const defects: unknown[] = [];
  const { routes } = await tinkerRoutes({
    ...{ name: "tiny", base, engine: await base.open({}), apiKey: undefined, directory },
    tokenizer: { eosTokenId: 1 } as unknown as Tokenizer,
    tokenizerDirectory: root,
    modelPath: root,
    limits: { pollMs: 20, ...limits },
    onDefect: (error) => defects.push(error),
  });
  const wire: Wire = inProcessWire(routes);
  const ask = async (method: WireRequest["method"] | "PUT", path: string, body?: unknown): Promise<Answer> => {
    const isBytes = body instanceof Uint8Array;
    const headers = { "content-type": isBytes ? "application/x-protobuf" : "application/json" };
    const content =
      body === undefined ? {} : { body: isBytes || typeof body === "string" ? body : JSON.stringify(body) };
    const { status, body: bytes } = await wire({
      method: method as WireRequest["method"],
      path: `/api/v1/${path}`,
      headers,
      ...(content as { body: string }),
    });
    const text = new TextDecoder().decode(bytes);
    return { status, json: text.startsWith("{") ? JSON.parse(text) : text };
  };
  const post = (path: string, body: unknown = {}) => ask("POST", path, body);
  /** What a request's future comes to. */
  const result = async ({ json }: Answer) => {
    for (;;) {
      const answer = await post("retrieve_future", { request_id: json.request_id });
      if (answer.json.type !== "try_again") return answer.json;
    }
  };
  const { session_id } = (await post("create_session")).json;
  const newModel = async (number = 0) => {
    const body = { session_id, model_seq_id: number, base_model: "tiny", lora_config: { rank: 2 } };
    return (await result(await post("create_model", body))).model_id as string;
  };
  return { ask, post, result, newModel, session_id, policies, defects, routes, directory };
}

/** Of three positions. */
export const datum = (
  change: Partial<Record<string, Float32Array | Int32Array>> = {},
  tokens = Int32Array.of(3, 4, 5),
): WireDatum => {
  const inputs = { target_tokens: Int32Array.of(4, 5, 6), weights: Float32Array.of(0, 1, 1), ...change };
  return {
    modelInput: [{ encodedText: { tokens: bytesOf(tokens) }, image: undefined, dmel: undefined }],
    lossFnInputs: new Map(
      Object.entries(inputs).flatMap(([name, values]) =>
        values === undefined
          ? []
          : [[name, values instanceof Float32Array ? floatTensor(values) : integerTensor(values)] as const],
      ),
    ),
    modelInputSpans: [],
    lossFnInputSpans: [],
  };
};

export const pass = (
  modelId: string,
  seqId: number,
  data: readonly WireDatum[] = [datum()],
  lossFn = "cross_entropy",
  more: object = {},
) => FORWARD_BACKWARD_REQUEST.encode({ modelId, seqId, data, lossFn, ...more });

export const step = (model_id: string, seq_id: number, rate = 1e-3) => ({
  model_id,
  seq_id,
  adam_params: { learning_rate: rate },
});
