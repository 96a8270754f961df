/**
 * What both completion endpoints have in common in a request's body: which parameters there are, which are taken and
 * ignored, and which are refused.
 *
 * The rule: what would change the text and is not done is refused by name, with what would not happen, unless it has the
 * value that changes nothing. What only concerns a service's bookkeeping is ignored, since its clients send it. An unknown
 * name is refused, with the nearest known one. `null` is the same as leaving a parameter out.
 */

import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import type { SamplingParams } from "../engine/contract/sampling.ts";
import type { LogitAdjustments } from "../engine/contract/session.ts";
import { nearestName } from "../errors.ts";
import { hashString } from "../random.ts";
import { describeIssues } from "../strict-schema.ts";
import { ApiError, invalidParameter } from "./api-error.ts";
import type { ModelFacts } from "./model-facts.ts";
import type { ParsedBody } from "./parse-body.ts";

/** Most choices of one prompt; OpenAI's limit of `n`. */
const MAX_CHOICES = 128;
/** Most alternatives per token; OpenAI's limit. */
export const MAX_TOP_LOGPROBS = 20;
const MAX_STOPS = 16;
const MAX_STOP_LENGTH = 1000;
/** Each costs a little at every token. */
const MAX_BIASES = 4096;

/** Bookkeeping of a service: no influence on the text, here or there. */
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
  "request_id",
  "cache_salt",
  "spaces_between_special_tokens",
] as const;

interface Unsupported {
  /** What would not happen. */
  readonly lacks: string;
  /** The values that ask for nothing. */
  readonly neutral: readonly unknown[];
}

const unsupported = (lacks: string, ...neutral: readonly unknown[]): Unsupported => ({ lacks, neutral });

/** Parameters that this server does not have. */
const UNSUPPORTED: Readonly<Record<string, Unsupported>> = {
  tools: unsupported("the model would not be told of them, and no tool would be called", []),
  tool_choice: unsupported("no tool would be called", "none", "auto"),
  functions: unsupported("the model would not be told of them, and no function would be called", []),
  function_call: unsupported("no function would be called", "none", "auto"),
  response_format: unsupported("the answer would not be restricted to JSON or to a schema", { type: "text" }),
  structured_outputs: unsupported("the answer would not be restricted to a form"),
  guided_json: unsupported("the answer would not be restricted to the schema"),
  guided_regex: unsupported("the answer would not be restricted to the pattern"),
  guided_choice: unsupported("the answer would not be restricted to the choices"),
  guided_grammar: unsupported("the answer would not be restricted to the grammar"),
  modalities: unsupported("nothing but text would come", ["text"]),
  audio: unsupported("no sound would come"),
  prediction: unsupported("it would make nothing faster"),
  web_search_options: unsupported("nothing would be searched"),
  moderation: unsupported("nothing would be moderated"),
  reasoning_effort: unsupported("the model would think as much as it does anyway"),
  verbosity: unsupported("the model would write as much as it does anyway", "medium"),
  suffix: unsupported("the completion would ignore it", ""),
  use_beam_search: unsupported("no beams would be searched", false),
  num_beams: unsupported("no beams would be searched", 1),
  length_penalty: unsupported("it is for beams, and none would be searched", 1),
  early_stopping: unsupported("it is for beams, and none would be searched", false),
  allowed_token_ids: unsupported("other tokens would be drawn too"),
  bad_words: unsupported("they would not be kept out", []),
  prompt_logprobs: unsupported("the prompt would not be scored; /v1/completions scores it with echo and logprobs"),
  truncate_prompt_tokens: unsupported("the prompt would not be cut"),
  include_stop_str_in_output: unsupported("the text would end before the stop string", false),
  skip_special_tokens: unsupported("special tokens would stay out of the text", true),
  return_token_ids: unsupported("the answer would have texts, and no ids", false),
  return_tokens_as_token_ids: unsupported("the answer would have texts, and no ids", false),
  priority: unsupported("requests would be served in the order in which they come", 0),
};

const stopString = z.string().min(1).max(MAX_STOP_LENGTH);
const penalty = z.number().min(-2).max(2);
/** Whole numbers of 64 bits, with a sign or without. */
const seed = z.number().refine((value) => Number.isInteger(value) && value >= -(2 ** 63) && value <= 2 ** 64, {
  error: "expected a whole number of 64 bits",
});

