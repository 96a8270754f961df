/** Conversations as tasks hand them to a checkpoint's chat template, without knowing the tokenizer that has it. */

/** Structurally a tokenizer's message. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/** How a rendered conversation ends: with a new message of the assistant opened, or with the last one left open. */
export interface ChatOptions {
  readonly addGenerationPrompt?: boolean;
  readonly continueFinalMessage?: boolean;
  /** Further variables of the template, e.g. `enable_thinking`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** Renders a conversation as the model's text; throws AhaError for one that the template refuses. */
export type ChatRenderer = (messages: readonly ChatMessage[], options: ChatOptions) => string;
