/**
 * /v1/chat/completions: a conversation, rendered with the checkpoint's own chat template, and the model's next message.
 *
 * Beyond OpenAI's parameters it takes `add_generation_prompt` and `continue_final_message`, which go on with a message of
 * the assistant's (a prompt that ends inside <think>), `chat_template_kwargs`, further variables of the template (Qwen3's
 * `enable_thinking`), and `separate_reasoning: false`, which leaves tags and reasoning in `content`. Log-probabilities
 * cover every token of the text, those of the reasoning too.
 */

import { z } from "zod";
import { DataError } from "../errors.ts";
import type { Message } from "../tokenizer/tokenizer.ts";
import { invalidParameter } from "./api-error.ts";
import type { ChoiceDelta, PlacedToken } from "./choice-text.ts";
import { renderConversation } from "./conversation.ts";
import {
  type FinishedChoice,
  type PreparedRequest,
  type RequestIdentity,
  type ResponseFormat,
  usageBody,
} from "./endpoint.ts";
import type { FinishReason, TokenUsage } from "./generation.ts";
import type { Channel } from "./reasoning.ts";
import {
  commonFields,
  MAX_TOP_LOGPROBS,
  parseRequest,
  requireModel,
  samplingOf,
  stopsOf,
  streamOf,
} from "./request-fields.ts";
import { completionTokensFor, type ServedModel } from "./served-model.ts";
import { textOfToken, utf8Bytes } from "./token-text.ts";

const contentPart = z.looseObject({ type: z.string(), text: z.string().optional() });

const messageShape = {
  role: z.string(),
  content: z.union([z.string(), z.array(contentPart)]).nullish(),
  name: z.string().nullish(),
  refusal: z.string().nullish(),
  reasoning_content: z.string().nullish(),
  reasoning: z.string().nullish(),
  annotations: z.array(z.unknown()).nullish(),
  audio: z.unknown().optional(),
  tool_calls: z.array(z.unknown()).nullish(),
  tool_call_id: z.string().nullish(),
  function_call: z.unknown().optional(),
} as const;

/**
 * A message as clients send it, also one that they got from a server and send back. Keys that are not here (`type`, `id`,
 * `prefix`) are left aside, as other servers do, unless they are one of these with an ending more or less (`contents`).
 */
const message = z.looseObject(messageShape).superRefine((given, context) => {
  for (const key of Object.keys(given)) {
    if (Object.hasOwn(messageShape, key) || !Object.keys(messageShape).some((known) => isMisspelt(key, known)))
      continue;
    context.addIssue({ code: "unrecognized_keys", keys: [key], input: given });
  }
});

function isMisspelt(key: string, known: string): boolean {
  return Math.abs(key.length - known.length) <= 2 && (key.startsWith(known) || known.startsWith(key));
}

const schema = z.strictObject({
  ...commonFields,
  messages: z.array(message).min(1),
  max_completion_tokens: commonFields.max_tokens,
  logprobs: z.boolean().default(false),
  top_logprobs: z.int().min(0).max(MAX_TOP_LOGPROBS).optional(),
  add_generation_prompt: z.boolean().optional(),
  continue_final_message: z.boolean().default(false),
  separate_reasoning: z.boolean().default(true),
  chat_template_kwargs: z.record(z.string(), z.unknown()).optional(),
});

type ChatRequest = z.output<typeof schema>;

/** Understands the body of a request for a chat completion. Throws ApiError. */
export function prepareChat(model: ServedModel, body: unknown, identity: RequestIdentity): PreparedRequest {
  const request = parseRequest(schema, body);
  requireModel(model, request.model);
  const stream = streamOf(request);
  if (request.top_logprobs !== undefined && !request.logprobs) {
    throw invalidParameter("top_logprobs", "top_logprobs needs logprobs: true.");
  }
  const { tokens, reasoning } = readConversation(model, request);
  const asked = request.max_completion_tokens ?? request.max_tokens;
  const longest = completionTokensFor(model, tokens.length, asked, model.defaultMaxTokens, "messages");
  return {
    spec: {
      prompts: [{ tokens, reasoning: request.separate_reasoning ? reasoning : undefined }],
      n: request.n,
      params: samplingOf(model, request, longest, identity.seed),
      stop: stopsOf(request),
      topLogprobs: request.top_logprobs ?? 0,
    },
    stream,
    format: new ChatFormat(model, request, identity),
  };
}

/** The prompt, and whether the completion begins inside of <think>. */
function readConversation(model: ServedModel, request: ChatRequest): { tokens: Int32Array; reasoning: Channel } {
  const messages = request.messages.map(readMessage);
  const continueFinalMessage = request.continue_final_message;
  const addGenerationPrompt = request.add_generation_prompt ?? !continueFinalMessage;
  if (continueFinalMessage && addGenerationPrompt) {
    throw invalidParameter("continue_final_message", "continue_final_message needs add_generation_prompt: false.");
  }
  if (continueFinalMessage && messages.at(-1)!.role !== "assistant") {
    throw invalidParameter("continue_final_message", "continue_final_message needs a last message of the assistant's.");
  }
  try {
    const variables = request.chat_template_kwargs ?? {};
    const options = { addGenerationPrompt, continueFinalMessage, variables };
    const { text, channel } = renderConversation(model.tokenizer, messages, options);
    return { tokens: model.tokenizer.encode(text), reasoning: channel };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw invalidParameter("messages", error.message, "invalid_messages");
  }
}

