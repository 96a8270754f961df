/**
 * What an endpoint that generates text has to say: how a body becomes work, and how the work's results are written in
 * its shape. `chat-completions.ts` and `completions.ts` each have one; how they travel is `respond.ts`.
 *
 * A body is understood on one thread and may be answered on another (`understanding.ts`), so what is understood is plain
 * data; the format that writes the answer is made of it where it is written.
 */

import type { SamplingParams } from "../engine/contract/sampling.ts";
import type { PromptLogprobs } from "../engine/contract/session.ts";
import type { ChoiceDelta, PlacedToken } from "./choice-text.ts";
import type { FinishReason, GenerationSpec, TokenUsage } from "./generation.ts";
import type { TokenTexts } from "./token-text.ts";

/** A choice that is complete. */
export interface FinishedChoice {
  readonly content: string;
  readonly reasoning: string;
  readonly tokens: readonly PlacedToken[];
  readonly finishReason: FinishReason;
  /** The scores of its prompt, where they were asked for. */
  readonly prompt: PromptLogprobs | undefined;
}

/** Writes results as an endpoint's JSON. A chunk of a stream without content is undefined, and is not sent. */
export interface ResponseFormat {
  /** The whole answer, choices in order. */
  whole(choices: readonly FinishedChoice[], usage: TokenUsage): object;
  /** The first chunk of a choice. */
  opening(choice: number, prompt: PromptLogprobs | undefined): object | undefined;
  delta(choice: number, delta: ChoiceDelta): object | undefined;
  closing(choice: number, finishReason: FinishReason): object;
  /** The chunk after all others, where the client asked for it. */
  usage(usage: TokenUsage): object;
}

/** A request for text that was understood. `Answer`: what its endpoint has to know to write the answer. */
export interface UnderstoodGeneration<Answer> {
  /** The name of the model that is asked. */
  readonly model: string;
  readonly spec: Omit<GenerationSpec, "params"> & { readonly params: Omit<SamplingParams, "seed"> };
  /** Undefined: the request has none. */
  readonly seed: number | undefined;
  /** Undefined: the answer comes as a whole. */
  readonly stream: { readonly includeUsage: boolean } | undefined;
  readonly answer: Answer;
}

/** The model that an answer is of. */
export interface AnsweringModel {
  readonly id: string;
  readonly texts: TokenTexts;
}

/** Who an answer is for: its id is unique. */
export interface RequestIdentity {
  readonly uuid: string;
  /** Seconds since 1970. */
  readonly created: number;
}

/** Usage as OpenAI writes it. */
export function usageBody({ promptTokens, completionTokens, reasoningTokens }: TokenUsage): object {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens_details: { reasoning_tokens: reasoningTokens },
  };
}
