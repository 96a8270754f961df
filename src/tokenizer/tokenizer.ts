/** The tokenizer's interface; `huggingface.ts` implements it over Hugging Face's own packages. */

import type { Folder } from "../folder.ts";

/**
 * One message of a conversation, with the fields that templates read, under their names. Further fields are handed to the
 * template as they are.
 */
export interface Message {
  readonly role: string;
  /** A text, or a list of parts (`{ type: "text", text }`) for templates that read one. A turn may have calls alone. */
  readonly content?: string | readonly unknown[] | null;
  /** What a reasoning model thought before it wrote `content`; `thinking` and `reasoning` are read as this one, too. */
  readonly reasoning_content?: string | null;
  /** What an assistant asks to be called, each `{ type: "function", function: { name, arguments } }`. */
  readonly tool_calls?: readonly unknown[] | null;
  /** Which call a message of role `tool` answers, and of what name. */
  readonly tool_call_id?: string;
  readonly name?: string;
}

/** How a conversation is rendered; names and meanings are those of transformers' `apply_chat_template`. */
export interface ChatTemplateOptions {
  /** Opens a new assistant message at the end; false by default. */
  readonly addGenerationPrompt?: boolean;
  /** Ends right after the last message's content, so that the model goes on with it; false by default. */
  readonly continueFinalMessage?: boolean;
  /** JSON schemas of functions that the model may call. */
  readonly tools?: readonly unknown[];
  readonly documents?: readonly unknown[];
  /** Further variables of the template (`enable_thinking`, `date_string`, …). */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** One of several templates; by default `tool_use` where there are tools and such a template, else `default`. */
  readonly template?: string;
  /** What `strftime_now` says; the present by default. Give one where runs are to be equal. */
  readonly now?: Date;
}

export interface Tokenizer {
  /** Number of ids, added tokens included (a model's vocabulary may be padded beyond it). */
  readonly vocabSize: number;
  readonly eosTokenId: number | null;
  readonly padTokenId: number | null;
  /**
   * Special tokens written out in the text are recognised. None are added (chat templates write their own) unless
   * `addSpecial` is set, which puts before and after the text what the tokenizer has for that: Llama's begin of text.
   */
  encode(text: string, options?: { addSpecial?: boolean }): Int32Array;
  /** Special tokens are left out unless asked for. */
  decode(tokens: ArrayLike<number>, options?: { keepSpecial?: boolean }): string;
  /** Character span [start, end) of each token of `encode(text)`, where decoding is a plain concatenation. */
  tokenSpans(text: string): { readonly tokens: Int32Array; readonly spans: readonly (readonly [number, number])[] };
  /**
   * What the chat template puts behind an assistant's message, up to the special token that ends the turn; empty where there
   * is no template, or its turns end with plain text. Base models often have another token as `eosTokenId`. Absent: empty.
   */
  readonly turnEndTokens?: Int32Array;
  /** Renders a conversation with the checkpoint's chat template. */
  applyChatTemplate(messages: readonly Message[], options?: ChatTemplateOptions): string;
  /** Writes tokenizer.json, tokenizer_config.json and the other tokenizer files into a folder. */
  save(folder: Folder): Promise<void>;
}

/** What a tokenizer knows of its tokens, for code that displays tokens or has to limit a text. */
export interface TokenFacts {
  /** What a token adds to a text that it stands in the middle of; none for an id that is not in the vocabulary. */
  tokenBytes(token: number): Uint8Array;
  /** A token as the vocabulary writes it (`Ġthe`, `▁the`, `<0x0A>`); undefined for an id that it does not have. */
  spelling(token: number): string | undefined;
  /** Whether a text certainly has more tokens than this, told from its length alone and at once; false where it is not known. */
  hasMoreTokens(text: string, most: number): boolean;
}
