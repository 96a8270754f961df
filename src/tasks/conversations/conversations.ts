/**
 * The conversations task: a data set of questions, most of them with a given answer. SFT imitates those answers; GRPO
 * and evaluation take the questions, and rewards see all columns of a row.
 *
 * The prompt is everything before the assistant's last message, through the model's chat template with a new message
 * opened; the demonstration is that last message as the template shows it. Only it carries a loss, unless `learnTurns`
 * says otherwise: every turn of the assistant (`all-turns.ts`), or the whole text (`whole-text.ts`). Earlier messages of
 * the assistant are context: templates of reasoning models (Qwen3, DeepSeek-R1's) leave the thinking out of them, so they
 * are not what the model would have to say.
 *
 * The judge is the accuracy reward's (`math-answers/`): it compares final answers with that of the column `answer`,
 * else with the one that the reference marks, by `<answer>`, `\boxed{}` or `####`. Where neither has one, only the
 * reference's own words count as solved, white space aside; this only tests what the model has memorised. `judged` says
 * for which share of the problems there was a verdict.
 */

import { heldOutRows, type LoadedData, type NumberedRow } from "../../data/loaded-data.ts";
import { columnError, type DataRow, placeOf } from "../../data/row.ts";
import { ConfigError, DataError } from "../../errors.ts";
import { stringifyExactJson } from "../../exact-json.ts";
import { closesThinking, endsInsideThink } from "../../expression/answer.ts";
import { type Extracted, extractAnswer } from "../../math-answers/extract.ts";
import { goldOfColumns } from "../../math-answers/gold.ts";
import { canonicalAnswerOf, judgeMath } from "../../math-answers/judge-answer.ts";
import type { ChatRenderer } from "../chat.ts";
import type { Demonstration, Problem, Task, Verdict } from "../task.ts";
import { demonstrateAllTurns } from "./all-turns.ts";
import type { ConversationsOptions } from "./options.ts";
import { afterPrefill, renderAnswer } from "./render-answer.ts";
import { otherForm, readConversationRow, variablesOf } from "./row-forms.ts";
import { demonstrateWhole } from "./whole-text.ts";

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
  const { prompt, tools, text } = readConversationRow(row, options);
  if (options.answer !== undefined && goldsOf(row.fields, options.answer) === undefined) {
    throw columnError(row, options.answer, "the right answer, a text or a number,");
  }
  if (typeof prompt === "string") return stringifyExactJson(text ?? prompt);
  // Not the ids of messages, and what else tells rows apart that ask the same.
  const asked = prompt.map(({ role, content, tool_calls }) => ({ role, content, tool_calls }));
  return stringifyExactJson(tools === undefined ? asked : [asked, tools]);
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
    prompt: renderPrompt(row, options, rendererOf(row)),
    columns: row.fields,
  });
  /** The renderer with the variables of the options and of the row. */
  const rendererOf = (row: DataRow): ChatRenderer | undefined => {
    const variables = { ...options.templateVariables, ...variablesOf(row) };
    if (renderChat === undefined || Object.keys(variables).length === 0) return renderChat;
    return (messages, chat) => renderChat(messages, { ...chat, variables });
  };
  const demonstrate = (problem: Problem): Demonstration => {
    const row = rowOf(problem);
    const render = rendererOf(row);
    if (options.learnTurns === "whole") {
      return namingRow(row, () => demonstrateWhole(readConversationRow(row, options), render));
    }
    const lastTurn = { completion: renderReference(problem, options, render), weightedSpans: [] };
    if (options.learnTurns === "last") return lastTurn;
    const { prompt, reference, answer, tools } = readConversationRow(row, options);
    if (typeof prompt === "string" || !prompt.some(({ role }) => role === "assistant")) return lastTurn;
    const messages = [...prompt, answer ?? { role: "assistant", content: reference! }];
    return demonstrateAllTurns({ messages, tools, place: problem.place ?? "A row" }, render!);
  };
  return {
    name: "conversations",
    trainCount: data.trainCount,
    trainProblem: (index) => toProblem(data.train(index)),
    heldOut: (count) => heldOutRows(data, count).map(toProblem),
    demonstrate,
    isTurn: (problem) => typeof readConversationRow(rowOf(problem), options).prompt !== "string",
    requireDemonstrations: () => {
      for (let index = 0; index < data.trainCount; index++) demonstrate(toProblem(data.train(index)));
    },
    judge: (problem, completion) => judgeConversation(problem, completion, options),
  };
}

