/**
 * The questions of a recipe whose policy writes its own answers (GRPO, RLOO, distillation), as the `conversations` task:
 *
 *     open-r1's script   [system: system_prompt, if given] [user: the column dataset_prompt_column], always
 *     TRL's own          the column `prompt`: a list of messages through the chat template, a text as it stands
 *
 * Rewards see all columns of a row. What is right is in the column `solution`, which TRL's and open-r1's accuracy rewards read.
 */

import { ConfigError } from "../../../errors.ts";
import type { TrlDraft } from "../conversion.ts";
import { type AbsentData, type Survey, surveyedColumns } from "./survey.ts";
import { type DataExtent, setTaskData } from "./task-data.ts";

/** Keys that only open-r1's script for GRPO has. */
const OPEN_R1_KEYS = [
  "dataset_prompt_column",
  "system_prompt",
  "benchmarks",
  "callbacks",
  "cosine_max_len",
  "hub_model_revision",
  "repetition_n_grams",
];

/** The column of the right answer, in the order in which the scripts would find one. */
const GOLD_COLUMNS = ["solution", "answer"];

export interface QuestionsOptions {
  /** `--prompt`, which is of Countdown. */
  readonly askedPrompt: string | undefined;
  readonly evaluates: boolean;
  /** Rows may be conversations whose last message is left out, as GKD's are. */
  readonly mayBeAnswered?: boolean;
}

/** What rewards need to know of the rows. */
export interface Questions extends DataExtent {
  /** The column with the right answer; undefined where the rows, so far as they are here, have none. */
  readonly gold: string | undefined;
  readonly isOfOpenR1: boolean;
}

/**
 * Sets the task.
 *
 * @throws ConfigError where the rows have no column with the question
 */
export async function setQuestions(
  draft: TrlDraft,
  survey: Survey | AbsentData,
  { askedPrompt, evaluates, mayBeAnswered = false }: QuestionsOptions,
): Promise<Questions> {
  const { settings } = draft;
  if (askedPrompt !== undefined) {
    throw new ConfigError(`--prompt ${askedPrompt} is a prompt of Countdown; this recipe asks what its rows say.`);
  }
  const isOfOpenR1 = OPEN_R1_KEYS.some((key) => settings.written.has(key));
  const columns = surveyedColumns(survey);
  draft.put("task.name", "conversations");
  const column = settings.text("dataset_prompt_column") ?? "prompt";
  const isAnswered = mayBeAnswered && columns !== undefined && !columns.includes(column);
  if (isAnswered && ["messages", "conversations"].some((one) => columns.includes(one))) {
    draft.hasNoEffect("dataset_prompt_column", "the rows are conversations");
  } else {
    setColumn(draft, column, columns);
    // A script that makes messages of texts, or one that takes texts as they are.
    draft.put("task.chat", isOfOpenR1 ? true : "messages");
  }
  const system = settings.text("system_prompt");
  if (system !== undefined) draft.becomes("system_prompt", "task.system", system);
  const variables = settings.mapping("chat_template_kwargs");
  if (variables !== undefined) draft.becomes("chat_template_kwargs", "task.templateVariables", variables);
  const extent = await setTaskData(draft, survey, { evaluates });
  const gold = columns === undefined ? GOLD_COLUMNS[0] : GOLD_COLUMNS.find((one) => columns.includes(one));
  return { ...extent, gold, isOfOpenR1 };
}

function setColumn(draft: TrlDraft, column: string, columns: readonly string[] | undefined): void {
  if (columns !== undefined && !columns.includes(column)) {
    throw new ConfigError(
      `dataset_prompt_column: the rows have no column ${column}; their columns are ${columns.join(", ")}. Say which of ` +
        `them is the question (--set dataset_prompt_column=${columns[0]}).`,
    );
  }
  draft.put("task.form", "prompt");
  if (column === "prompt") draft.goesTo("dataset_prompt_column", "task.form", "prompt", { fallback: "prompt" });
  else draft.becomes("dataset_prompt_column", "task.data.columns.prompt", column);
}
