/**
 * The messages of a row, as chat templates read them: role, content and whatever else they have (`reasoning_content`,
 * `tool_calls`, `name`, …), which templates show or pass over. Fields whose value is null are left out, as transformers
 * does: columnar files give every message every field.
 */

import { columnError, columnsText, type DataRow, placeOf } from "../../data/row.ts";
import { DataError } from "../../errors.ts";
import { parseExactJson, stringifyExactJson } from "../../exact-json.ts";
import type { Message } from "../../tokenizer/tokenizer.ts";

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

/** The names under which data keep what a model thought; the first that has a value counts, as in transformers. */
const REASONING_FIELDS = ["reasoning_content", "thinking", "reasoning"] as const;

/**
 * The list of messages in a column; `speakers` also takes ShareGPT's `from` and `value`.
 *
 * @throws DataError with place and columns where it is none, or a message has neither content nor calls.
 */
export function readMessages(row: DataRow, column: string, { speakers = false } = {}): Message[] {
  const value = listOf(row.fields[column]);
  if (!Array.isArray(value) || value.length === 0) throw columnError(row, column, "a list of messages");
  return value.map((message: unknown, i) => {
    const read = readMessage(message, speakers);
    if (typeof read === "object") return read;
    throw new DataError(`${placeOf(row)}: message ${i + 1} of the column ${column} ${read}; ${columnsText(row)}.`);
  });
}

/**
 * The functions that a row's conversation may call, from its column `tools`: a list of JSON schemas, or the list as text.
 *
 * @throws DataError for anything else.
 */
export function readTools(row: DataRow): readonly unknown[] | undefined {
  const { tools } = row.fields;
  if (tools === undefined || tools === null || tools === "") return undefined;
  const list = listOf(tools);
  const isList = Array.isArray(list) && list.every((tool) => typeof tool === "object" && tool !== null);
  if (!isList) throw columnError(row, "tools", "a list of JSON schemas of functions");
  return list;
}

/** What a message says: its content, of a list of parts the texts one after another. */
export function textOf({ content }: Message): string {
  if (typeof content === "string") return content;
  return (content ?? []).map((part) => (part as { readonly text: string }).text).join("");
}

/** What the model thought before it wrote the message, where the message keeps that apart. */
export function reasoningOf(message: Message): string | undefined {
  const fields = message as unknown as Readonly<Record<string, unknown>>;
  const reasoning = REASONING_FIELDS.map((name) => fields[name]).find((value) => value !== undefined && value !== null);
  return typeof reasoning === "string" ? reasoning : undefined;
}

/** Whether the message asks for functions to be called. */
export function hasCalls({ tool_calls }: Message): boolean {
  return Array.isArray(tool_calls) && tool_calls.length > 0;
}

/** Whether a text is a list of messages written as JSON. */
export function isJsonList(text: string): boolean {
  return text.startsWith("[{") && Array.isArray(listOf(text));
}

/** The message, or what is wrong with it. */
function readMessage(message: unknown, speakers: boolean): Message | string {
  if (typeof message !== "object" || message === null) return "is not a mapping";
  const fields = Object.fromEntries(
    Object.entries(message).filter(([, value]) => value !== null && value !== undefined),
  );
  const { role, from, value } = fields;
  if (speakers && role === undefined) {
    const known = ROLES.get(from);
    if (known === undefined) return `is from ${stringifyExactJson(from)}, not from ${[...ROLES.keys()].join(", ")}`;
    return typeof value === "string" ? { role: known, content: value } : "has no text under value";
  }
  if (typeof role !== "string" || role === "") return "has no text under role";
  const reasoningFault = REASONING_FIELDS.find(
    (name) => fields[name] !== undefined && typeof fields[name] !== "string",
  );
  if (reasoningFault !== undefined) return `has no text under ${reasoningFault}`;
  return contentFault(fields) ?? (fields as unknown as Message);
}

function contentFault({ content, tool_calls }: Readonly<Record<string, unknown>>): string | undefined {
  if (tool_calls !== undefined && !Array.isArray(tool_calls)) return "has no list under tool_calls";
  if (typeof content === "string") return undefined;
  if (content === undefined && Array.isArray(tool_calls) && tool_calls.length > 0) return undefined;
  if (!Array.isArray(content)) return "has no text under content";
  const other = content.find((part) => typeof part?.text !== "string" || (part.type ?? "text") !== "text");
  if (other === undefined) return undefined;
  return `has a part of type ${stringifyExactJson(other?.type ?? null)} in its content, where only texts can be learned from`;
}

/** The list in a text that is one in JSON; anything else as it is. */
function listOf(value: unknown): unknown {
  if (typeof value !== "string") return value;
  try {
    return parseExactJson(value);
  } catch {
    return value;
  }
}
