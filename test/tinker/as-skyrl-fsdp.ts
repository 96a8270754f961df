/**
 * Aha's Tinker server answering as SkyRL's does with FSDP or Megatron: what the profile `skyrl-fsdp` knows of it, and what else
 * of its answers was read in SkyRL's source (0.4.0). That server needs GPUs, so nothing here was asked of it: this says whether
 * the client gets on with such answers, not whether SkyRL gives them.
 */

import type { Wire, WireRequest, WireResponse } from "../../src/engine/tinker/transport.ts";
import {
  bytesOf,
  FORWARD_BACKWARD_OUTPUT,
  floatsIn,
  SAMPLE_RESPONSE,
  type WireForwardBackwardOutput,
  type WireSampleResponse,
} from "../../src/tinker/messages.ts";

type Json = Readonly<Record<string, unknown>>;

/** What the server's own configuration says of a step, in the place of what the request says: only the learning rate is its. */
const SERVERS_ADAM = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0, grad_clip_norm: 1 };

/** The wire to Aha's server, as a wire to SkyRL's. */
export function asSkyrlFsdp(wire: Wire): Wire {
  return async (request) => answered(request, await wire(asked(request)));
}

function asked(request: WireRequest): WireRequest {
  if (typeof request.body !== "string") return request;
  const body = JSON.parse(request.body) as Json;
  if (request.path.endsWith("/optim_step")) {
    const adam_params = { ...(body.adam_params as Json), ...SERVERS_ADAM };
    return { ...request, body: JSON.stringify({ ...body, adam_params }) };
  }
  if (typeof body.model_path === "string") {
    return { ...request, body: JSON.stringify({ ...body, model_path: withKind(body.model_path) }) };
  }
  return request;
}

function answered({ path, headers }: WireRequest, response: WireResponse): WireResponse {
  const kind = headers["X-Tinker-Request-Type"];
  if (response.header("content-type")?.startsWith("application/x-protobuf")) {
    if (kind === "Sample")
      return withBody(response, SAMPLE_RESPONSE.encode(sampled(SAMPLE_RESPONSE.decode(response.body))));
    if (kind !== "ForwardBackward" && kind !== "Forward") return response;
    return withBody(response, FORWARD_BACKWARD_OUTPUT.encode(passed(FORWARD_BACKWARD_OUTPUT.decode(response.body))));
  }
  if (!response.header("content-type")?.startsWith("application/json")) return response;
  const answer = JSON.parse(new TextDecoder().decode(response.body)) as Json;
  if (path.endsWith("/get_server_capabilities")) {
    const { aha: _, ...rest } = answer;
    return withJson(response, rest);
  }
  // A request that failed: a refusal of the poll.
  if (path.endsWith("/retrieve_future") && "error" in answer) {
    return { ...withJson(response, { detail: answer.error }), status: 400 };
  }
  if ("request_id" in answer && answer.type !== "try_again") {
    return withJson(response, { ...answer, future_id: answer.request_id, status: "pending" });
  }
  if (kind === "OptimStep" && answer.metrics) {
    const { grad_norm } = answer.metrics as { readonly grad_norm?: number };
    return withJson(response, { ...answer, metrics: { "skyrl.ai/grad_norm": grad_norm } });
  }
  if (answer.type === "save_weights_for_sampler" && typeof answer.path === "string") {
    return withJson(response, { ...answer, path: answer.path.replace("/sampler_weights/", "/") });
  }
  return response;
}

/** One number fewer for a prompt: none for its first token. */
const sampled = (response: WireSampleResponse): WireSampleResponse => ({
  ...response,
  promptLogprobs: response.promptLogprobs && bytesOf(floatsIn(response.promptLogprobs).slice(1)),
});

/** The sum stands under another name than everywhere else. */
const passed = (output: WireForwardBackwardOutput): WireForwardBackwardOutput => ({
  ...output,
  metrics: new Map([...output.metrics].map(([name, value]) => [name === "loss:sum" ? "total_loss:sum" : name, value])),
});

/** Paths of samplers are without their kind. */
const withKind = (path: string) =>
  /^tinker:\/\/[^/]+\/[^/]+$/.test(path) ? path.replace(/\/([^/]+)$/, "/sampler_weights/$1") : path;

const withBody = (response: WireResponse, body: Uint8Array): WireResponse => ({ ...response, body });

const withJson = (response: WireResponse, value: object) =>
  withBody(response, new TextEncoder().encode(JSON.stringify(value)));
