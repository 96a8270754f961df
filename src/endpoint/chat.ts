/**
 * What is asked of a chat model behind an OpenAI-compatible endpoint, and what it answers: `POST BASE/chat/completions`,
 * one answer to a request, not streamed. The form is OpenAI's; vLLM, llama.cpp, Ollama and `aha serve` speak it too.
 *
 * Only what those have in common is here. `reasoning_content`, the field for the text between `<think>` tags, is not
 * part of OpenAI's API; DeepSeek and these servers have it.
 */

import { z } from "zod";
import { EndpointError, shorten } from "../errors.ts";

export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

export interface ChatRequest {
  readonly messages: readonly ChatMessage[];
  /** Longest answer; the endpoint's own limit if absent. */
  readonly maxCompletionTokens?: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  /** Asks for an answer that is one JSON object (`response_format`). */
  readonly json?: boolean;
  /** Number of this answer among several to the same request: it is not sent, but makes them different in the cache. */
  readonly sample?: number;
}

/** Tokens of the prompt and of the answer. */
export interface ChatUsage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

export interface ChatAnswer {
  readonly text: string;
  /** What the server set apart as thinking. */
  readonly reasoning?: string;
  /** `stop`, `length`, or another word of the server's. */
  readonly finishReason: string;
  readonly usage: ChatUsage;
}

/** The interface of a client. Tests and other ways to reach a model can implement it. */
export interface ChatClient {
  /** Throws EndpointError; an aborted signal rejects with its reason. */
  readonly complete: (request: ChatRequest, signal?: AbortSignal) => Promise<ChatAnswer>;
}

/** The request's body. */
export function chatBody(model: string, request: ChatRequest): Record<string, unknown> {
  const { messages, maxCompletionTokens, temperature, topP, seed, stop, json } = request;
  return {
    model,
    messages,
    // The older name of the field: all servers know it, and only OpenAI's reasoning models refuse it.
    ...(maxCompletionTokens !== undefined && { max_tokens: maxCompletionTokens }),
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
    ...(seed !== undefined && { seed }),
    ...(stop !== undefined && { stop }),
    ...(json === true && { response_format: { type: "json_object" } }),
  };
}

/** Usage in an answer; not every server tells it. */
export const usageSchema = z
  .object({ prompt_tokens: z.number().min(0), completion_tokens: z.number().min(0) })
  .nullish();

const answerSchema = z.object({
  choices: z
    .array(
      z.object({
        message: z.object({ content: z.string().nullish(), reasoning_content: z.string().nullish() }),
        finish_reason: z.string().nullish(),
      }),
    )
    .min(1),
  usage: usageSchema,
});

/**
 * The answer in a body. Where the server tells no usage it is estimated, four characters a token, so that a limit on
 * tokens still ends.
 *
 * @throws EndpointError `malformed`.
 */
export function parseChatAnswer(body: string, request: ChatRequest): ChatAnswer {
  const { choices, usage } = checkedAnswer(body, answerSchema, "a chat completion");
  const { message, finish_reason } = choices[0]!;
  const text = message.content ?? "";
  const reasoning = message.reasoning_content;
  const promptCharacters = request.messages.reduce((sum, { content }) => sum + content.length, 0);
  return {
    text,
    ...(typeof reasoning === "string" && { reasoning }),
    finishReason: finish_reason ?? "stop",
    usage: usageOf(usage, promptCharacters, text.length + (reasoning?.length ?? 0)),
  };
}

/**
 * A body read by its schema; `what` names it.
 *
 * @throws EndpointError `malformed`.
 */
export function checkedAnswer<S extends z.ZodType>(body: string, schema: S, what: string): z.output<S> {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new EndpointError("malformed", `expected ${what}, got ${quotedText(body)}, which is not JSON`);
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new EndpointError("malformed", `expected ${what}, got ${quotedText(body)}`);
  return parsed.data;
}

/** Usage as it was told, or an estimate from numbers of characters. */
export function usageOf(
  told: z.output<typeof usageSchema>,
  promptCharacters: number,
  completionCharacters: number,
): ChatUsage {
  return {
    promptTokens: told?.prompt_tokens ?? Math.ceil(promptCharacters / 4),
    completionTokens: told?.completion_tokens ?? Math.ceil(completionCharacters / 4),
  };
}

/** Text from outside, short enough for a message. */
export function quotedText(text: string): string {
  return JSON.stringify(shorten(text, 200));
}
