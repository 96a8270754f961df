/**
 * /tokenize, /detokenize and /tokenizer_info, in vLLM's shapes: what a text or a conversation is to the model, and back.
 * Evaluation programs count context with them, and need no tokenizer of their own then.
 */

import { z } from "zod";
import { DataError } from "../errors.ts";
import { invalidParameter } from "./api-error.ts";
import { messageList, readConversation, templateFields } from "./messages.ts";
import { modelNamed, type ReadableModel } from "./model-facts.ts";
import type { ParsedBody } from "./parse-body.ts";
import { parseRequest } from "./request-fields.ts";

const textSchema = z.strictObject({
  model: z.string().optional(),
  prompt: z.string(),
  add_special_tokens: z.boolean().default(true),
  return_token_strs: z.boolean().default(false),
});

const chatSchema = z.strictObject({
  model: z.string().optional(),
  messages: messageList,
  ...templateFields,
  add_special_tokens: z.boolean().default(false),
  return_token_strs: z.boolean().default(false),
});

const idsSchema = z.strictObject({
  model: z.string().optional(),
  tokens: z.custom<readonly number[]>(
    (value) => Array.isArray(value) && value.every((id) => Number.isSafeInteger(id) && id >= 0),
    { error: "expected a list of token ids" },
  ),
});

/** Tokens of a text or a conversation. */
export interface UnderstoodTokens {
  readonly model: string;
  readonly tokens: Int32Array;
  /** Whether their texts are wanted too. */
  readonly texts: boolean;
}

/** Understands and answers the body of a request to /tokenize: a `prompt`, or `messages`. Throws ApiError. */
export function understandTokenize(models: readonly ReadableModel[], body: ParsedBody): UnderstoodTokens {
  const isChat = typeof body.value === "object" && body.value !== null && "messages" in body.value;
  const request = isChat ? parseRequest(chatSchema, body.value) : parseRequest(textSchema, body.value);
  const model = modelNamed(models, request.model);
  const texts = request.return_token_strs;
  // What does not fit into the context has tokens, too: how many is what is asked.
  const unlimited = { ...model, maxContextTokens: Number.POSITIVE_INFINITY };
  if ("messages" in request) return { model: model.id, tokens: readConversation(unlimited, request).tokens, texts };
  try {
    const tokens = model.tokenizer.encode(request.prompt, { addSpecial: request.add_special_tokens });
    return { model: model.id, tokens, texts };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw invalidParameter("prompt", error.message);
  }
}

/** The text of token ids, special tokens written out. Throws ApiError for ids that the model does not have. */
export function understandDetokenize(models: readonly ReadableModel[], body: ParsedBody): { readonly prompt: string } {
  const request = parseRequest(idsSchema, body.value);
  const model = modelNamed(models, request.model);
  const stray = request.tokens.find((id) => id >= model.vocabSize);
  if (stray !== undefined) {
    throw invalidParameter("tokens", `Token ${stray} is not in the vocabulary of ${model.vocabSize}.`);
  }
  return { prompt: model.tokenizer.decode(request.tokens, { keepSpecial: true }) };
}
