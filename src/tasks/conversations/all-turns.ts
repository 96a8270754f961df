/**
 * A demonstration of every message that the assistant has in a conversation, in one sequence: what stands between them is
 * read and carries no loss. Each of its turns ends with what the chat template puts after a message, the end-of-turn
 * token, which is learned too.
 *
 * Where the template shows an earlier answer otherwise than as it was written (those of reasoning models drop the thinking
 * of past turns) there is no such sequence: the model would learn answers whose thinking it cannot see.
 */

import { DataError } from "../../errors.ts";
import type { ChatMessage, ChatRenderer } from "../chat.ts";
import type { Demonstration } from "../task.ts";

/**
 * The demonstration, its prompt being what stands before the first turn. `messages` end with the assistant's.
 *
 * @throws DataError where the template changes an answer; `where` names the row.
 */
export function demonstrateAllTurns(
  messages: readonly ChatMessage[],
  render: ChatRenderer,
  where: string,
): Demonstration {
  const whole = render(messages, { continueFinalMessage: true });
  /** Character spans of the turns in `whole`. */
  const turns = messages.flatMap(({ role, content }, i) => {
    if (role !== "assistant") return [];
    const open = render(messages.slice(0, i + 1), { continueFinalMessage: true });
    const isLast = i === messages.length - 1;
    const closed = isLast ? open : render(messages.slice(0, i + 1), {}).trimEnd();
    if (!whole.startsWith(closed) || !open.endsWith(content.trimEnd())) {
      throw new DataError(
        `${where}: the chat template shows message ${i + 1}, an earlier answer, otherwise than it stands there (it may drop ` +
          "the thinking), so it cannot be learned from in this conversation. Set task.learnTurns to last.",
      );
    }
    return [{ start: open.length - content.trimEnd().length, end: closed.length }];
  });
  const first = turns[0]!.start;
  const silent = turns
    .slice(1)
    .map(({ start }, i) => ({ start: turns[i]!.end - first, end: start - first, weight: 0 }));
  return { prompt: whole.slice(0, first), completion: whole.slice(first), weightedSpans: silent };
}
