/**
 * The pairs that a reward model learns from, as the `preferences` task: rows with `chosen` and `rejected`, and `prompt` where
 * these do not begin with it. As in TRL, answers that are lists of messages go through the chat template, texts stand as
 * they are.
 */

import { ConfigError } from "../../../errors.ts";
import { preferencesTask } from "../../../tasks/preferences/entry.ts";
import type { TrlDraft } from "../conversion.ts";
import { type AbsentData, isHere, type Survey, surveyedColumns } from "./survey.ts";
import { type DataExtent, setTaskData } from "./task-data.ts";

/**
 * Sets the task.
 *
 * @throws ConfigError where the rows are no pairs
 */
export async function setPairs(draft: TrlDraft, survey: Survey | AbsentData, evaluates: boolean): Promise<DataExtent> {
  const columns = surveyedColumns(survey);
  const missing = ["chosen", "rejected"].find((column) => columns !== undefined && !columns.includes(column));
  if (missing !== undefined) {
    throw new ConfigError(
      `A reward model learns from rows with chosen and rejected; these have no column ${missing}, but ${columns!.join(", ")}.`,
    );
  }
  draft.put("task.name", preferencesTask.name);
  if (isHere(survey)) draft.put("task.chat", isConversation(survey.first.fields.chosen));
  return setTaskData(draft, survey, { evaluates });
}

/** A list of messages, as a list or as JSON. */
function isConversation(value: unknown): boolean {
  return Array.isArray(value) || (typeof value === "string" && value.startsWith("[{"));
}
