/** Conversations as tasks hand them to a checkpoint's chat template, without knowing the tokenizer that has it. */

/** Structurally a tokenizer's message; further fields are handed to the template as they are. */
export interface ChatMessage {
  readonly role: string;
  /** Absent for a turn that has calls alone; a list of parts for templates that read one. */
  readonly content?: string | readonly unknown[] | null;
  readonly reasoning_content?: string | null;
  readonly tool_calls?: readonly unknown[] | null;
}

/** How a rendered conversation ends: with a new message of the assistant opened, or with the last one left open. */
export interface ChatOptions {
  readonly addGenerationPrompt?: boolean;
  readonly continueFinalMessage?: boolean;
  /** JSON schemas of functions that the model may call. */
  readonly tools?: readonly unknown[];
}

/** Renders a conversation as the model's text; throws AhaError for one that the template refuses. */
export type ChatRenderer = (messages: readonly ChatMessage[], options: ChatOptions) => string;
