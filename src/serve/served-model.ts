/** A model as the server has it: what requests are understood with, and the open session. */

import type { Sampler } from "../engine/contract/sampler.ts";
import type { SamplingSession } from "../engine/contract/session.ts";
import { EngineError } from "../errors.ts";
import { stopTokens } from "../tokenizer/stop-tokens.ts";
import { StreamingDecoder } from "../tokenizer/streaming-decoder.ts";
import type { TokenFacts, Tokenizer } from "../tokenizer/tokenizer.ts";
import type { TokenizerFiles } from "../tokenizer/tokenizer-files.ts";
import type { IncrementalDecoder } from "./choice-text.ts";
import type { ReadableModel, SamplingDefaults } from "./model-facts.ts";

export interface ServedModel extends ReadableModel {
  /** Since when it is served: seconds since 1970, as OpenAI has it. */
  readonly created: number;
  /** The name of the model that it is an adapter of; undefined where it is none. */
  readonly parent?: string | undefined;
  /** With `after`, for the text that follows these tokens. */
  readonly newDecoder: (after?: Int32Array) => IncrementalDecoder;
  readonly session: SamplingSession;
  /** What the tokenizer was read from, so that long requests can be understood on threads of their own; undefined: they
   * are understood here. */
  readonly tokenizerFiles?: TokenizerFiles | undefined;
}

/** What is said about a model that an engine has. */
export interface ServedModelOptions {
  readonly id: string;
  readonly defaultMaxTokens: number;
  readonly defaults?: SamplingDefaults;
  readonly parent?: string | undefined;
}

/**
 * The model of an engine, with a session of its own. Throws EngineError for an engine that has no sessions, ConfigError
 * where no token could end a completion.
 */
export function serveEngine(
  engine: Sampler,
  tokenizer: Tokenizer & Partial<TokenFacts> & { readonly files?: TokenizerFiles },
  options: ServedModelOptions,
): ServedModel {
  const { vocabSize, maxContextTokens, name } = engine.info;
  const session = engine.openSession?.();
  if (session === undefined) throw new EngineError(`The engine ${name} cannot be served: it has no sampling sessions.`);
  return {
    ...options,
    created: Math.floor(Date.now() / 1000),
    tokenizer,
    tokenizerFiles: tokenizer.files,
    newDecoder: (after) => new StreamingDecoder(tokenizer, { after }),
    session,
    vocabSize,
    maxContextTokens,
    stopTokenIds: stopTokens(engine, tokenizer),
  };
}

/** The model in OpenAI's lists. */
export function listedModel({ id, created, maxContextTokens, parent }: ServedModel): object {
  const card = { id, object: "model", created, owned_by: "aha", max_model_len: maxContextTokens };
  return parent === undefined ? card : { ...card, parent };
}
