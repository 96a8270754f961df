/** The gold answer in a row's columns: a text, a number, or a list of answers that are all right. */

import { numberText } from "../exact-json.ts";

/** Looked through in this order where no column is named: `answer` of GSM8K, MATH and AIME, `solution` of NuminaMath. */
export const GOLD_COLUMNS = ["answer", "solution"] as const;

/** The gold answers, or why there are none. */
export function goldOfColumns(
  columns: Readonly<Record<string, unknown>>,
  column?: string,
): { readonly answers: readonly string[] } | { readonly fault: string } {
  const names = column === undefined ? GOLD_COLUMNS : [column];
  const name = names.find((known) => columns[known] !== undefined && columns[known] !== null);
  if (name === undefined) return { fault: `there is no gold answer in the column ${names.join(" or ")}` };
  const value = columns[name];
  const answers = (Array.isArray(value) ? value : [value]).map(textOf);
  if (answers.length > 0 && answers.every((answer) => answer !== undefined && answer.trim() !== "")) {
    return { answers: answers as readonly string[] };
  }
  return { fault: `the column ${name} has no gold answer in it` };
}

function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return typeof value === "boolean" ? String(value) : numberText(value);
}
