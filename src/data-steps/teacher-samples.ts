/**
 * Samples of a teacher, which a student is distilled from by SFT: stage 8 of R1 (arXiv:2501.12948 §2.4). It is rejection
 * sampling with a teacher as the model.
 */

import { rejectionSamplingStep } from "./rejection-sampling.ts";

export const teacherSamples = rejectionSamplingStep("teacherSamples");
