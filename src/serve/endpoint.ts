/**
 * What an endpoint that generates text has to say: how a body becomes work, and how the work's results are written in
 * its shape. `chat-completions.ts` and `completions.ts` each have one; how they travel is `respond.ts`.
 */

import type { ChoiceDelta, PlacedToken } from "./choice-text.ts";
import type { FinishReason, GenerationSpec, TokenUsage } from "./generation.ts";
import type { ServedModel } from "./served-model.ts";

/** A choice that is complete. */
export interface FinishedChoice {
  readonly content: string;
  readonly reasoning: string;
  readonly tokens: readonly PlacedToken[];
  readonly finishReason: FinishReason;
}

/** Writes results as an endpoint's JSON. A chunk of a stream that would say nothing is undefined, and is not sent. */
export interface ResponseFormat {
  /** The whole answer, choices in order. */
  whole(choices: readonly FinishedChoice[], usage: TokenUsage): object;
  /** The first chunk of a choice. */
  opening(choice: number): object | undefined;
  delta(choice: number, delta: ChoiceDelta): object | undefined;
  closing(choice: number, finishReason: FinishReason): object;
  /** The chunk after all others, where the client asked for it. */
  usage(usage: TokenUsage): object;
}

/** A request that was understood. */
export interface PreparedRequest {
  /** Nothing is generated: the prompts' own tokens are scored, and this writes the answer. */
  readonly scored?: (logprobs: readonly Float32Array[], usage: TokenUsage) => object;
  readonly spec: GenerationSpec;
  /** Undefined: the answer comes as a whole. */
  readonly stream: { readonly includeUsage: boolean } | undefined;
  readonly format: ResponseFormat;
}

/** What a request needs besides its body: its id is unique, and `seed` is drawn with where the body has none. */
export interface RequestIdentity {
  readonly uuid: string;
  readonly seed: number;
  /** Seconds since 1970. */
  readonly created: number;
}

/** Understands a request's body. Throws ApiError where it cannot be served. */
export type PrepareRequest = (model: ServedModel, body: unknown, identity: RequestIdentity) => PreparedRequest;

/** Usage as OpenAI writes it. */
export function usageBody({ promptTokens, completionTokens, reasoningTokens }: TokenUsage): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
  };
}
