/**
 * The conversations task: a data set of questions, most of them with an answer that somebody gave. SFT imitates those
 * answers; GRPO and evaluation take the questions, and rewards see all columns of a row.
 *
 * The prompt is everything before the assistant's last message, through the model's chat template with a new message
 * opened; the demonstration is that last message as the template shows it. Only it carries a loss, unless `learnTurns`
 * says otherwise. Earlier messages of the assistant are context: templates of reasoning models (Qwen3, DeepSeek-R1's) leave
 * the thinking out of them, so they are not what the model would have to say.
 *
 * The judge compares final answers (`final-answer.ts`) with that of the column `answer`, else of the reference. Where
 * neither has one, only the reference's own words count as solved, white space aside; that is a test of memory and of
 * nothing else. `judged` says for which share of the problems there was anything to compare with.
 */

import { heldOutRows, type LoadedData, type NumberedRow } from "../../data/loaded-data.ts";
import { columnError, type DataRow, placeOf } from "../../data/row.ts";
import { ConfigError, DataError } from "../../errors.ts";
import { endsInsideThink } from "../../expression/answer.ts";
import type { ChatMessage, ChatRenderer } from "../chat.ts";
import type { Demonstration, Problem, Task, Verdict } from "../task.ts";
import { demonstrateAllTurns } from "./all-turns.ts";
import { canonicalAnswer, findFinalAnswer } from "./final-answer.ts";
import type { ConversationsOptions } from "./options.ts";
import { readConversation } from "./row-forms.ts";

export interface ConversationsDeps {
  /** The rows of `options.data`. */
  readonly data: LoadedData;
  /** Needed unless `options.chat` is false. */
  readonly renderChat?: ChatRenderer;
}

/**
 * What makes two rows the same problem, for `loadData`: their prompt.
 *
 * @throws DataError for a row without a conversation, or without the column of the right answer.
 */
export function identifyConversation(row: DataRow, options: ConversationsOptions): string {
  const { prompt } = readConversation(row, options);
  if (options.answer !== undefined && goldOf(row.fields, options.answer) === undefined) {
    throw columnError(row, options.answer, "the right answer, a text or a number,");
  }
  return JSON.stringify(prompt);
}

/**
 * The task for these options.
 *
 * @throws ConfigError where prompts are conversations and there is no renderer; DataError where the chat template refuses
 * a conversation, when it is asked for.
 */
export function createConversationsTask(options: ConversationsOptions, { data, renderChat }: ConversationsDeps): Task {
  if (options.chat !== false && renderChat === undefined) {
    throw new ConfigError("task conversations: a tokenizer with a chat template is needed, or chat: false.");
  }
  const toProblem = ({ id, row }: NumberedRow): Problem => ({
    id,
    place: placeOf(row),
    prompt: renderPrompt(row, options, renderChat),
    columns: row.fields,
  });
  const demonstrate = (problem: Problem): Demonstration => {
    const lastTurn = { completion: renderReference(problem, options, renderChat), weightedSpans: [] };
    if (options.learnTurns === "last") return lastTurn;
    const { prompt, reference } = readConversation(rowOf(problem), options);
    if (typeof prompt === "string" || !prompt.some(({ role }) => role === "assistant")) return lastTurn;
    const messages = [...prompt, { role: "assistant", content: reference! }];
    return demonstrateAllTurns(messages, renderChat!, problem.place ?? "A row");
  };
  return {
    name: "conversations",
    trainCount: data.trainCount,
    trainProblem: (index) => toProblem(data.train(index)),
    heldOut: (count) => heldOutRows(data, count).map(toProblem),
    demonstrate,
    requireDemonstrations: () => {
      for (let index = 0; index < data.trainCount; index++) demonstrate(toProblem(data.train(index)));
    },
    judge: (problem, completion) => judgeConversation(problem, completion, options),
  };
}

function renderPrompt(row: DataRow, options: ConversationsOptions, renderChat: ChatRenderer | undefined): string {
  const { prompt } = readConversation(row, options);
  if (typeof prompt === "string") return prompt + options.prefill;
  const render = (messages: readonly ChatMessage[], chat: Parameters<ChatRenderer>[1]) =>
    namingRow(row, () => renderChat!(messages, chat));
  if (options.prefill === "") return render(prompt, { addGenerationPrompt: true });
  return render([...prompt, { role: "assistant", content: options.prefill }], { continueFinalMessage: true });
}

