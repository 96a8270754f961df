/**
 * The preferences task: a data set of prompts with two answers each, of which people (or a judge) preferred one. A reward
 * model learns from the pairs; SFT imitates the chosen answers; GRPO takes the prompts, for a reward model to judge.
 *
 * A row has `prompt`, `chosen` and `rejected`, each a text or a list of messages, of which the last is the answer. Without
 * `prompt` it is the messages before the answer, the same in both (TRL calls that an implicit prompt). Everything else is
 * the conversations task's: the chat template, the data's columns and split.
 *
 * Two equal answers contain no preference. The task keeps such a pair as a row; the trainer skips and counts it.
 */

import { z } from "zod";
import type { LoadedData, NumberedRow } from "../../data/loaded-data.ts";
import { dataOptionsSchema } from "../../data/options.ts";
import { columnError, type DataRow, placeOf } from "../../data/row.ts";
import { DataError } from "../../errors.ts";
import { parseExactJson, stringifyExactJson } from "../../exact-json.ts";
import {
  type ConversationsDeps,
  createConversationsTask,
  identifyConversation,
} from "../conversations/conversations.ts";
import { type ConversationsOptions, conversationsOptionsSchema } from "../conversations/options.ts";
import type { Problem, Task } from "../task.ts";

/** The options of `task: { name: preferences, … }`, with their defaults; an impossible combination is refused. */
export const preferencesOptionsSchema = z
  .strictObject({
    data: dataOptionsSchema.describe("where the pairs are"),
    chat: z
      .boolean()
      .default(true)
      .describe("prompts through the model's chat template; false: prompt and answers as they stand"),
    system: z.string().min(1).optional().describe("the system message of conversations that bring none of their own"),
    answers: z
      .strictObject({
        columns: z.tuple([z.string().min(1), z.string().min(1)]).describe("the columns of the two answers"),
        better: z.string().min(1).describe("the column with the number of the better one, 0 or 1"),
      })
      .optional()
      .describe("for rows with two answers and the number of the better one, as PKU-SafeRLHF has them"),
  })
  .superRefine(({ chat, system }, context) => {
    if (chat || system === undefined) return;
    const message = "is a message and has no effect with chat: false; leave it out";
    context.addIssue({ code: "custom", path: ["system"], message });
  });

export type PreferencesOptions = z.output<typeof preferencesOptionsSchema>;

/**
 * What makes two rows the same problem, for `loadData`: their prompt.
 *
 * @throws DataError for a row that is no pair of answers to one prompt.
 */
export function identifyPreference(row: DataRow, options: PreferencesOptions): string {
  return identifyConversation(asConversation(row, options), conversationsOptions(options));
}

/** The task for these options; errors as those of the conversations task. */
export function createPreferencesTask(options: PreferencesOptions, { data, ...deps }: ConversationsDeps): Task {
  const base = createConversationsTask(conversationsOptions(options), {
    ...deps,
    data: asConversations(data, options),
  });
  const answer = (problem: Problem, column: "chosen" | "rejected"): string => {
    const columns = { ...problem.columns, completion: problem.columns[column] };
    return base.demonstrate!({ ...problem, columns }, 0).completion;
  };
  return {
    ...base,
    name: "preferences",
    preference: (problem) => ({ chosen: answer(problem, "chosen"), rejected: answer(problem, "rejected") }),
  };
}

/** The same rows in the form prompt and completion, the chosen answer being the completion. */
function asConversations(data: LoadedData, options: PreferencesOptions): LoadedData {
  const read = ({ id, row }: NumberedRow): NumberedRow => ({ id, row: asConversation(row, options) });
  return { ...data, train: (index) => read(data.train(index)), heldOut: (index) => read(data.heldOut(index)) };
}

function conversationsOptions({ data, chat, system }: PreferencesOptions): ConversationsOptions {
  return conversationsOptionsSchema.parse({ data, chat, form: "prompt", ...(system !== undefined && { system }) });
}

function asConversation(given: DataRow, { answers }: PreferencesOptions): DataRow {
  const row = answers === undefined ? given : withChosen(given, answers);
  const [chosen, rejected] = [readAnswer(row, "chosen"), readAnswer(row, "rejected")];
  let { prompt } = row.fields;
  if (prompt === undefined || prompt === null) {
    prompt = chosen.before;
    if (chosen.before.length === 0) throw columnError(row, "prompt", "a text or a list of messages");
    if (stringifyExactJson(chosen.before) !== stringifyExactJson(rejected.before)) {
      throw new DataError(
        `${placeOf(row)}: expected chosen and rejected to answer the same messages, but they differ before the answer. ` +
          "Give the prompt in a column prompt, or leave the row out.",
      );
    }
  }
  const fields = { ...row.fields, prompt, chosen: chosen.text, rejected: rejected.text, completion: chosen.text };
  return { ...row, fields };
}

/** The row with the answer of the given number as `chosen` and the other one as `rejected`. */
function withChosen(row: DataRow, { columns, better }: NonNullable<PreferencesOptions["answers"]>): DataRow {
  for (const column of columns) {
    if (row.fields[column] === undefined || row.fields[column] === null) throw columnError(row, column, "an answer");
  }
  const number = row.fields[better];
  if (number !== 0 && number !== 1) throw columnError(row, better, "the number of the better answer, 0 or 1,");
  const [chosen, rejected] = [row.fields[columns[number]], row.fields[columns[1 - number]!]];
  return { ...row, fields: { ...row.fields, chosen, rejected } };
}

/** An answer and the messages that stand before it in its column. */
function readAnswer(row: DataRow, column: string): { readonly text: string; readonly before: readonly unknown[] } {
  const value = listOf(row.fields[column]);
  if (typeof value === "string") return { text: value, before: [] };
  const last: unknown = Array.isArray(value) ? value.at(-1) : undefined;
  if (typeof last === "object" && last !== null && "content" in last && "role" in last) {
    const { role, content } = last;
    if (role === "assistant" && typeof content === "string") {
      return { text: content, before: (value as unknown[]).slice(0, -1) };
    }
  }
  throw columnError(row, column, "a text, or a list of messages that ends with the assistant's,");
}

/** The list in a text that is one in JSON, as in files that have only text; anything else as it is. */
function listOf(value: unknown): unknown {
  if (typeof value !== "string" || !value.startsWith("[{")) return value;
  try {
    return parseExactJson(value);
  } catch {
    return value;
  }
}