function readMessage(
  { role, content, name, reasoning_content, tool_calls, function_call, audio }: z.output<typeof message>,
  index: number,
): Message {
  const where = `messages[${index}]`;
  const refuse = (what: string) =>
    invalidParameter(where, `${where}: ${what} are not supported by this server.`, "unsupported_parameter");
  if (role === "tool" || role === "function") throw refuse("tools");
  if (!["system", "developer", "user", "assistant"].includes(role)) {
    throw invalidParameter(
      `${where}.role`,
      `${where}.role: expected system, developer, user or assistant, got ${JSON.stringify(role.slice(0, 40))}.`,
    );
  }
  if ((tool_calls && tool_calls.length > 0) || (function_call !== undefined && function_call !== null))
    throw refuse("tool calls");
  if (audio !== undefined && audio !== null) throw refuse("audio messages");
  if (content === undefined || content === null) {
    throw invalidParameter(`${where}.content`, `${where}.content: is missing; expected text.`);
  }
  const texts =
    typeof content === "string"
      ? [content]
      : content.map(({ type, text }, part) => {
          if (type === "text" && text !== undefined) return text;
          throw invalidParameter(
            `${where}.content[${part}]`,
            `${where}.content[${part}]: only parts of type text (with a text) are supported, not ${JSON.stringify(type.slice(0, 40))}.`,
            "unsupported_parameter",
          );
        });
  // Templates know no developer: it is what OpenAI calls the system message of its newer models.
  return {
    role: role === "developer" ? "system" : role,
    content: texts.join(""),
    ...(typeof name === "string" && { name }),
    ...(typeof reasoning_content === "string" && { reasoning_content }),
  };
}

class ChatFormat implements ResponseFormat {
  readonly #model: ServedModel;
  readonly #identity: RequestIdentity;
  readonly #logprobs: boolean;
  readonly #usage: object;

  constructor(model: ServedModel, request: ChatRequest, identity: RequestIdentity) {
    this.#model = model;
    this.#identity = identity;
    this.#logprobs = request.logprobs;
    this.#usage = request.stream_options?.include_usage ? { usage: null } : {};
  }

  whole(choices: readonly FinishedChoice[], usage: TokenUsage): object {
    return {
      ...this.#head("chat.completion"),
      choices: choices.map(({ content, reasoning, tokens, finishReason }, index) => ({
        index,
        message: {
          role: "assistant",
          content,
          ...(reasoning !== "" && { reasoning_content: reasoning }),
          refusal: null,
        },
        logprobs: this.#logprobs ? this.#logprobsOf(tokens) : null,
        finish_reason: finishReason,
      })),
      usage: usageBody(usage),
    };
  }

  opening(choice: number): object {
    return this.#chunk(choice, { role: "assistant", content: "" });
  }

  delta(choice: number, { pieces, tokens }: ChoiceDelta): object | undefined {
    const text = (channel: Channel) =>
      pieces
        .filter((piece) => piece.channel === channel)
        .map((piece) => piece.text)
        .join("");
    const [reasoning, content] = [text("reasoning"), text("content")];
    const logprobs = this.#logprobs && tokens.length > 0 ? this.#logprobsOf(tokens) : null;
    if (reasoning === "" && content === "" && logprobs === null) return undefined;
    const delta = { ...(reasoning !== "" && { reasoning_content: reasoning }), ...(content !== "" && { content }) };
    return this.#chunk(choice, delta, { logprobs });
  }

  closing(choice: number, finishReason: FinishReason): object {
    return this.#chunk(choice, {}, { finishReason });
  }

  usage(usage: TokenUsage): object {
    return { ...this.#head("chat.completion.chunk"), choices: [], usage: usageBody(usage) };
  }

  #chunk(
    index: number,
    delta: object,
    { logprobs = null, finishReason = null }: { logprobs?: object | null; finishReason?: FinishReason | null } = {},
  ): object {
    const choice = { index, delta, logprobs, finish_reason: finishReason };
    return { ...this.#head("chat.completion.chunk"), choices: [choice], ...this.#usage };
  }

  #head(object: string): object {
    const { uuid, created } = this.#identity;
    return { id: `chatcmpl-${uuid}`, object, created, model: this.#model.id };
  }

  #logprobsOf(tokens: readonly PlacedToken[]): object {
    const entry = ({ token, logprob }: { readonly token: number; readonly logprob: number }) => {
      const text = textOfToken(this.#model.tokenizer, token);
      return { token: text, logprob, bytes: utf8Bytes(text) };
    };
    return { content: tokens.map((token) => ({ ...entry(token), top_logprobs: token.top.map(entry) })), refusal: null };
  }
}
