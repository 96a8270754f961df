/** The math task in the registry. */

import { dataPath, defineTask, loadTaskData, withOtherData } from "../entry.ts";
import { createMathTask, identifyProblem } from "./math.ts";
import { GENERATOR_KEYS, mathOptionsSchema } from "./options.ts";

/** The entry; see the file's header. */
export const math = defineTask({
  name: "math",
  summary: "problems of mathematics whose final answers are compared; generated, or a data set",
  options: mathOptionsSchema,
  isReasoning: true,
  paths: dataPath,
  withDataFile: (spec, path) => withOtherData(spec, path, GENERATOR_KEYS),
  create: async (options, deps) => {
    const { data } = options;
    if (data === undefined) return createMathTask(options, deps);
    const identify = (row: Parameters<typeof identifyProblem>[0]) => identifyProblem(row, options);
    return createMathTask(options, { ...deps, data: await loadTaskData(data, deps, identify) });
  },
});
