/**
 * A conversation as one text that is learned from beginning to end, the questions too: what TRL's SFT trainer does with a
 * column `messages` or `text` unless it is told to take the loss from the assistant's messages alone.
 */

import type { ChatRenderer } from "../chat.ts";
import type { Demonstration } from "../task.ts";
import type { Conversation } from "./row-forms.ts";

/** The demonstration; `render` is there where the prompt is a conversation. */
export function demonstrateWhole(conversation: Conversation, render: ChatRenderer | undefined): Demonstration {
  const { prompt, reference, answer, tools, text } = conversation;
  if (typeof prompt === "string") {
    return { prompt: "", completion: text ?? prompt + (reference ?? ""), weightedSpans: [], wholeText: "plain" };
  }
  const said = answer ?? (reference === undefined ? undefined : { role: "assistant", content: reference });
  const completion = render!(said === undefined ? prompt : [...prompt, said], tools === undefined ? {} : { tools });
  return { prompt: "", completion, weightedSpans: [], wholeText: "rendered" };
}
