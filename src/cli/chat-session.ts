/**
 * A conversation with a model, one answer at a time, each handed out while it is made. What it is not: a terminal; how
 * an answer is shown and where lines come from is `chat.ts`.
 */

import type { Sampler } from "../engine/contract/sampler.ts";
import type { SamplingSession } from "../engine/contract/session.ts";
import { SampledSession } from "../engine/sampled-session.ts";
import { DataError } from "../errors.ts";
import { channelAfter, renderConversation } from "../serve/conversation.ts";
import { type Channel, type ChannelText, ReasoningSplitter } from "../serve/reasoning.ts";
import { stopTokens } from "../tokenizer/stop-tokens.ts";
import { StreamingDecoder } from "../tokenizer/streaming-decoder.ts";
import type { Message, Tokenizer } from "../tokenizer/tokenizer.ts";

/** Forgets what was said. */
export const FORGET = "/new";

export interface ChatSampling {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  /** The longest answer. */
  readonly maxTokens: number;
  readonly seed: number;
}

export interface ChatSessionOptions {
  readonly engine: Sampler;
  readonly tokenizer: Tokenizer;
  readonly sampling: ChatSampling;
  /** Undefined: no conversation, but a series of texts that have nothing to do with each other. */
  readonly chat: { readonly system: string | undefined } | undefined;
}

/** A part of an answer: its text as the model wrote it, and the same told apart, without the tags. */
export interface AnswerPart {
  readonly text: string;
  readonly pieces: readonly ChannelText[];
}

export interface ChatReply {
  /** The whole text that the model saw. */
  readonly prompt: string;
  /** What it wrote, tags included. */
  readonly completion: string;
  readonly reasoning: string;
  readonly answer: string;
  /** `cancelled`: the user stopped it. */
  readonly finishReason: "stop" | "length" | "cancelled";
  readonly tokens: number;
}

/** A conversation, or with `chat` undefined a series of texts. Dispose of it before its engine. */
export class ChatSession {
  readonly #options: ChatSessionOptions;
  readonly #session: SamplingSession;
  readonly #stopTokenIds: readonly number[];
  #messages: Message[] = [];
  #turn = 0;

  constructor(options: ChatSessionOptions) {
    const { engine } = options;
    this.#options = options;
    this.#stopTokenIds = stopTokens(options.engine, options.tokenizer);
    this.#session = engine.capabilities.sessions ? engine.openSession!() : new SampledSession(engine);
    this.forget();
  }

  /** Starts a new conversation. */
  forget(): void {
    const system = this.#options.chat?.system;
    this.#messages = system === undefined ? [] : [{ role: "system", content: system }];
  }

  dispose(): Promise<void> {
    return this.#session.close();
  }

  /**
   * The model's answer to `text`, which becomes part of the conversation with it, also where `signal` cut it short.
   *
   * @throws DataError where nothing was said, or the conversation leaves no room in the model's context.
   */
  async answer(text: string, onPart: (part: AnswerPart) => void = () => {}, signal?: AbortSignal): Promise<ChatReply> {
    const { tokenizer, engine, sampling } = this.#options;
    const stopTokenIds = this.#stopTokenIds;
    const asked: Message[] = [...this.#messages, { role: "user", content: text }];
    const prompt = this.#prompt(asked, text);
    const tokens = tokenizer.encode(prompt.text);
    const room = engine.info.maxContextTokens - tokens.length;
    if (tokens.length === 0) throw new DataError("The prompt is empty; give the model at least one token.");
    if (room < 1) {
      throw new DataError(
        `The prompt has ${tokens.length} tokens and the model's context ${engine.info.maxContextTokens}: there is no ` +
          `room for an answer. Start a new conversation (${FORGET}), or say less.`,
      );
    }
    const { maxTokens, repetitionPenalty = 1, ...draws } = sampling;
    const params = { ...draws, maxCompletionTokens: Math.min(maxTokens, room), stopTokenIds, iteration: this.#turn++ };
    const said = new Said(new StreamingDecoder(tokenizer), prompt.channel, onPart);
    const adjustments = repetitionPenalty === 1 ? {} : { adjustments: { repetitionPenalty } };
    const request = { tokens, promptId: 0, sampleIndex: 0, params, ...adjustments };
    const sequence = this.#session.submit(request, ({ token }) => said.token(token, stopTokenIds.includes(token)));
    const cancel = () => sequence.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    if (signal?.aborted) cancel();
    try {
      const finishReason = await sequence.finished;
      said.end();
      this.#messages = [...asked, { role: "assistant", content: said.completion }];
      const { completion, reasoning, content } = said;
      return { prompt: prompt.text, completion, reasoning, answer: content, finishReason, tokens: said.count };
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  #prompt(asked: readonly Message[], text: string): { readonly text: string; readonly channel: Channel } {
    const { tokenizer, chat } = this.#options;
    if (chat) return renderConversation(tokenizer, asked, { addGenerationPrompt: true });
    const prompt = text.replaceAll("\\n", "\n");
    return { text: prompt, channel: channelAfter(prompt) };
  }
}

/** An answer that is being made. */
class Said {
  completion = "";
  reasoning = "";
  content = "";
  /** Tokens that were drawn, the stop token included. */
  count = 0;
  readonly #decoder: StreamingDecoder;
  readonly #splitter: ReasoningSplitter;
  readonly #onPart: (part: AnswerPart) => void;

  constructor(decoder: StreamingDecoder, channel: Channel, onPart: (part: AnswerPart) => void) {
    this.#decoder = decoder;
    this.#splitter = new ReasoningSplitter(channel === "reasoning");
    this.#onPart = onPart;
  }

  token(token: number, isStop: boolean): void {
    this.count++;
    if (isStop) return;
    const text = this.#decoder.push(token);
    this.#tell(text, this.#splitter.push(text));
  }

  end(): void {
    const rest = this.#decoder.end();
    this.#tell(rest, [...this.#splitter.push(rest), ...this.#splitter.end()]);
  }

  #tell(text: string, pieces: readonly ChannelText[]): void {
    this.completion += text;
    for (const { channel, text: piece } of pieces) {
      if (channel === "reasoning") this.reasoning += piece;
      else this.content += piece;
    }
    if (text !== "" || pieces.length > 0) this.#onPart({ text, pieces });
  }
}
