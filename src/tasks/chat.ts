/** How tasks render conversations: by the chat template of the model, which is handed in as a function. */

import type { ChatTemplateOptions, Message } from "../tokenizer/tokenizer.ts";

/** Renders a conversation as the model's text; throws AhaError for one that the template refuses. */
export type ChatRenderer = (
  messages: readonly Message[],
  options: Pick<ChatTemplateOptions, "addGenerationPrompt" | "continueFinalMessage" | "tools" | "variables">,
) => string;
