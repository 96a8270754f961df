/** The options of the conversations task, as they stand in a recipe under `task:`. */

import { z } from "zod";
import { dataOptionsSchema } from "../../data/options.ts";

/** In which columns a row keeps its conversation; explained in `row-forms.ts`. */
export const ROW_FORMS = ["messages", "conversations", "prompt", "text"] as const;
export type RowForm = (typeof ROW_FORMS)[number];

/** The options of `task: { name: conversations, … }`, with their defaults; an impossible combination is refused. */
export const conversationsOptionsSchema = z
  .strictObject({
    data: dataOptionsSchema.describe("where the conversations are"),
    form: z
      .enum(ROW_FORMS)
      .optional()
      .describe(
        "in which columns a row keeps its conversation; the one that data.columns maps, else the first that a row has, if absent",
      ),
    chat: z
      .union([z.boolean(), z.literal("messages")])
      .default(true)
      .describe(
        "prompts through the model's chat template; false: the texts of prompt and completion as they stand; messages: the template for rows with messages, texts as they stand",
      ),
    learnTurns: z
      .enum(["last", "all", "whole"])
      .default("last")
      .describe(
        "what SFT imitates of a conversation: the assistant's last message, every one of them, or the whole text, questions and all",
      ),
    templateVariables: z
      .record(z.string().min(1), z.unknown())
      .default({})
      .describe(
        "further variables of the chat template, e.g. enable_thinking; a row's column chat_template_kwargs goes before them",
      ),
    system: z.string().min(1).optional().describe("the system message of conversations that bring none of their own"),
    prefill: z
      .string()
      .default("")
      .describe("what the assistant's message begins with; it belongs to the prompt, e.g. <think>"),
    answer: z
      .string()
      .min(1)
      .optional()
      .describe("the column with the right answer, or with a worked solution that ends in it"),
  })
  .superRefine(({ chat, form, system, prefill, learnTurns, templateVariables }, context) => {
    const fail = (path: string, message: string): void => {
      context.addIssue({ code: "custom", path: [path], message });
    };
    if (learnTurns === "all" && chat === false)
      fail("learnTurns", "must be last with chat: false, where there are no turns");
    if (learnTurns === "all" && prefill !== "")
      fail("prefill", "belongs to the last answer; leave it out with learnTurns: all");
    if (learnTurns === "whole" && prefill !== "")
      fail("prefill", "has no place in a text that is learned whole; leave it out");
    if (form === "text" && learnTurns !== "whole")
      fail("learnTurns", "must be whole for rows of the form text, which have no turns");
    if (chat !== false) return;
    if (Object.keys(templateVariables).length > 0)
      fail("templateVariables", "are the chat template's and have no effect with chat: false; leave them out");
    if (form !== undefined && form !== "prompt") fail("chat", `must be true for rows of the form ${form}`);
    if (system !== undefined) fail("system", "is a message and has no effect with chat: false; leave it out");
  });

export type ConversationsOptions = z.output<typeof conversationsOptionsSchema>;
