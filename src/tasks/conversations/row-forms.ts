/**
 * The forms in which data sets keep conversations, read into one: the messages before the assistant's last, and that
 * last message, which is what SFT imitates.
 *
 *     messages       [{"role": "user", "content": "…"}, …]       NuminaMath-TIR and most of the Hub
 *     conversations  [{"from": "human", "value": "…"}, …]        ShareGPT, Bespoke-Stratos-17k
 *     prompt         prompt and completion, each a text or a list of messages; completion may be absent   TRL
 *     text           a text that is learned whole; its beginning stands for a prompt in evaluations       TRL
 *
 * A text under `prompt` is the user's message, or, by the option `chat`, what is given to the tokenizer as it stands.
 * In every form a column `system` holds the system message where the messages bring none. A file that has only text
 * (CSV) keeps lists as JSON. A conversation may end with the user: it is a prompt without a reference.
 */

import { columnError, columnsOf, type DataRow, placeOf } from "../../data/row.ts";
import { DataError } from "../../errors.ts";
import type { ChatMessage } from "../chat.ts";
import { type ConversationsOptions, ROW_FORMS, type RowForm } from "./options.ts";

/** What a row says: at least one message of the prompt, or its plain text, and the reference where there is one. */
export interface Conversation {
  readonly prompt: readonly ChatMessage[] | string;
  readonly reference: string | undefined;
  /** Of the form text: all of it. */
  readonly text?: string;
}

/** ShareGPT's names of speakers. */
const ROLES: ReadonlyMap<unknown, string> = new Map([
  ["human", "user"],
  ["user", "user"],
  ["gpt", "assistant"],
  ["assistant", "assistant"],
  ["chatgpt", "assistant"],
  ["model", "assistant"],
  ["system", "system"],
]);

/**
 * The conversation of a row.
 *
 * @throws DataError with place and columns where the row is not in the form.
 */
export function readConversation(row: DataRow, options: ConversationsOptions): Conversation {
  if (options.chat === false) return { prompt: requireContent(row, "prompt"), reference: completionOf(row) };
  const form = options.form ?? findForm(row, options);
  if (form === "text") return cutText(requireContent(row, "text"));
  if (form !== "prompt") return cutReference(row, form, withSystem(row, options, readMessages(row, form, form)));
  const { prompt } = row.fields;
  if (options.chat === "messages" && typeof prompt === "string" && !isJsonList(prompt)) {
    return { prompt: requireContent(row, "prompt"), reference: completionOf(row) };
  }
  const asked = typeof prompt === "string" && !isJsonList(prompt) ? [userMessage(row)] : readMessages(row, "prompt");
  const messages = withSystem(row, options, asked);
  const completion = completionOf(row);
  if (completion === undefined) return cutReference(row, "prompt", messages);
  return { prompt: messages, reference: completion };
}

function findForm(row: DataRow, { data, learnTurns }: ConversationsOptions): RowForm {
  // `prompt` comes late: it often stands beside `messages`, as the first of them. Who maps it wants it.
  const forms = learnTurns === "whole" ? ROW_FORMS : ROW_FORMS.filter((form) => form !== "text");
  const form = forms.find((name) => Object.hasOwn(data.columns, name)) ?? forms.find((name) => name in row.fields);
  if (form !== undefined) return form;
  throw new DataError(
    `${placeOf(row)}: expected a conversation in one of the columns ${forms.join(", ")}; ${columnsOf(row)}. ` +
      "Say which column it is in data.columns, e.g. data.columns.prompt=problem.",
  );
}

/** The most characters of a text's beginning. */
const LONGEST_BEGINNING = 64;

/** A text cut into its beginning, which ends with a word where there is room for one, and the rest. */
function cutText(text: string): Conversation {
  const size = Math.min(LONGEST_BEGINNING, Math.ceil(text.length / 2));
  const words = /^[\s\S]*\S(?=\s)/.exec(text.slice(0, size + 1))?.[0];
  // No character is cut into its two surrogates.
  const isCut = (text.charCodeAt(size - 1) & 0xfc00) === 0xd800;
  const prompt = words ?? text.slice(0, isCut ? size + 1 : size);
  return { prompt, reference: text.slice(prompt.length), text };
}

