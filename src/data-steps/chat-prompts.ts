/**
 * Prompts for a chat endpoint. Tasks make texts with a renderer of conversations, which is usually a tokenizer's
 * template. An endpoint applies its own template and needs the conversation itself. So the renderer here writes a plain
 * transcript, which rewards and people can read, and remembers the conversation behind each.
 *
 * A last message of the assistant's that is to be continued (Countdown's `<think>`) cannot be sent: an endpoint begins its
 * answer itself. It is left out of what is sent and put before the answer in the data. A prompt that is no conversation is
 * sent as one message of the user's.
 */

import type { ChatAnswer, ChatMessage } from "../endpoint/chat.ts";
import { DataError } from "../errors.ts";
import { endsInsideThink } from "../expression/answer.ts";
import type { ChatRenderer } from "../tasks/chat.ts";
import type { Message } from "../tokenizer/tokenizer.ts";

/** What a prompt of a task's was made of. */
interface Conversation {
  readonly messages: readonly ChatMessage[];
  /** What the assistant's answer begins with, though the endpoint was not given it. */
  readonly opening: string;
}

const ROLES: readonly string[] = ["system", "user", "assistant"];

/** The conversations behind prompts; see the file's header. */
export class ChatPrompts {
  readonly #conversations = new Map<string, Conversation>();

  /** For a task. Throws DataError for a message of a role that endpoints do not have. */
  readonly render: ChatRenderer = (given, { continueFinalMessage, tools }) => {
    if (tools?.length) throw new DataError("A row's tools are not sent to an endpoint. Leave the column out.");
    const messages = given.map(sentMessage);
    const last = continueFinalMessage === true ? messages.at(-1) : undefined;
    const conversation =
      last?.role === "assistant"
        ? { messages: messages.slice(0, -1), opening: last.content }
        : { messages, opening: "" };
    const [only, ...others] = conversation.messages;
    const asked =
      only?.role === "user" && others.length === 0
        ? only.content
        : conversation.messages.map(({ role, content }) => `${role}: ${content}`).join("\n\n");
    const text = conversation.opening === "" ? asked : `${asked}\n\nassistant: ${conversation.opening}`;
    this.#conversations.set(text, conversation);
    return text;
  };

  /** What is sent for a prompt. */
  messagesOf(prompt: string): readonly ChatMessage[] {
    return this.#conversations.get(prompt)?.messages ?? [{ role: "user", content: prompt }];
  }

  /** How a data set's row has a prompt that was a conversation; undefined for plain text. */
  conversationOf(prompt: string): Conversation | undefined {
    return this.#conversations.get(prompt);
  }
}

/**
 * An answer as the completion of its prompt: the thinking that the server set apart stands between its tags again, and a
 * `<think>` that the prompt ends with is not repeated.
 */
export function completionText(prompt: string, { text, reasoning, finishReason }: ChatAnswer): string {
  const isCut = text === "" && finishReason !== "stop";
  const whole =
    reasoning === undefined || reasoning === ""
      ? text
      : `<think>${reasoning}${isCut ? "" : `</think>\n${text.trimStart()}`}`;
  return endsInsideThink(prompt) ? whole.replace(/^\s*<think>/, "") : whole;
}

function sentMessage({ role, content, tool_calls }: Message): ChatMessage {
  if (tool_calls?.length || typeof content !== "string") {
    throw new DataError(
      `A message of role ${JSON.stringify(role)} has ${tool_calls?.length ? "tool_calls" : "content that is no text"}, which ` +
        "is not sent to an endpoint. Leave such rows out (task.data.select).",
    );
  }
  if (ROLES.includes(role)) return { role: role as ChatMessage["role"], content };
  throw new DataError(
    `A message of role ${JSON.stringify(role)} cannot be sent to an endpoint; it takes ${ROLES.join(", ")}.`,
  );
}
