/** The preferences task in the registry. */

import { dataPaths, defineTask, loadTaskData, withOtherData } from "../entry.ts";
import { createPreferencesTask, identifyPreference, preferencesOptionsSchema } from "./preferences.ts";

/** The entry; see the file's header. */
export const preferencesTask = defineTask({
  name: "preferences",
  summary: "prompts of a data set with two answers each, of which one is preferred",
  options: preferencesOptionsSchema,
  hasPreferences: true,
  paths: dataPaths,
  withDataFile: (spec, path) => withOtherData(spec, path),
  create: async (options, deps) => {
    const data = await loadTaskData(options.data, deps, (row) => identifyPreference(row, options));
    return createPreferencesTask(options, { ...deps, data });
  },
});
