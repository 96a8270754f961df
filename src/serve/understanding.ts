/**
 * Bodies of requests, understood: parsed, checked, rendered and tokenized. All of that takes time that grows with the
 * body, and a hostile body takes seconds, in which no other request would be answered. So short bodies are processed
 * immediately, and longer ones on threads: one thread for bodies of medium length, and one for the longest, so that
 * only other very long ones wait for these.
 */

import type { ApiErrorDetails } from "./api-error.ts";
import { type ChatAnswerFields, understandChat } from "./chat-completions.ts";
import { type CompletionAnswer, understandCompletion } from "./completions.ts";
import type { UnderstoodGeneration } from "./endpoint.ts";
import type { ReadableModel } from "./model-facts.ts";
import { parseBody } from "./parse-body.ts";
import { type UnderstoodTokens, understandDetokenize, understandTokenize } from "./tokenize.ts";

/** What each endpoint that takes a body makes of it. */
export interface UnderstoodBody {
  readonly chat: UnderstoodGeneration<ChatAnswerFields>;
  readonly completion: UnderstoodGeneration<CompletionAnswer>;
  readonly tokenize: UnderstoodTokens;
  readonly detokenize: { readonly prompt: string };
}

export type BodyKind = keyof UnderstoodBody;

/** Understands a body for one of these models. Throws ApiError. */
export function understand<K extends BodyKind>(
  kind: K,
  body: Uint8Array,
  { models, maxSequences }: UnderstandingContext,
): UnderstoodBody[K] {
  const parsed = parseBody(body);
  const byKind: { readonly [Kind in BodyKind]: () => UnderstoodBody[Kind] } = {
    chat: () => understandChat(models, parsed, maxSequences),
    completion: () => understandCompletion(models, parsed, maxSequences),
    tokenize: () => understandTokenize(models, parsed),
    detokenize: () => understandDetokenize(models, parsed),
  };
  return byKind[kind]();
}

export interface UnderstandingContext {
  /** The first one is asked where a request names none. */
  readonly models: readonly ReadableModel[];
  /** Most choices of a request. */
  readonly maxSequences: number;
}

/** What is sent to a thread: a body to be understood. */
export interface BodyMessage {
  readonly kind: BodyKind;
  readonly body: Uint8Array;
}

/** What comes back. `refused`: the client's fault; `failed`: ours. */
export type UnderstoodMessage =
  | { readonly understood: UnderstoodBody[BodyKind] }
  | { readonly refused: { readonly status: number; readonly message: string; readonly details: ApiErrorDetails } }
  | { readonly failed: string };
