/** The tokenizer's face to the rest of Aha; `huggingface.ts` implements it over Hugging Face's own packages. */

export interface Message {
  readonly role: string;
  readonly content: string;
}

export interface Tokenizer {
  /** Number of ids, added tokens included (a model's vocabulary may be padded beyond it). */
  readonly vocabSize: number;
  readonly eosTokenId: number | null;
  readonly padTokenId: number | null;
  /** No special tokens are added; those written out in the text are recognised. */
  encode(text: string): Int32Array;
  /** Special tokens are left out unless asked for. */
  decode(tokens: ArrayLike<number>, options?: { keepSpecial?: boolean }): string;
  /** Character span [start, end) of each token of `encode(text)`, where decoding is a plain concatenation. */
  tokenSpans(text: string): { readonly tokens: Int32Array; readonly spans: readonly (readonly [number, number])[] };
  /** Renders a conversation with the checkpoint's chat template. */
  applyChatTemplate(
    messages: readonly Message[],
    options?: { addGenerationPrompt?: boolean; continueFinalMessage?: boolean },
  ): string;
  /** Writes tokenizer.json, tokenizer_config.json and the other tokenizer files into an existing directory. */
  save(directory: string): Promise<void>;
}
