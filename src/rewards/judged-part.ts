/**
 * What of a completion is judged: all of it, or its summary, which is what follows the thinking. DeepSeek-R1
 * (arXiv:2501.12948, §2.3.4) judges helpfulness on the summary alone, so that the thinking is left free, and harmlessness on
 * the whole. A reward model has to be trained on the same part that it is asked about.
 */

import { closesThinking, summaryOf } from "../expression/answer.ts";

/** All of a completion, or what follows its thinking. */
export const JUDGED_PARTS = ["completion", "summary"] as const;
export type JudgedPart = (typeof JUDGED_PARTS)[number];

/** A prompt that opens the thinking itself. */
const OPENED_THINKING = /<think>\s*$/;

/** A prompt as the model saw it, and what follows it. */
export interface JudgedText {
  readonly prompt: string;
  readonly completion: string;
}

/** The part with its prompt; undefined where a summary is asked for and there is no `</think>`. */
export function judgedPart({ prompt, completion }: JudgedText, part: JudgedPart): JudgedText | undefined {
  if (part === "completion") return { prompt, completion };
  if (!closesThinking(completion)) return undefined;
  // A summary answers the question, not a thinking that was begun.
  return { prompt: prompt.replace(OPENED_THINKING, ""), completion: summaryOf(completion).trim() };
}
