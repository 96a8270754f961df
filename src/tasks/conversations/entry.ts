/** The conversations task in the registry. */

import { dataPaths, defineTask, loadTaskData, withOtherData } from "../entry.ts";
import { createConversationsTask, identifyConversation } from "./conversations.ts";
import { conversationsOptionsSchema } from "./options.ts";

/** The entry; see the file's header. */
export const conversationsTask = defineTask({
  name: "conversations",
  summary: "questions of a data set, most with a given answer; final answers are compared",
  options: conversationsOptionsSchema,
  paths: dataPaths,
  withDataFile: (spec, path) => withOtherData(spec, path),
  create: async (options, deps) => {
    const data = await loadTaskData(options.data, deps, (row) => identifyConversation(row, options));
    return createConversationsTask(options, { ...deps, data });
  },
});
