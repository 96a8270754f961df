/** A conversation as the prompt of the model's next message, and what that message begins with: reasoning or the answer. */

import type { ChatTemplateOptions, Message, Tokenizer } from "../tokenizer/tokenizer.ts";
import { type Channel, endsInsideReasoning } from "./reasoning.ts";

export interface ConversationPrompt {
  readonly text: string;
  /** Where the completion begins. */
  readonly channel: Channel;
}

/**
 * Renders a conversation of at least one message with the checkpoint's chat template; with `continueFinalMessage` the
 * completion goes on with the last message. Throws DataError for a conversation that the template refuses.
 */
export function renderConversation(
  tokenizer: Pick<Tokenizer, "applyChatTemplate">,
  messages: readonly Message[],
  options: ChatTemplateOptions,
): ConversationPrompt {
  const text = tokenizer.applyChatTemplate(messages, options);
  const { content } = messages.at(-1)!;
  const goesOn = options.continueFinalMessage && typeof content === "string";
  const opened = goesOn ? content : openedBy(tokenizer, messages, text, options);
  return { text, channel: channelAfter(opened) };
}

/** Where text goes on that begins like this. */
export function channelAfter(text: string): Channel {
  return endsInsideReasoning(text) ? "reasoning" : "content";
}

/**
 * What the template puts behind the conversation for the assistant to go on from. A user may write about tags, so only
 * this part tells whether the model is inside of them.
 */
function openedBy(
  tokenizer: Pick<Tokenizer, "applyChatTemplate">,
  messages: readonly Message[],
  prompt: string,
  options: ChatTemplateOptions,
): string {
  const conversation = tokenizer.applyChatTemplate(messages, { ...options, addGenerationPrompt: false });
  if (prompt.startsWith(conversation)) return prompt.slice(conversation.length);
  // Some templates end a conversation differently when it is continued; then the last line decides.
  return prompt.slice(prompt.trimEnd().lastIndexOf("\n") + 1);
}
