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
 * In every form a column `system` holds the system message where the messages bring none, and a column `tools` the
 * functions that may be called. A file that has only text (CSV) keeps lists as JSON. A conversation may end with the user:
 * it is a prompt without a reference.
 */

import { columnError, columnsText, type DataRow, placeOf } from "../../data/row.ts";
import { DataError } from "../../errors.ts";
import type { Message } from "../../tokenizer/tokenizer.ts";
import { isJsonList, readMessages, readTools, textOf } from "./messages.ts";
import { type ConversationsOptions, ROW_FORMS, type RowForm } from "./options.ts";

/** What a row says: at least one message of the prompt, or its plain text, and the reference where there is one. */
export interface Conversation {
  readonly prompt: readonly Message[] | string;
  /** The reference's text. */
  readonly reference: string | undefined;
  /** The reference as the assistant's message, where that has more than its text: reasoning apart, calls, a name. */
  readonly answer?: Message;
  /** JSON schemas of the functions that may be called. */
  readonly tools?: readonly unknown[];
  /** Of the form text: all of it. */
  readonly text?: string;
}

/**
 * The conversation of a row.
 *
 * @throws DataError with place and columns where the row is not in the form.
 */
export function readConversationRow(row: DataRow, options: ConversationsOptions): Conversation {
  if (options.chat === false) return plainText(row);
  const form = options.form ?? findForm(row, options);
  if (form === "text") return cutText(requireContent(row, "text"));
  try {
    const { prompt } = row.fields;
    const isText = form === "prompt" && typeof prompt === "string" && !isJsonList(prompt);
    if (options.chat === "messages" && isText) return plainText(row);
    const tools = readTools(row);
    return { ...readChat(row, form, options), ...(tools && { tools }) };
  } catch (error) {
    throw namingOtherForm(error, row, options);
  }
}

function readChat(row: DataRow, form: RowForm, options: ConversationsOptions): Conversation {
  if (form !== "prompt") {
    const messages = readMessages(row, form, { speakers: form === "conversations" });
    return cutReference(row, form, withSystem(row, options, messages));
  }
  const { prompt } = row.fields;
  const asked = typeof prompt === "string" && !isJsonList(prompt) ? [userMessage(row)] : readMessages(row, "prompt");
  const messages = withSystem(row, options, asked);
  const completion = completionOf(row);
  if (completion === undefined) return cutReference(row, "prompt", messages);
  if (typeof completion === "string") return { prompt: messages, reference: completion };
  return { prompt: messages, ...referenceOf(completion) };
}

/** A prompt and a completion that are given to the tokenizer as they stand. */
function plainText(row: DataRow): Conversation {
  if (readTools(row)?.length) {
    throw new DataError(
      `${placeOf(row)}: tools are shown by a chat template, and this prompt is taken as it stands (chat); ${columnsText(row)}. ` +
        "Leave the column out, or keep the prompt as messages.",
    );
  }
  const completion = completionOf(row);
  const reference =
    completion === undefined || typeof completion === "string" ? completion : plainAnswer(row, completion);
  return { prompt: requireContent(row, "prompt"), reference };
}