/** The parameters of both endpoints; `top_k` and those below it are the common extensions of other servers. */
export const commonFields = {
  model: z.string().optional(),
  stream: z.boolean().default(false),
  stream_options: z
    .strictObject({ include_usage: z.boolean().optional(), include_obfuscation: z.boolean().optional() })
    .optional(),
  n: z.int().min(1).max(MAX_CHOICES).default(1),
  max_tokens: z.int().min(0).optional(),
  stop: z.union([stopString, z.array(stopString).max(MAX_STOPS)]).optional(),
  seed: seed.optional(),
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().min(0).max(1).optional(),
  frequency_penalty: penalty.default(0),
  presence_penalty: penalty.default(0),
  logit_bias: z.record(z.string(), z.number().min(-100).max(100)).optional(),
  top_k: z.int().min(-1).optional(),
  min_p: z.number().min(0).max(1).optional(),
  repetition_penalty: z.number().gt(0).max(100).optional(),
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
  const found = Object.hasOwn(UNSUPPORTED, name) ? UNSUPPORTED[name] : undefined;
  if (found === undefined) {
    const nearest = nearestName(name, known);
    const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
    throw invalidParameter(
      name,
      `Unrecognized request argument supplied: ${name.slice(0, 80)}.${hint}`,
      "unknown_parameter",
    );
  }
  if (found.neutral.some((accepted) => isDeepStrictEqual(accepted, value))) return;
  const message = `${name} is not supported by this server: ${found.lacks}. Leave it out.`;
  throw invalidParameter(name, message, "unsupported_parameter");
}

/** `messages[0].content` */
function pathName(path: readonly PropertyKey[]): string {
  return path.map((key, i) => (typeof key === "number" ? `[${key}]` : `${i > 0 ? "." : ""}${String(key)}`)).join("");
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

/** Throws ApiError where a request asks for more sequences than the server has at once. */
export function requireChoices(prompts: number, n: number, maxSequences: number): void {
  if (prompts * n <= maxSequences) return;
  const asked = n === 1 ? `${prompts} prompts` : `${prompts} prompts with n ${n}`;
  const param = prompts > 1 ? "prompt" : "n";
  throw invalidParameter(param, `${asked} are more choices than the ${maxSequences} that this server takes at once.`);
}

/**
 * The engine's parameters, but for the seed: the request's own, else the model's defaults, else what changes nothing.
 * Throws ApiError for ids that are not in the vocabulary.
 */
export function samplingOf(
  model: ModelFacts,
  request: CommonRequest,
  maxCompletionTokens: number,
): Omit<SamplingParams, "seed"> {
  const { defaults = {} } = model;
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
    temperature: request.temperature ?? defaults.temperature ?? 1,
    // 0 leaves the most probable token, as every nucleus has at least one.
    topP: Math.max(request.top_p ?? defaults.topP ?? 1, 1e-9),
    topK: Math.max(request.top_k ?? defaults.topK ?? 0, 0),
    minP: request.min_p ?? defaults.minP ?? 0,
    maxCompletionTokens,
    minCompletionTokens: request.min_tokens,
    stopTokenIds: [...new Set([...(request.ignore_eos ? [] : model.stopTokenIds), ...request.stop_token_ids])],
    iteration: 0,
  };
}

/** Biases and penalties; undefined where none changes anything. Throws ApiError for a bias on what is no token. */
export function adjustmentsOf(model: ModelFacts, request: CommonRequest): LogitAdjustments | undefined {
  const { frequency_penalty: frequencyPenalty, presence_penalty: presencePenalty } = request;
  const repetitionPenalty = request.repetition_penalty ?? model.defaults?.repetitionPenalty ?? 1;
  const biases = Object.entries(request.logit_bias ?? {});
  if (biases.length > MAX_BIASES) {
    throw invalidParameter("logit_bias", `logit_bias has ${biases.length} tokens; at most ${MAX_BIASES} are taken.`);
  }
  const bias = new Map<number, number>();
  for (const [key, value] of biases) {
    const token = /^\d{1,10}$/.test(key) ? Number(key) : Number.NaN;
    if (!(token < model.vocabSize)) {
      const what = `${JSON.stringify(key.slice(0, 40))} is no token id of the vocabulary of ${model.vocabSize}`;
      throw invalidParameter("logit_bias", `logit_bias: ${what}.`);
    }
    bias.set(token, value);
  }
  const isNeutral = biases.length === 0 && frequencyPenalty === 0 && presencePenalty === 0 && repetitionPenalty === 1;
  return isNeutral ? undefined : { bias, frequencyPenalty, presencePenalty, repetitionPenalty };
}

/**
 * A request's seed as the engine takes it, of 32 bits: those from 0 to 2³² − 1 as they are, others hashed by all of their
 * digits. Undefined where there is none.
 */
export function seedOf(request: CommonRequest, body: ParsedBody): number | undefined {
  const { seed: given } = request;
  if (given === undefined || (given >= 0 && given < 2 ** 32)) return given;
  return hashString(Number.isSafeInteger(given) ? String(given) : (body.numberText("seed") ?? String(given)));
}
