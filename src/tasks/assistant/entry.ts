/** The assistant task in the registry. */

import { defineTask } from "../entry.ts";
import { createAssistantTask } from "./assistant.ts";
import { assistantOptionsSchema } from "./options.ts";

/** The entry; see the file's header. */
export const assistantTask = defineTask({
  name: "assistant",
  summary: "short requests to be answered in a sentence, and requests for harm to be refused; generated",
  options: assistantOptionsSchema,
  create: async (options, deps) => createAssistantTask(options, deps),
});
