/** What the longest demonstrations lose under `maxTokens`: for the doctor, and for the start of a run. */

import type { StageFinding } from "../../findings.ts";
import type { LengthSurvey } from "./demonstration-stream.ts";

/** Share of demonstrations left out, or cut, that a person should know of. */
const MANY = 0.1;
/** Share of those that lose most of what is to be learned: they teach an answer that stops where none should. */
const SOME = 0.01;

/** Warnings with numbers; none where nearly all demonstrations are read whole. */
export function demonstrationLengthFindings({
  looked,
  maxTokens,
  leftOut,
  cut,
  mostlyCut,
  lostShare,
}: LengthSurvey): StageFinding[] {
  const found: StageFinding[] = [];
  const of = (count: number): string => `${count} of the first ${looked} demonstrations (${percent(count / looked)})`;
  const advice = "raise maxTokens (and batchTokens), take a model with a longer context, or leave long rows out";
  if (leftOut >= MANY * looked) {
    found.push({
      severity: "warning",
      id: "demonstrations-too-long",
      measured: `${of(leftOut)} do not fit into ${maxTokens} tokens, prompt and completion, and are left out`,
      why: "the model learns from the short ones only",
      advice,
    });
  }
  if (cut >= MANY * looked || mostlyCut >= SOME * looked) {
    if (cut === 0) return found;
    found.push({
      severity: "warning",
      id: "demonstrations-cut",
      measured:
        `${of(cut)} are cut at ${maxTokens} tokens, prompt and completion; ${mostlyCut} of them lose half of their ` +
        `completion or more; ${percent(lostShare)} of what is to be learned is lost`,
      why: "a cut demonstration does not teach how an answer ends, and if the prompt fills maxTokens, it teaches nothing of the answer",
      advice: `${advice} (overlong: drop)`,
    });
  }
  return found;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 && share > 0 ? 1 : 0)} %`;
}
