/**
 * A demonstration of every message that the assistant has in a conversation, in one sequence: what stands between them is
 * read and carries no loss. Each of its turns ends with what the chat template puts after a message, the end-of-turn
 * token, which is learned too.
 *
 * Where the template shows an earlier answer otherwise than as it was written (those of reasoning models drop the thinking
 * of past turns) there is no such sequence: the model would learn answers whose thinking it cannot see.
 */

import { DataError } from "../../errors.ts";
import type { Message } from "../../tokenizer/tokenizer.ts";
import type { ChatRenderer } from "../chat.ts";
import type { Demonstration } from "../task.ts";
import { textOf } from "./messages.ts";
import { isPlain, renderAnswer } from "./render-answer.ts";

/** A conversation that ends with the assistant's message, the functions that it may call, and its row for messages. */
interface WholeConversation {
  readonly messages: readonly Message[];
  readonly tools: readonly unknown[] | undefined;
  readonly place: string;
}

/**
 * The demonstration, its prompt being what stands before the first turn.
 *
 * @throws DataError where the template changes an answer.
 */
export function demonstrateAllTurns(
  { messages, tools, place }: WholeConversation,
  render: ChatRenderer,
): Demonstration {
  const options = tools === undefined ? {} : { tools };
  /** The conversation up to the end of message `i`, and where in it that message begins. */
  const turnAt = (i: number): { readonly open: string; readonly start: number } => {
    const answer = messages[i]!;
    const before = messages.slice(0, i);
    if (isPlain(answer)) {
      const open = render([...before, answer], { ...options, continueFinalMessage: true });
      const content = textOf(answer).trimEnd();
      if (!open.endsWith(content)) throw changedTurn(place, i);
      return { open, start: open.length - content.length };
    }
    const prompt = render(before, { ...options, addGenerationPrompt: true });
    const shown = renderAnswer({ messages: before, answer, tools, prompt, prefill: "", place }, render);
    return { open: prompt + shown, start: prompt.length };
  };
  const last = messages.length - 1;
  const whole = turnAt(last).open;
  /** Character spans of the turns in `whole`. */
  const turns = messages.flatMap(({ role }, i) => {
    if (role !== "assistant") return [];
    const { open, start } = turnAt(i);
    const closed = i === last ? open : render(messages.slice(0, i + 1), options).trimEnd();
    if (!whole.startsWith(closed) || !closed.startsWith(open.trimEnd())) throw changedTurn(place, i);
    return [{ start, end: closed.length }];
  });
  const first = turns[0]!.start;
  const silent = turns
    .slice(1)
    .map(({ start }, i) => ({ start: turns[i]!.end - first, end: start - first, weight: 0 }));
  return { prompt: whole.slice(0, first), completion: whole.slice(first), weightedSpans: silent };
}

function changedTurn(place: string, index: number): DataError {
  return new DataError(
    `${place}: the chat template shows message ${index + 1}, an earlier answer, otherwise than it stands there (it may drop ` +
      "the thinking), so it cannot be learned from in this conversation. Set task.learnTurns to last.",
  );
}
