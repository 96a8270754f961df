/**
 * The assistant's message as the chat template shows it behind its prompt: what SFT learns. The token that ends the turn is
 * not part of it; the trainer adds the template's own (`Tokenizer.turnEndTokens`).
 *
 * Templates of reasoning models may drop the thinking of a message that they show (DeepSeek-R1's do). Thinking that stands
 * in the content is learned as it stands there then. What stands apart, `reasoning_content` and `tool_calls`, only a
 * template can show: where it does not, the row is refused, since the target would lack what the row is for.
 */

import { DataError } from "../../errors.ts";
import { endsInsideThink } from "../../expression/answer.ts";
import type { Message } from "../../tokenizer/tokenizer.ts";
import type { ChatRenderer } from "../chat.ts";
import { hasCalls, reasoningOf, textOf } from "./messages.ts";

/** An answer and where it stands. */
export interface AnswerPlace {
  /** The messages before it. */
  readonly messages: readonly Message[];
  readonly answer: Message;
  readonly tools: readonly unknown[] | undefined;
  /** The text of the prompt, which may end with the beginning of the answer. */
  readonly prompt: string;
  /** What of the answer the prompt has already. */
  readonly prefill: string;
  /** The row, for messages. */
  readonly place: string;
}

/**
 * What follows the prompt.
 *
 * @throws DataError where the template drops a part of the answer that cannot stand for itself.
 */
export function renderAnswer(where: AnswerPlace, render: ChatRenderer): string {
  const { answer, prompt, place } = where;
  const open = hasCalls(answer) ? undefined : openTurn(where, render);
  if (isPlain(answer)) {
    const shown = open === undefined ? undefined : afterPrompt(open, prompt);
    if (shown !== undefined) return shown;
    // Thinking that the template sets apart anew, with line ends of its own.
    const closed = open === undefined ? attempt(() => closedTurn(where, render)) : undefined;
    const anew = closed === undefined ? undefined : afterPrompt(closed, prompt);
    const isWhole = anew !== undefined && squash(anew) === squash(textOf(answer));
    return isWhole ? anew : standingForItself(where, open, render);
  }
  const shown = afterPrompt(open ?? closedTurn(where, render), prompt);
  if (shown === undefined) {
    throw new DataError(
      `${place}: the chat template shows the answer otherwise than it opens it (the prompt ends with ` +
        `${JSON.stringify(prompt.slice(-40))}), so what the answer keeps apart (reasoning_content, tool_calls) cannot be ` +
        "learned. Use another chat template, or write the whole answer into content.",
    );
  }
  requireShown(where, shown, render);
  return shown;
}

/**
 * What follows the prompt in a conversation that begins with it, but for white space at the prompt's end: some templates
 * open the thinking with more of it than they show. Undefined where the conversation begins otherwise.
 */
function afterPrompt(whole: string, prompt: string): string | undefined {
  if (whole.startsWith(prompt)) return whole.slice(prompt.length);
  const begun = prompt.trimEnd();
  return endsInsideThink(prompt) && whole.startsWith(begun) ? whole.slice(begun.length).trimStart() : undefined;
}

/** Whether a message is its content alone: then it can stand for itself where a template changes it. */
export function isPlain(message: Message): boolean {
  return reasoningOf(message) === undefined && !hasCalls(message);
}

/** The conversation up to the end of the answer's content; undefined where the template drops a part of that. */
function openTurn({ messages, answer, tools }: AnswerPlace, render: ChatRenderer): string | undefined {
  return attempt(() => render([...messages, answer], { ...withTools(tools), continueFinalMessage: true }));
}

/** The conversation with the answer closed, without what the template puts behind every message of the assistant's. */
function closedTurn({ messages, answer, tools, place }: AnswerPlace, render: ChatRenderer): string {
  const options = withTools(tools);
  const whole = render([...messages, answer], options);
  const end = turnEnd(messages, options, render);
  if (whole.endsWith(end)) return whole.slice(0, whole.length - end.length).trimEnd();
  throw new DataError(
    `${place}: the chat template ends this answer otherwise than others (${JSON.stringify(whole.slice(-40))}, where others ` +
      `end with ${JSON.stringify(end)}), so its end cannot be learned. Leave the row out, or use another chat template.`,
  );
}

