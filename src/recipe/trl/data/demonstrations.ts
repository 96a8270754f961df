/**
 * The rows that an SFT recipe imitates, as the `conversations` task, and which of their tokens carry a loss. TRL's rules
 * (`SFTTrainer`, 1.16):
 *
 *     prompt, completion   the completion alone, unless completion_only_loss is false
 *     messages             all of the text, or the assistant's messages alone with assistant_only_loss
 *     text                 all of the text, and an end token
 *
 * Texts under `prompt` are taken as they stand, lists of messages through the chat template.
 */

import { ConfigError } from "../../../errors.ts";
import type { TrlDraft } from "../conversion.ts";
import { type AbsentData, type Survey, surveyedColumns } from "./survey.ts";
import { type DataExtent, setTaskData } from "./task-data.ts";

type Form = "prompt" | "messages" | "conversations" | "text";

/**
 * Sets the task.
 *
 * @throws ConfigError for rows that are none of these, or a loss that they cannot have
 */
export async function setDemonstrations(
  draft: TrlDraft,
  survey: Survey | AbsentData,
  evaluates: boolean,
): Promise<DataExtent> {
  draft.put("task.name", "conversations");
  const textKey = draft.settings.has("dataset_text_field") ? "dataset_text_field" : "text_column";
  const textColumn = draft.settings.text(textKey) ?? "text";
  const columns = surveyedColumns(survey);
  const form = columns && formOf(columns, textColumn);
  if (form !== undefined) draft.put("task.form", form);
  if (form === "text" && textColumn !== "text") draft.becomes(textKey, "task.data.columns.text", textColumn);
  else if (form === "text") draft.goesTo(textKey, "task.form", "text", { fallback: "text" });
  for (const key of ["dataset_text_field", "text_column"]) {
    if (form !== "text" || key !== textKey) draft.hasNoEffect(key, `the rows are of the form ${form ?? "messages"}`);
  }
  if (form !== "text") draft.put("task.chat", "messages");
  setLossTokens(draft, form);
  return setTaskData(draft, survey, { evaluates });
}

/** The form that TRL takes rows with these columns for. Throws ConfigError where they are of none. */
function formOf(columns: readonly string[], textColumn: string): Form {
  if (columns.includes("prompt") && columns.includes("completion")) return "prompt";
  const form = (["messages", "conversations"] as const).find((one) => columns.includes(one));
  if (form !== undefined) return form;
  if (columns.includes(textColumn)) return "text";
  throw new ConfigError(
    `The rows have the columns ${columns.join(", ")}, and SFT needs messages, prompt and completion, or a text in the column ` +
      `${textColumn}. Say which column it is (--set dataset_text_field=${columns[0]}), or map it in a file of your own.`,
  );
}

/** Which tokens carry a loss. */
function setLossTokens(draft: TrlDraft, form: Form | undefined): void {
  const { settings } = draft;
  const assistantOnly = settings.boolean("assistant_only_loss") ?? false;
  const completionOnly = settings.boolean("completion_only_loss") ?? form === "prompt";
  if (assistantOnly && form === "text") {
    throw new ConfigError("assistant_only_loss: true needs rows that are conversations; these are texts.");
  }
  if (completionOnly && form !== "prompt" && form !== undefined) {
    throw new ConfigError(
      `completion_only_loss: true needs rows with prompt and completion; these have ${form}. For conversations there is ` +
        "assistant_only_loss (--set completion_only_loss=null --set assistant_only_loss=true).",
    );
  }
  const path = "task.learnTurns";
  if (completionOnly) {
    draft.becomes("completion_only_loss", path, "last", { note: "the completion alone" });
    draft.hasNoEffect("assistant_only_loss", "the completion is what is learned");
    return;
  }
  const learnTurns = assistantOnly ? "all" : "whole";
  const note = assistantOnly ? "every message of the assistant" : "all of the text, questions too";
  draft.becomes("assistant_only_loss", path, learnTurns, { fallback: false, note });
  draft.hasNoEffect("completion_only_loss", "as assistant_only_loss says");
}
