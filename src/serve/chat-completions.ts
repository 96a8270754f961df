/**
 * /v1/chat/completions: a conversation, rendered with the checkpoint's own chat template, and the model's next message.
 *
 * Beyond OpenAI's parameters it takes `add_generation_prompt` and `continue_final_message`, which go on with a message of
 * the assistant's (a prompt that ends inside <think>), `chat_template_kwargs`, further variables of the template (Qwen3's
 * `enable_thinking`), and `separate_reasoning: false`, which leaves tags and reasoning in `content`. Log-probabilities
 * cover every token of the text, those of the reasoning too.
 */

import { z } from "zod";
import { invalidParameter } from "./api-error.ts";
import type { ChoiceDelta, PlacedToken } from "./choice-text.ts";
import {
  type AnsweringModel,
  type FinishedChoice,
  type RequestIdentity,
  type ResponseFormat,
  type UnderstoodGeneration,
  usageBody,
} from "./endpoint.ts";
import type { FinishReason, TokenUsage } from "./generation.ts";
import { lazily } from "./json-pieces.ts";
import { messageList, readConversation, templateFields } from "./messages.ts";
import { completionTokensFor, modelNamed, type ReadableModel } from "./model-facts.ts";
import type { ParsedBody } from "./parse-body.ts";
import type { Channel } from "./reasoning.ts";
import {
  adjustmentsOf,
  commonFields,
  MAX_TOP_LOGPROBS,
  parseRequest,
  requireChoices,
  samplingOf,
  seedOf,
  stopsOf,
  streamOf,
} from "./request-fields.ts";

const schema = z.strictObject({
  ...commonFields,
  ...templateFields,
  messages: messageList,
  max_completion_tokens: commonFields.max_tokens,
  logprobs: z.boolean().default(false),
  top_logprobs: z.int().min(0).max(MAX_TOP_LOGPROBS).optional(),
  separate_reasoning: z.boolean().default(true),
});

/** What the answer has to have. */
export interface ChatAnswerFields {
  readonly logprobs: boolean;
  /** Chunks of a stream have a field for usage. */
  readonly usageField: boolean;
}

/** Understands the body of a request for a chat completion. Throws ApiError. */
export function understandChat(
  models: readonly ReadableModel[],
  body: ParsedBody,
  maxSequences: number,
): UnderstoodGeneration<ChatAnswerFields> {
  const request = parseRequest(schema, body.value);
  const model = modelNamed(models, request.model);
  const stream = streamOf(request);
  if (request.top_logprobs !== undefined && !request.logprobs) {
    throw invalidParameter("top_logprobs", "top_logprobs needs logprobs: true.");
  }
  requireChoices(1, request.n, maxSequences);
  const { tokens, channel } = readConversation(model, request);
  const asked = request.max_completion_tokens ?? request.max_tokens;
  const longest = completionTokensFor(model, tokens.length, asked, model.defaultMaxTokens, "messages");
  const reasoning = request.separate_reasoning ? channel : undefined;
  return {
    model: model.id,
    spec: {
      prompts: [{ tokens, reasoning, continued: false }],
      n: request.n,
      params: samplingOf(model, request, longest),
      adjustments: adjustmentsOf(model, request),
      stop: stopsOf(request),
      topLogprobs: request.top_logprobs ?? 0,
      scorePrompts: false,
    },
    seed: seedOf(request, body),
    stream,
    answer: { logprobs: request.logprobs, usageField: stream?.includeUsage ?? false },
  };
}

/** Writes the answers of this endpoint. */
export class ChatFormat implements ResponseFormat {
  readonly #model: AnsweringModel;
  readonly #identity: RequestIdentity;
  readonly #logprobs: boolean;
  readonly #usage: object;

  constructor(model: AnsweringModel, { logprobs, usageField }: ChatAnswerFields, identity: RequestIdentity) {
    this.#model = model;
    this.#identity = identity;
    this.#logprobs = logprobs;
    this.#usage = usageField ? { usage: null } : {};
  }

  whole(choices: readonly FinishedChoice[], usage: TokenUsage): object {
    return {
      ...this.#head("chat.completion"),
      choices: lazily(choices, ({ content, reasoning, tokens, finishReason }, index) => ({
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
      const { texts } = this.#model;
      return { token: texts.inChat(token), logprob, bytes: [...texts.of(token).bytes] };
    };
    return { content: tokens.map((token) => ({ ...entry(token), top_logprobs: token.top.map(entry) })), refusal: null };
  }
}
