/** The preferences task in the registry. */

import { dataPath, defineTask, loadTaskData, withOtherData } from "../entry.ts";
import { createPreferencesTask, identifyPreference, preferencesOptionsSchema } from "./preferences.ts";

/** The entry; see the file's header. */
export const preferences = defineTask({
  name: "preferences",
  summary: "prompts of a data set with two answers each, of which one is preferred",
  options: preferencesOptionsSchema,
  hasPreferences: true,
  paths: dataPath,
  withDataFile: (spec, path) => withOtherData(spec, path),
  create: async (options, deps) => {
    const data = await loadTaskData(options.data, deps, (row) => identifyPreference(row, options));
    return createPreferencesTask(options, { ...deps, data });
  },
});
