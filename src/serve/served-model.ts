/** A model as the server has it: its name, its tokenizer, the open session, and what may be asked of it. */

import type { Sampler } from "../engine/contract/sampler.ts";
import type { SamplingSession } from "../engine/contract/session.ts";
import { EngineError } from "../errors.ts";
import { hashString } from "../random.ts";
import { stopTokens } from "../rollout/collect.ts";
import { StreamingDecoder } from "../tokenizer/streaming-decoder.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { type ApiError, invalidParameter } from "./api-error.ts";
import type { IncrementalDecoder } from "./choice-text.ts";

export interface ServedModel {
  /** The name that requests call it by. */
  readonly id: string;
  /** Since when it is served: seconds since 1970, as OpenAI has it. */
  readonly created: number;
  readonly tokenizer: Pick<Tokenizer, "encode" | "decode" | "applyChatTemplate">;
  readonly newDecoder: () => IncrementalDecoder;
  readonly session: SamplingSession;
  /**
   * Of each sequence, the natural-log probability of every token after the first, given those before it, at temperature 1
   * over the whole vocabulary. Absent: given tokens are not scored.
   */
  readonly score?: (sequences: readonly Int32Array[]) => Promise<readonly Float32Array[]>;
  readonly vocabSize: number;
  readonly maxContextTokens: number;
  /** Tokens that end a completion. */
  readonly stopTokenIds: readonly number[];
  /** The longest completion where a chat request names none. */
  readonly defaultMaxTokens: number;
}

/** What is said about a model that an engine has. */
export interface ServedModelOptions {
  readonly id: string;
  readonly defaultMaxTokens: number;
}

/**
 * The model of an engine, with a session of its own. Throws EngineError for an engine that has no sessions, ConfigError
 * where no token could end a completion.
 */
export function serveEngine(engine: Sampler, tokenizer: Tokenizer, options: ServedModelOptions): ServedModel {
  const { vocabSize, maxContextTokens, name } = engine.info;
  const session = engine.openSession?.();
  if (session === undefined) throw new EngineError(`The engine ${name} cannot be served: it has no sampling sessions.`);
  return {
    ...options,
    created: Math.floor(Date.now() / 1000),
    tokenizer,
    newDecoder: () => new StreamingDecoder(tokenizer),
    session,
    score: (sequences) => scoreSequences(engine, sequences),
    vocabSize,
    maxContextTokens,
    stopTokenIds: stopTokens(engine, tokenizer),
  };
}

/** A sequence of one token has nothing to be scored. */
async function scoreSequences(engine: Sampler, sequences: readonly Int32Array[]): Promise<readonly Float32Array[]> {
  const data = sequences.flatMap((tokens) =>
    tokens.length < 2 ? [] : [{ promptTokens: tokens.subarray(0, 1), completionTokens: tokens.subarray(1) }],
  );
  const { logprobs } = data.length === 0 ? { logprobs: [] } : await engine.score(data, { temperature: 1 });
  const scored = logprobs[Symbol.iterator]();
  return sequences.map((tokens) => (tokens.length < 2 ? new Float32Array(0) : (scored.next().value as Float32Array)));
}

/**
 * How many tokens a completion may have: as many as were asked for, else as many as there is room for up to `otherwise`.
 * `param` is the parameter that the prompt came in. Throws ApiError where the prompt, or it and what was asked for, is
 * longer than the model's context.
 */
export function completionTokensFor(
  model: ServedModel,
  promptTokens: number,
  asked: number | undefined,
  otherwise: number,
  param: string,
): number {
  if (promptTokens === 0) throw invalidParameter(param, "The prompt is empty: it needs at least one token.");
  const room = model.maxContextTokens - promptTokens;
  if (room < 1 || (asked !== undefined && asked > room)) {
    throw contextLengthExceeded(model, promptTokens, asked ?? 1, param);
  }
  return asked ?? Math.min(room, otherwise);
}

function contextLengthExceeded(model: ServedModel, prompt: number, completion: number, param: string): ApiError {
  return invalidParameter(
    param,
    `This model's maximum context length is ${model.maxContextTokens} tokens. However, you requested ` +
      `${prompt + completion} tokens (${prompt} in the ${param}, ${completion} in the completion). Please reduce the ` +
      `length of the ${param} or of the completion.`,
    "context_length_exceeded",
  );
}

/** A request's seed as the engine takes it, of 32 bits: those from 0 to 2³² − 1 as they are, others hashed. */
export function engineSeed(seed: number): number {
  return seed >= 0 && seed < 2 ** 32 ? seed : hashString(String(seed));
}