/** A message as the text that follows a plain prompt; what only a template could show is refused. */
function plainAnswer(row: DataRow, message: Message): string {
  const other = Object.keys(message).find((name) => /^(?:tool_calls|reasoning_content|reasoning|thinking)$/.test(name));
  if (other === undefined) return textOf(message);
  throw new DataError(
    `${placeOf(row)}: the completion has ${other}, which a chat template would have to show, and this prompt is taken as ` +
      "it stands (chat). Write it into content, or keep the prompt as messages.",
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

/** The forms that a row is looked through for: a text is one only where texts are learned whole. */
function formsOf({ learnTurns }: ConversationsOptions): readonly RowForm[] {
  return learnTurns === "whole" ? ROW_FORMS : ROW_FORMS.filter((form) => form !== "text");
}

function findForm(row: DataRow, options: ConversationsOptions): RowForm {
  // `prompt` comes late: it often stands beside `messages`, as the first of them. If the user maps it, it is wanted.
  const { data } = options;
  const forms = formsOf(options);
  const form = forms.find((name) => Object.hasOwn(data.columns, name)) ?? forms.find((name) => name in row.fields);
  if (form !== undefined) return form;
  throw new DataError(
    `${placeOf(row)}: expected a conversation in one of the columns ${forms.join(", ")}; ${columnsText(row)}. ` +
      "Say which column it is in data.columns, e.g. data.columns.prompt=problem.",
  );
}

/** The error, with the other form that the row could be read in, where the form was not asked for. */
function namingOtherForm(error: unknown, row: DataRow, options: ConversationsOptions): unknown {
  if (!(error instanceof DataError)) return error;
  const other = otherForm(row, options);
  return other === undefined ? error : new DataError(`${error.message} ${other}`);
}

/** Which other columns a conversation could be read from, where the form was not asked for; undefined where there are none. */
export function otherForm(row: DataRow, options: ConversationsOptions): string | undefined {
  if (options.form !== undefined || options.chat === false) return undefined;
  const { fields } = row;
  const form = findForm(row, options);
  const other = formsOf(options).find((name) => name !== form && fields[name] !== undefined && fields[name] !== null);
  if (other === undefined) return undefined;
  const columns = other === "prompt" && "completion" in fields ? "prompt and completion" : other;
  return `The row was read in the form ${form}; it also has ${columns}: set task.form to ${other} to read that.`;
}

function withSystem(row: DataRow, options: ConversationsOptions, messages: Message[]): Message[] {
  if (messages[0]?.role === "system") return messages;
  const { system } = row.fields;
  const content = typeof system === "string" && system !== "" ? system : options.system;
  return content === undefined ? messages : [{ role: "system", content }, ...messages];
}

/** The assistant's last message apart from what stands before it. */
function cutReference(row: DataRow, column: string, messages: readonly Message[]): Conversation {
  const last = messages.at(-1)!;
  const prompt = last.role === "assistant" ? messages.slice(0, -1) : messages;
  if (!prompt.some(({ role }) => role !== "system")) {
    throw new DataError(`${placeOf(row)}: the conversation in the column ${column} asks nothing; ${columnsText(row)}.`);
  }
  return last.role === "assistant" ? { prompt, ...referenceOf(last) } : { prompt, reference: undefined };
}

function referenceOf(message: Message): Pick<Conversation, "reference" | "answer"> {
  const isText = typeof message.content === "string" && Object.keys(message).length === 2;
  return { reference: textOf(message), ...(!isText && { answer: message }) };
}

/** The column completion as a text or a message; undefined where there is none. */
function completionOf(row: DataRow): Message | string | undefined {
  const { completion } = row.fields;
  if (completion === undefined || completion === null) return undefined;
  if (typeof completion === "string" && !isJsonList(completion)) return completion;
  const messages = readMessages(row, "completion");
  const only = messages.length === 1 ? messages[0]! : undefined;
  if (only?.role === "assistant") return only;
  throw columnError(row, "completion", "one message of the assistant");
}

/** Variables that a row gives its template, as SmolTalk's rows do: the column chat_template_kwargs, a mapping. */
export function variablesOf(row: DataRow): Readonly<Record<string, unknown>> {
  const { chat_template_kwargs: given } = row.fields;
  const value = typeof given === "string" && given.startsWith("{") ? parsedJson(given) : given;
  if (value === undefined || value === null || value === "") return {};
  if (typeof value === "object" && !Array.isArray(value)) return { ...value };
  throw columnError(row, "chat_template_kwargs", "a mapping of a template's variables");
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

function userMessage(row: DataRow): Message {
  return { role: "user", content: requireContent(row, "prompt") };
}

function requireContent(row: DataRow, column: string): string {
  const value = row.fields[column];
  if (typeof value === "string" && value !== "") return value;
  throw columnError(row, column, "a text that is not empty");
}
