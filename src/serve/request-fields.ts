/**
 * What both completion endpoints have in common in a request's body: which parameters there are, which are taken and
 * ignored, and which are refused.
 *
 * The rule: what would change the text and is not done is refused by name, unless it has the value that changes nothing.
 * What only concerns OpenAI's bookkeeping is ignored, since its clients send it. An unknown name is refused, with the
 * nearest known one. `null` is the same as leaving a parameter out.
 */

import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import type { SamplingParams } from "../engine/contract/sampler.ts";
import { nearestName } from "../errors.ts";
import { describeIssues } from "../strict-schema.ts";
import { ApiError, invalidParameter } from "./api-error.ts";
import { engineSeed, type ServedModel } from "./served-model.ts";

/** Most choices of one request, over all of its prompts; OpenAI's limit of `n`. */
export const MAX_CHOICES = 128;
/** Most alternatives per token; OpenAI's limit. */
export const MAX_TOP_LOGPROBS = 20;
const MAX_STOPS = 16;
const MAX_STOP_LENGTH = 1000;

/** Bookkeeping of OpenAI's service: no influence on the text, here or there. */
const IGNORED = [
  "user",
  "metadata",
  "store",
  "service_tier",
  "safety_identifier",
  "prompt_cache_key",
  "prompt_cache_retention",
  "prompt_cache_options",
  "parallel_tool_calls",
] as const;

/** Parameters that this server does not have, with the values that ask for nothing. */
const UNSUPPORTED: Readonly<Record<string, readonly unknown[]>> = {
  tools: [[]],
  tool_choice: ["none", "auto"],
  functions: [[]],
  function_call: ["none", "auto"],
  response_format: [{ type: "text" }],
  modalities: [["text"]],
  audio: [],
  prediction: [],
  web_search_options: [],
  moderation: [],
  reasoning_effort: [],
  verbosity: ["medium"],
  logit_bias: [{}],
  frequency_penalty: [0],
  presence_penalty: [0],
  repetition_penalty: [1],
  min_p: [0],
  suffix: [""],
};

const stopString = z.string().min(1).max(MAX_STOP_LENGTH);
const tokenCount = z.int().min(1);

/** The parameters of both endpoints; `top_k` and those below it are the common extensions of other servers. */
export const commonFields = {
  model: z.string(),
  stream: z.boolean().default(false),
  stream_options: z
    .strictObject({ include_usage: z.boolean().optional(), include_obfuscation: z.boolean().optional() })
    .optional(),
  n: z.int().min(1).max(MAX_CHOICES).default(1),
  max_tokens: tokenCount.optional(),
  stop: z.union([stopString, z.array(stopString).max(MAX_STOPS)]).optional(),
  seed: z.int().optional(),
  temperature: z.number().min(0).max(2).default(1),
  top_p: z.number().min(0).max(1).default(1),
  top_k: z.int().min(-1).default(0),
  min_tokens: z.int().min(0).default(0),
  stop_token_ids: z.array(z.int().min(0)).max(64).default([]),
  ignore_eos: z.boolean().default(false),
} as const;

type CommonRequest = z.output<z.ZodObject<typeof commonFields>>;

/** A body as its schema has it. Throws ApiError, with the parameter's name, for anything else. */
export function parseRequest<S extends z.ZodObject>(schema: S, body: unknown): z.output<S> {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new ApiError(400, "Expected a JSON object as the request's body.");
  }
  const known = Object.keys(schema.shape);
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(body)) {
    if (value === null) continue;
    if (known.includes(name)) given[name] = value;
    else requireHarmless(name, value, known);
  }
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const [message] = describeIssues([issue], { value: given, schema, pathNames: pathName, furtherKeys: () => [] });
  const path = issue.code === "unrecognized_keys" ? [...issue.path, issue.keys[0]!] : issue.path;
  throw invalidParameter(pathName(path), message ?? issue.message);
}

function requireHarmless(name: string, value: unknown, known: readonly string[]): void {
  if ((IGNORED as readonly string[]).includes(name)) return;
  const neutral = Object.hasOwn(UNSUPPORTED, name) ? UNSUPPORTED[name] : undefined;
  if (neutral === undefined) {
    const nearest = nearestName(name, known);
    const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
    throw invalidParameter(
      name,
      `Unrecognized request argument supplied: ${name.slice(0, 80)}.${hint}`,
      "unknown_parameter",
    );
  }
  if (neutral.some((accepted) => isDeepStrictEqual(accepted, value))) return;
  throw invalidParameter(name, `${name} is not supported by this server; leave it out.`, "unsupported_parameter");
}

/** `messages[0].content` */
function pathName(path: readonly PropertyKey[]): string {
  return path.map((key, i) => (typeof key === "number" ? `[${key}]` : `${i > 0 ? "." : ""}${String(key)}`)).join("");
}

/** Throws ApiError 404 unless the request is for this model. */
export function requireModel(model: ServedModel, name: string): void {
  if (name === model.id) return;
  throw new ApiError(
    404,
    `The model ${JSON.stringify(name.slice(0, 200))} does not exist; this server has ${model.id}.`,
    {
      param: "model",
      code: "model_not_found",
    },
  );
}

/** How the answer is to be streamed; undefined: as a whole. Throws ApiError for stream options without a stream. */
export function streamOf(request: CommonRequest): { readonly includeUsage: boolean } | undefined {
  if (request.stream) return { includeUsage: request.stream_options?.include_usage ?? false };
  if (request.stream_options === undefined) return undefined;
  throw invalidParameter("stream_options", "stream_options is for streams: set stream to true, or leave it out.");
}

/** The stop strings as a list. */
export function stopsOf(request: CommonRequest): readonly string[] {
  const { stop } = request;
  return stop === undefined ? [] : typeof stop === "string" ? [stop] : stop;
}

/** The engine's parameters. `seed` is what is drawn with where the request has none. Throws ApiError for unknown ids. */
export function samplingOf(
  model: ServedModel,
  request: CommonRequest,
  maxCompletionTokens: number,
  seed: number,
): SamplingParams {
  const stray = request.stop_token_ids.find((id) => id >= model.vocabSize);
  if (stray !== undefined) {
    throw invalidParameter("stop_token_ids", `Token ${stray} is not in the vocabulary of ${model.vocabSize}.`);
  }
  if (request.min_tokens > maxCompletionTokens) {
    throw invalidParameter(
      "min_tokens",
      `min_tokens is ${request.min_tokens}, more than the ${maxCompletionTokens} allowed.`,
    );
  }
  return {
    temperature: request.temperature,
    // 0 leaves the most probable token, as every nucleus has at least one.
    topP: Math.max(request.top_p, 1e-9),
    topK: Math.max(request.top_k, 0),
    maxCompletionTokens,
    minCompletionTokens: request.min_tokens,
    stopTokenIds: [...new Set([...(request.ignore_eos ? [] : model.stopTokenIds), ...request.stop_token_ids])],
    seed: request.seed === undefined ? seed : engineSeed(request.seed),
    iteration: 0,
  };
}
