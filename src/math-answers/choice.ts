/** The letter of a multiple-choice answer: `A`, `(A)`, `\textbf{(A)}\ 5`, `A. 5`, `option A`. */

import type { Answer } from "./tree.ts";

const LETTER_ALONE = /^(?:(?:option|choice|answer)\s+)?[([]?\s*([A-J])\s*[)\]]?[.:]?$/i;
const LETTER_AND_VALUE = /^(?:(?:option|choice|answer)\s+)?(?:\(\s*([A-J])\s*\)|([A-J])\s*[):.])\s*(\S[\s\S]*)$/;
const TEXT_COMMAND = /\\(?:text|textbf|textrm|mathrm|mbox|textit)\s*\{([^{}]*)\}/g;

/**
 * The choice, with the value behind the letter where there is one; undefined where the text does not begin with a letter
 * from A to J as choices are written. A lower-case letter is a choice only with its parentheses or a word before it.
 */
export function readChoice(
  cleaned: string,
  readValue: (text: string) => { readonly answer: Answer } | { readonly fault: string },
): Answer | undefined {
  if (cleaned.length > 500) return undefined;
  const text = cleaned
    .replace(TEXT_COMMAND, "$1")
    .replace(/^\{([^{}]*)\}$/, "$1")
    .trim();
  const alone = LETTER_ALONE.exec(text);
  if (alone) {
    const letter = alone[1]!;
    const isLower = letter !== letter.toUpperCase();
    return isLower && text.length === 1 ? undefined : { kind: "choice", letter: letter.toUpperCase() };
  }
  const found = LETTER_AND_VALUE.exec(text);
  // "(A) or (B)", "(A) 5 (B) 6" are several choices.
  if (!found || /^(?:or|and)\b|^[,;&/]|\(\s*[A-J]\s*\)/.test(found[3]!)) return undefined;
  const letter = found[1] ?? found[2]!;
  const value = readValue(found[3]!);
  return "answer" in value ? { kind: "choice", letter, value: value.answer } : { kind: "choice", letter };
}
