/**
 * The verdict in a grading model's answer, read strictly: a number in the range, at the place that was asked for.
 * Anything else is no verdict: a number elsewhere in the text need not be the score.
 */

import { summaryOf } from "../../expression/answer.ts";
import type { QuestionForm } from "./question.ts";

/** A number in the range and the grader's words for it, or why there is none. */
export type GraderVerdict = { readonly value: number; readonly words: string } | { readonly fault: string };

/** The verdict in an answer. Text that the model thought aloud between think tags is not looked at. */
export function readVerdict(answer: string, form: Omit<QuestionForm, "rubric">): GraderVerdict {
  const text = summaryOf(answer).trim();
  const found = form.verdict === "marker" ? markerScore(text) : jsonScore(text);
  if ("fault" in found) return found;
  const { value } = found;
  if (value >= form.minScore && value <= form.maxScore) return found;
  return { fault: `its score of ${value} is not from ${form.minScore} to ${form.maxScore}` };
}

const NUMBER = /^[-+]?\d{1,15}(?:\.\d{1,15})?$/;

function markerScore(text: string): GraderVerdict {
  const end = text.lastIndexOf("\n");
  // Stars around it are Markdown's.
  const line = text
    .slice(end + 1)
    .replaceAll("*", "")
    .trim();
  if (!/^score\s{0,4}:/i.test(line)) return { fault: "its last line is not SCORE: and a number" };
  const number = line.slice(line.indexOf(":") + 1).trim();
  if (!NUMBER.test(number)) return { fault: `its score is ${JSON.stringify(number.slice(0, 40))}, not a number` };
  return { value: Number(number), words: text.slice(0, Math.max(0, end)).trim() };
}

function jsonScore(text: string): GraderVerdict {
  const body = /^```(?:json)?\n([\s\S]*)\n```$/.exec(text)?.[1] ?? text;
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return { fault: "it is not one JSON object" };
  }
  if (typeof value !== "object" || value === null || !("score" in value)) return { fault: "its JSON has no score" };
  const { score, reason } = value as { score: unknown; reason?: unknown };
  if (typeof score !== "number" || !Number.isFinite(score)) return { fault: "its score is not a number" };
  return { value: score, words: typeof reason === "string" ? reason : "" };
}