/** What the template puts behind a message of the assistant's, found with one that has a plain text. */
function turnEnd(messages: readonly Message[], options: Parameters<ChatRenderer>[1], render: ChatRenderer): string {
  const probe = [...messages, { role: "assistant", content: "." }];
  const open = attempt(() => render(probe, { ...options, continueFinalMessage: true }));
  const closed = attempt(() => render(probe, options));
  return open !== undefined && closed?.startsWith(open) ? closed.slice(open.length) : "";
}

/** Refuses an answer whose text, reasoning or calls the template does not show. */
function requireShown({ messages, answer, tools, place }: AnswerPlace, shown: string, render: ChatRenderer): void {
  const reasoning = reasoningOf(answer);
  const refuse = (part: string, advice: string): never => {
    throw new DataError(
      `${place}: the chat template does not show the answer's ${part}, so it cannot be learned. ${advice}`,
    );
  };
  const template = "Use a chat template that does";
  if (!shows(shown, textOf(answer))) refuse("content", `${template}.`);
  if (reasoning !== undefined && !shows(shown, reasoning)) {
    refuse("reasoning_content", `${template}, or write it into content between <think> and </think>.`);
  }
  if (!hasCalls(answer)) return;
  const { tool_calls: _, ...silent } = { content: "", ...answer };
  const options = withTools(tools);
  const calling = render([...messages, answer], options);
  if (attempt(() => render([...messages, silent], options)) === calling)
    refuse("tool_calls", `${template}, or leave the row out.`);
}

/** The answer's own text, where the template shows it otherwise. */
function standingForItself(where: AnswerPlace, open: string | undefined, render: ChatRenderer): string {
  const { answer, prompt, place, prefill } = where;
  const reference = textOf(answer);
  const rest = afterPrefill(reference, prefill, place);
  const shownReference = JSON.stringify(reference.slice(0, 60));
  if (prefill !== "") return rest;
  if (prompt.trimEnd().endsWith("</think>") && /<\/?think>/.test(reference)) {
    throw new DataError(
      `${place}: the chat template closes the thinking before the answer (the prompt ends with </think>), but the row's ` +
        `answer has thinking: ${shownReference}. Use a chat template that opens <think> or leaves it to the model, or data ` +
        "without thinking.",
    );
  }
  if (!endsInsideThink(prompt)) return rest;
  const opened = /^\s*<think>\n?/.exec(rest);
  if (opened) return rest.slice(opened[0].length);
  // Data of models whose template opens the thinking begin inside it.
  if (rest.includes("</think>")) return rest;
  const shown = open ?? attempt(() => closedTurn(where, render));
  const seen = shown === undefined ? undefined : afterCommonStart(shown, prompt);
  const asTemplate = seen?.includes("</think>")
    ? ` The template itself shows such an answer as ${JSON.stringify(seen.slice(0, 60))}: it closes a thinking that it did not open.`
    : "";
  throw new DataError(
    `${place}: the chat template opens <think> for the answer, but the row's answer does not begin with it: ` +
      `${shownReference}.${asTemplate} Use data with thinking (in content, or apart as reasoning_content), or another chat ` +
      "template, one that leaves <think> to the model.",
  );
}

/** The text after what the prompt has of it. Throws DataError where it does not begin so. */
export function afterPrefill(reference: string, prefill: string, place: string): string {
  if (reference.startsWith(prefill)) return reference.slice(prefill.length);
  throw new DataError(
    `${place}: task.prefill is ${JSON.stringify(prefill)}, so expected an answer that begins with it, got ` +
      `${JSON.stringify(reference.slice(0, 60))}. Leave prefill out, or use data that has it.`,
  );
}

function withTools(tools: readonly unknown[] | undefined): { readonly tools?: readonly unknown[] } {
  return tools === undefined ? {} : { tools };
}

/** The part of a text from where it parts from another. */
function afterCommonStart(text: string, other: string): string {
  let at = 0;
  while (at < text.length && text[at] === other[at]) at++;
  // A tag is shown whole.
  return text.slice(text.lastIndexOf("<", at) < 0 ? at : Math.max(0, text.lastIndexOf("<", at)));
}

/** Whether a text has all of a part, white space aside. */
function shows(text: string, part: string): boolean {
  return squash(text).includes(squash(part));
}

function squash(text: string): string {
  return text.replace(/\s+/g, "");
}

/** What `make` gives; undefined where the template refuses it. */
function attempt(make: () => string): string | undefined {
  try {
    return make();
  } catch (error) {
    if (error instanceof DataError) return undefined;
    throw error;
  }
}
