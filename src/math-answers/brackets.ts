/** Brackets among the signs of an answer: which closes which, and what stands between separators outside of all. */

import type { AnswerToken } from "./tokens.ts";

const OPENERS: ReadonlySet<string> = new Set(["(", "[", "{", "\\{", "lfloor", "lceil"]);
const CLOSERS: ReadonlySet<string> = new Set([")", "]", "}", "\\}", "rfloor", "rceil"]);

/** Whether a token is this sign. */
export const isSign = (token: AnswerToken | undefined, text: string): boolean =>
  token?.type === "sign" && token.text === text;

/** The index of the sign that closes the bracket at `open`, −1 where none does; brackets may differ in kind, as in `[0, 1)`. */
export function closingOf(tokens: readonly AnswerToken[], open: number): number {
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    depth += depthChange(tokens[i]!);
    if (depth === 0) return i;
  }
  return -1;
}

/** 1 where a bracket or environment opens, −1 where one closes, else 0. */
export function depthChange({ type, text }: AnswerToken): number {
  if (type !== "sign") return 0;
  if (OPENERS.has(text) || text.startsWith("begin ")) return 1;
  return CLOSERS.has(text) || text.startsWith("end ") ? -1 : 0;
}

/** How many brackets are open at the end. */
export const depthOf = (tokens: readonly AnswerToken[]): number =>
  tokens.reduce((depth, token) => depth + depthChange(token), 0);

/** The parts between separators outside all brackets. */
export function splitAt(tokens: readonly AnswerToken[], separates: (text: string) => boolean): AnswerToken[][] {
  const parts: AnswerToken[][] = [[]];
  let depth = 0;
  for (const token of tokens) {
    depth += depthChange(token);
    if (depth === 0 && token.type === "sign" && separates(token.text)) parts.push([]);
    else parts.at(-1)!.push(token);
  }
  return parts;
}
