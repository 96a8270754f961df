/** The data steps, by the names that pipelines have for them. A new one of Aha's own is a file beside this one, and a line. */

import { Registry } from "../registry.ts";
import { coldStart } from "./cold-start.ts";
import { combine } from "./combine.ts";
import { preferences } from "./preferences.ts";
import { rejectionSampling } from "./rejection-sampling.ts";
import type { DataStep } from "./step.ts";
import { teacherSamples } from "./teacher-samples.ts";

export const dataSteps = new Registry<DataStep>("data step", [
  coldStart,
  rejectionSampling,
  teacherSamples,
  preferences,
  combine,
]);