/** The rest of the assistant's last message after what the prompt already holds of it. */
function renderReference(
  problem: Problem,
  options: ConversationsOptions,
  renderChat: ChatRenderer | undefined,
): string {
  const row = rowOf(problem);
  const { prompt, reference } = readConversation(row, options);
  if (reference === undefined) {
    throw new DataError(
      `${problem.place}: expected an answer to learn from, the assistant's last message, which there is not. Leave the ` +
        "row out, or train with rewards (GRPO), which need none.",
    );
  }
  if (typeof prompt === "string") return afterPrefill(reference, options, problem);
  const whole = renderWhole(prompt, reference, renderChat!);
  if (whole?.startsWith(problem.prompt)) return whole.slice(problem.prompt.length);
  // Templates of reasoning models may drop the thinking of an answer that they show: then the answer stands for itself.
  const rest = afterPrefill(reference, options, problem);
  if (options.prefill !== "" || !endsInsideThink(problem.prompt)) return rest;
  const opened = /^\s*<think>\n?/.exec(rest);
  if (opened) return rest.slice(opened[0].length);
  throw new DataError(
    `${problem.place}: the chat template opens <think> for the answer, but the row's answer does not begin with it: ` +
      `${JSON.stringify(reference.slice(0, 60))}. Use data with thinking, or another chat template.`,
  );
}

/** The conversation with its answer left open; undefined where the template drops the answer or a part of it. */
function renderWhole(prompt: readonly ChatMessage[], reference: string, render: ChatRenderer): string | undefined {
  try {
    return render([...prompt, { role: "assistant", content: reference }], { continueFinalMessage: true });
  } catch (error) {
    if (error instanceof DataError) return undefined;
    throw error;
  }
}

function afterPrefill(reference: string, { prefill }: ConversationsOptions, problem: Problem): string {
  if (reference.startsWith(prefill)) return reference.slice(prefill.length);
  throw new DataError(
    `${problem.place}: task.prefill is ${JSON.stringify(prefill)}, so expected an answer that begins with it, got ` +
      `${JSON.stringify(reference.slice(0, 60))}. Leave prefill out, or use data that has it.`,
  );
}

/** Adds the row to what the chat template has to say against it. */
function namingRow(row: DataRow, render: () => string): string {
  try {
    return render();
  } catch (error) {
    if (error instanceof DataError) throw new DataError(`${placeOf(row)}: ${error.message}`);
    throw error;
  }
}

/** The row of a problem again: its place as its file, for `readConversation`, which found no fault in it before. */
function rowOf({ columns, place }: Problem): DataRow {
  return { fields: columns, file: place ?? "", line: 0 };
}

/** Solved, and why that is all that can be said, as the file's header has it. */
function judgeConversation(problem: Problem, completion: string, options: ConversationsOptions): Verdict {
  const { reference } = readConversation(rowOf(problem), options);
  const gold =
    options.answer === undefined ? findFinalAnswer(reference ?? "") : goldOf(problem.columns, options.answer);
  if (gold === undefined) {
    const solved = reference !== undefined && plainWords(reference) === plainWords(options.prefill + completion);
    const statistics = { judged: Number(reference !== undefined) };
    return { solved, wellFormed: completion.trim() !== "", tries: 0, statistics };
  }
  const answer = findFinalAnswer(completion);
  return {
    solved: answer === gold,
    wellFormed: answer !== undefined,
    tries: 0,
    answer: answer ?? null,
    statistics: { judged: 1 },
  };
}

/** The right answer of a row: what its column ends in, or all of it; undefined where there is none. */
function goldOf(columns: DataRow["fields"], column: string): string | undefined {
  const value = columns[column];
  if (typeof value === "number") return canonicalAnswer(String(value));
  if (typeof value !== "string" || value.trim() === "") return undefined;
  return findFinalAnswer(value) ?? canonicalAnswer(value);
}

function plainWords(text: string): string {
  return text.trim().replace(/\s+/g, " ");
}
