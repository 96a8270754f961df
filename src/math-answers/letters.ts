/** Letters of choices in answers that were read as something else: a symbol, a word, a list. */

import { isBag } from "./targets.ts";
import type { Answer } from "./tree.ts";

/** Several choices, `ABD` or `A, B, D`, in the order of the alphabet. */
export function lettersOf(answer: Answer): string | undefined {
  const letters = isBag(answer)
    ? answer.items.map((item) => (item.kind === "choice" && !item.value ? item.letter : letterOf(item)))
    : answer.kind === "text" && answer.letters
      ? [...answer.text]
      : [];
  const isChoice = answer.kind === "set" ? /^[A-J]$/ : /^[A-Ja-j]$/;
  if (letters.length < 2 || !letters.every((letter) => letter !== undefined && isChoice.test(letter))) return undefined;
  return letters.join("").toUpperCase().split("").sort().join("");
}

/** The one letter that an answer is. */
export function letterOf(answer: Answer): string | undefined {
  if (answer.kind === "text" && /^[a-j]$/.test(answer.text)) return answer.text;
  if (answer.kind !== "expression" || answer.unit) return undefined;
  const { node } = answer;
  return node.kind === "symbol" || (node.kind === "constant" && node.name.length === 1) ? node.name : undefined;
}

/** `\text{e}` and e: the same letter as a word and in a formula. */
export function sameLetter(gold: Answer, answer: Answer): boolean {
  if ((gold.kind === "text") === (answer.kind === "text")) return false;
  const [word, other] = gold.kind === "text" ? [gold, answer] : [answer, gold];
  return word.kind === "text" && /^[a-z]$/.test(word.text) && letterOf(other) === word.text;
}
