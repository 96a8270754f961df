/**
 * What has to be known of a model to understand a request for it: plain data and its tokenizer, no engine, so that it can
 * be known on another thread too. How long a prompt and its completion may be is decided here.
 */

import { isTinkerPath } from "../tinker/tinker-path.ts";
import type { TokenFacts, Tokenizer } from "../tokenizer/tokenizer.ts";
import { type ApiError, invalidParameter } from "./api-error.ts";

/** How to sample where a request does not say: the model's own `generation_config.json`, of which this is a part. */
export interface SamplingDefaults {
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
}

export interface ModelFacts {
  /** The name that requests call it by. */
  readonly id: string;
  readonly vocabSize: number;
  readonly maxContextTokens: number;
  /** Tokens that end a completion. */
  readonly stopTokenIds: readonly number[];
  /** The longest completion where a chat request names none. */
  readonly defaultMaxTokens: number;
  readonly defaults?: SamplingDefaults;
  /** Copies of it that were trained are asked for by their paths (`snapshots.ts`). */
  readonly hasSnapshots?: boolean;
}

/** The part of a tokenizer that requests are read with. */
export type RequestTokenizer = Pick<Tokenizer, "encode" | "decode" | "applyChatTemplate"> & Partial<TokenFacts>;

/** A model, as requests are understood for it. */
export interface ReadableModel extends ModelFacts {
  readonly tokenizer: RequestTokenizer;
}

/** The tokens of a text. Throws ApiError, before it tokenizes, where they are certainly more than the context has. */
export function encodeWithin(
  { tokenizer, maxContextTokens }: ReadableModel,
  text: string,
  param: string,
  options: { addSpecial?: boolean } = {},
): Int32Array {
  if (tokenizer.hasMoreTokens?.(text, maxContextTokens)) {
    throw contextLengthExceeded(
      param,
      `This model's maximum context length is ${maxContextTokens} tokens, and the ${text.length} characters in the ${param} ` +
        `are more than that. Please reduce the length of the ${param}.`,
    );
  }
  return tokenizer.encode(text, options);
}

/**
 * How many tokens a completion may have: as many as were asked for, else as many as there is room for up to `otherwise`.
 * `param` is the parameter that the prompt came in. Throws ApiError where the prompt, or it and what was asked for, is
 * longer than the model's context.
 */
export function completionTokensFor(
  { maxContextTokens }: ModelFacts,
  promptTokens: number,
  asked: number | undefined,
  otherwise: number,
  param: string,
): number {
  if (promptTokens === 0) throw invalidParameter(param, "The prompt is empty: it needs at least one token.");
  const room = maxContextTokens - promptTokens;
  const wanted = asked ?? 1;
  if (wanted <= room) return asked ?? Math.min(room, otherwise);
  throw contextLengthExceeded(
    param,
    `This model's maximum context length is ${maxContextTokens} tokens. However, you requested ` +
      `${promptTokens + wanted} tokens (${promptTokens} in the ${param}, ${wanted} in the completion). Please reduce the ` +
      `length of the ${param} or of the completion.`,
  );
}

function contextLengthExceeded(param: string, message: string): ApiError {
  return invalidParameter(param, message, "context_length_exceeded");
}

/** The model of this name; the first where a request names none; for a path, what it is a copy of. Throws ApiError 404. */
export function modelNamed<M extends ModelFacts>(models: readonly M[], name: string | undefined): M {
  const found = name === undefined ? models[0] : models.find(({ id }) => id === name);
  if (found) return found;
  const base = isTinkerPath(name!) ? models.find(({ hasSnapshots }) => hasSnapshots) : undefined;
  if (base) return { ...base, id: name! };
  throw modelNotFound(models, name!);
}

function modelNotFound(models: readonly ModelFacts[], name: string): ApiError {
  const known = models.map(({ id }) => id).join(", ");
  const message = `The model ${JSON.stringify(name.slice(0, 200))} does not exist; this server has ${known}.`;
  return invalidParameter("model", message, "model_not_found", 404);
}