function renderPrompt(row: DataRow, options: ConversationsOptions, renderChat: ChatRenderer | undefined): string {
  const { prompt, tools } = readConversationRow(row, options);
  if (typeof prompt === "string") return prompt + options.prefill;
  const { prefill } = options;
  const messages = prefill === "" ? prompt : [...prompt, { role: "assistant", content: prefill }];
  const end = prefill === "" ? { addGenerationPrompt: true } : { continueFinalMessage: true };
  const text = namingRow(row, () => renderChat!(messages, tools === undefined ? end : { ...end, tools }));
  if (tools === undefined || tools.length === 0 || namingRow(row, () => renderChat!(messages, end)) !== text)
    return text;
  throw new DataError(
    `${placeOf(row)}: the chat template does not show the functions of the column tools, so the model would not know them. ` +
      "Use a chat template that does, or leave the column out (task.data.columns maps columns).",
  );
}

/** The rest of the assistant's last message after what the prompt already holds of it. */
function renderReference(
  problem: Problem,
  options: ConversationsOptions,
  renderChat: ChatRenderer | undefined,
): string {
  const row = rowOf(problem);
  const { prompt, reference, answer, tools } = readConversationRow(row, options);
  const place = problem.place ?? "A row";
  if (reference === undefined) {
    const other = otherForm(row, options);
    throw new DataError(
      `${place}: expected an answer to learn from, the assistant's last message, which there is not. Leave the ` +
        `row out, or train with rewards (GRPO), which need none.${other === undefined ? "" : ` ${other}`}`,
    );
  }
  if (typeof prompt === "string") return afterPrefill(reference, options.prefill, place);
  const said = answer ?? { role: "assistant", content: reference };
  const where = { messages: prompt, answer: said, tools, prompt: problem.prompt, prefill: options.prefill, place };
  return renderAnswer(where, renderChat!);
}

/** Adds the row to what the chat template has to say against it. */
function namingRow<T>(row: DataRow, render: () => T): T {
  try {
    return render();
  } catch (error) {
    if (error instanceof DataError) throw new DataError(`${placeOf(row)}: ${error.message}`);
    throw error;
  }
}

/** The row of a problem again: its place as its file, for `readConversationRow`, which found no fault in it before. */
function rowOf({ columns, place }: Problem): DataRow {
  return { fields: columns, file: place ?? "", line: 0 };
}

/** Solved, and why that is all that can be said, as the file's header has it. */
function judgeConversation(problem: Problem, completion: string, options: ConversationsOptions): Verdict {
  const answersOutright = !endsInsideThink(problem.prompt) && !closesThinking(completion);
  const { reference } = readConversationRow(rowOf(problem), options);
  const golds = options.answer === undefined ? markedGold(reference ?? "") : goldsOf(problem.columns, options.answer);
  if (golds === undefined) {
    const solved = reference !== undefined && plainWords(reference) === plainWords(options.prefill + completion);
    const isJudged = reference !== undefined;
    const statistics = { judged: Number(isJudged) };
    return {
      solved,
      wellFormed: completion.trim() !== "",
      answersOutright,
      statistics,
      ...(!isJudged && { isUnjudged: true }),
    };
  }
  const verdict = judgeMath(problem.prompt, completion, golds);
  return {
    solved: verdict.verdict === "right",
    wellFormed: isMarked(extractAnswer(problem.prompt, completion)),
    answersOutright,
    answer: canonicalAnswerOf(problem.prompt, completion),
    statistics: { judged: Number(verdict.verdict !== "abstain") },
    ...(verdict.verdict === "abstain" && { isUnjudged: true }),
  };
}

/** The answers in a column, any of which is right; undefined where there is none. */
function goldsOf(columns: DataRow["fields"], column: string): readonly string[] | undefined {
  const found = goldOfColumns(columns, column);
  return "fault" in found ? undefined : found.answers;
}

/** The answer that a reference marks: what it only mentions is not what a question asked for. */
function markedGold(reference: string): readonly string[] | undefined {
  const extracted = extractAnswer("", reference);
  return isMarked(extracted) ? [extracted.text] : undefined;
}

const isMarked = (extracted: Extracted | undefined): extracted is Extracted =>
  extracted !== undefined && ["answer", "boxed", "####"].includes(extracted.from);

function plainWords(text: string): string {
  return text.trim().replace(/\s+/g, " ");
}
