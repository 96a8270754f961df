/** The Countdown task in the registry: what it is, its keys, and where its problems come from. */

import { pathAt } from "../../named-paths.ts";
import { dataPaths, defineTask, loadTaskData, requireReader } from "../entry.ts";
import { createCountdownTask } from "./countdown.ts";
import { COUNTDOWN_GENERATOR_KEYS } from "./generator.ts";
import { countdownOptionsSchema } from "./options.ts";
import { identifyRow } from "./source.ts";

/** The entry; see the file's header. */
export const countdownTask = defineTask({
  name: "countdown",
  summary: "an expression that uses every number once and equals the target; generated, or from a file",
  options: countdownOptionsSchema,
  isReasoning: true,
  paths: (spec) => [...pathAt(spec, ["file"], "file"), ...dataPaths(spec)],
  withDataFile: (spec, path) => {
    const isOfSource = (key: string) => key === "data" || COUNTDOWN_GENERATOR_KEYS.some((known) => known === key);
    const kept = Object.entries(spec).filter(([key]) => !isOfSource(key));
    return { ...Object.fromEntries(kept), name: spec.name, file: path };
  },
  create: async (options, deps) => {
    const { file, data } = options;
    return createCountdownTask(options, {
      ...deps,
      ...(file !== undefined && { rows: await requireReader(deps.dataReader, file).rowsOf(file) }),
      ...(data !== undefined && { data: await loadTaskData(data, deps, identifyRow) }),
    });
  },
});
