/** The math task in the registry. */

import { dataPaths, defineTask, loadTaskData, withOtherData } from "../entry.ts";
import { createMathTask, identifyProblem } from "./math.ts";
import { MATH_GENERATOR_KEYS, mathOptionsSchema } from "./options.ts";

/** The entry; see the file's header. */
export const mathTask = defineTask({
  name: "math",
  summary: "problems of mathematics whose final answers are compared; generated, or a data set",
  options: mathOptionsSchema,
  isReasoning: true,
  paths: dataPaths,
  withDataFile: (spec, path) => withOtherData(spec, path, MATH_GENERATOR_KEYS),
  create: async (options, deps) => {
    const { data } = options;
    if (data === undefined) return createMathTask(options, deps);
    const identify = (row: Parameters<typeof identifyProblem>[0]) => identifyProblem(row, options);
    return createMathTask(options, { ...deps, data: await loadTaskData(data, deps, identify) });
  },
});