function readMessages(row: DataRow, column: string, form?: RowForm): ChatMessage[] {
  const value = listOf(row.fields[column]);
  if (!Array.isArray(value) || value.length === 0) throw columnError(row, column, "a list of messages");
  return value.map((message: unknown, i) => {
    const read = readMessage(message, form);
    if (typeof read === "object") return read;
    throw new DataError(`${placeOf(row)}: message ${i + 1} of the column ${column} ${read}; ${columnsOf(row)}.`);
  });
}

/** The message, or what is wrong with it. */
function readMessage(message: unknown, form: RowForm | undefined): ChatMessage | string {
  if (typeof message !== "object" || message === null) return "is not a mapping";
  const { role, content, from, value } = message as Record<string, unknown>;
  if (form === "conversations" && role === undefined) {
    const known = ROLES.get(from);
    if (known === undefined) return `is from ${JSON.stringify(from)}, not from ${[...ROLES.keys()].join(", ")}`;
    return typeof value === "string" ? { role: known, content: value } : "has no text under value";
  }
  if (typeof role !== "string" || role === "") return "has no text under role";
  return typeof content === "string" ? { role, content } : "has no text under content";
}

function withSystem(row: DataRow, options: ConversationsOptions, messages: ChatMessage[]): ChatMessage[] {
  if (messages[0]?.role === "system") return messages;
  const { system } = row.fields;
  const content = typeof system === "string" && system !== "" ? system : options.system;
  return content === undefined ? messages : [{ role: "system", content }, ...messages];
}

/** The assistant's last message apart from what stands before it. */
function cutReference(row: DataRow, column: string, messages: readonly ChatMessage[]): Conversation {
  const last = messages.at(-1)!;
  const prompt = last.role === "assistant" ? messages.slice(0, -1) : messages;
  if (!prompt.some(({ role }) => role !== "system")) {
    throw new DataError(`${placeOf(row)}: the conversation in the column ${column} asks nothing; ${columnsOf(row)}.`);
  }
  return { prompt, reference: last.role === "assistant" ? last.content : undefined };
}

/** The column completion as one text; undefined where there is none. */
function completionOf(row: DataRow): string | undefined {
  const { completion } = row.fields;
  if (completion === undefined || completion === null) return undefined;
  if (typeof completion === "string" && !isJsonList(completion)) return completion;
  const messages = readMessages(row, "completion");
  const only = messages.length === 1 ? messages[0]! : undefined;
  if (only?.role === "assistant") return only.content;
  throw columnError(row, "completion", "one message of the assistant");
}

/** Variables that a row gives its template, as SmolTalk's rows do: the column chat_template_kwargs, a mapping. */
export function variablesOf(row: DataRow): Readonly<Record<string, unknown>> {
  const { chat_template_kwargs: given } = row.fields;
  const value = typeof given === "string" && given.startsWith("{") ? listOf(given) : given;
  if (value === undefined || value === null || value === "") return {};
  if (typeof value === "object" && !Array.isArray(value)) return { ...value };
  throw columnError(row, "chat_template_kwargs", "a mapping of a template's variables");
}

function userMessage(row: DataRow): ChatMessage {
  return { role: "user", content: requireContent(row, "prompt") };
}

function requireContent(row: DataRow, column: string): string {
  const value = row.fields[column];
  if (typeof value === "string" && value !== "") return value;
  throw columnError(row, column, "a text that is not empty");
}

/** The list in a text that is one in JSON; anything else as it is. */
function listOf(value: unknown): unknown {
  if (typeof value !== "string") return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

/** Whether a text is a list of messages written as JSON. */
function isJsonList(text: string): boolean {
  return text.startsWith("[{") && Array.isArray(listOf(text));
}
