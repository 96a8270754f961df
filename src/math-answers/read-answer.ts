/**
 * From the text of an answer to its structure (`tree.ts`): splits at commas and words, relations and set operations, reads
 * brackets as what their shape says, and leaves formulas to `parse.ts`. What is no mathematics stays text.
 */

import { closingOf, depthChange, isSign, splitAt } from "./brackets.ts";
import { readChoice } from "./choice.ts";
import { cleanText, plainWords } from "./clean-text.ts";
import { readClock, readDate, withTime } from "./clock.ts";
import { remembered } from "./memo.ts";
import { parseFormula } from "./parse.ts";
import { RELATIONS, readEnclosed } from "./read-enclosed.ts";
import { familyOf, namedGroup, progression, spread } from "./read-list.ts";
import { readQuantity } from "./read-quantity.ts";
import { segmentName } from "./segments.ts";
import { ParseFault } from "./signs.ts";
import { type AnswerToken, tokenizeAnswer } from "./tokens.ts";
import { type Answer, apply, type RelationName } from "./tree.ts";
import { numberOfWords, readPhrase } from "./words.ts";

/** Longer texts are no final answer. */
export const MAX_ANSWER_CHARACTERS = 20_000;
const MAX_DEPTH = 20;

/** The answer, or why the text is none. */
export type Reading = { readonly answer: Answer } | { readonly fault: string };

/** Reads an answer's text. `grouped`: `1,234` is a number, else two. */
export function readAnswer(text: string, grouped = true): Reading {
  return grouped ? readGrouped(text) : readUngrouped(text);
}

const readGrouped = remembered((text) => readText(text, true));
const readUngrouped = remembered((text) => readText(text, false));

function readText(text: string, grouped: boolean): Reading {
  if (text.length > MAX_ANSWER_CHARACTERS) return { fault: `it is longer than ${MAX_ANSWER_CHARACTERS} characters` };
  const cleaned = stripMarkup(cleanText(text));
  if (cleaned === "") return { fault: "it is empty" };
  const said = readPhrase(cleaned, (rest) => readAnswer(rest, grouped));
  if (said) return said;
  const time = readClock(cleaned) ?? readDate(cleaned);
  if (time) return { answer: time };
  const numbered = readNumbered(cleaned, grouped);
  if (numbered) return numbered;
  const choice = readChoice(cleaned, (rest) => readAnswer(rest, grouped));
  if (choice) return { answer: choice };
  const labelled = LABELLED.exec(cleaned);
  if (labelled) return readAnswer(labelled[1]!, grouped);
  const tokens = tokenizeAnswer(cleaned, grouped);
  if (!("fault" in tokens)) {
    try {
      const signs = tokens.filter(({ type, text }) => type !== "text" || /[\p{L}\d]/u.test(text)).map(joiningWord);
      const answer = withTime(readSigns(signs, 0), cleaned);
      const isVector = answer.kind === "tuple" && cleaned.startsWith("\\langle");
      return { answer: isVector ? { ...answer, isInterval: false } : answer };
    } catch (error) {
      if (!(error instanceof ParseFault)) throw error;
      return readWordsOrFault(cleaned, error.message);
    }
  }
  return readWordsOrFault(cleaned, tokens.fault);
}

/** `(1) a = 2; (2) b = 3`: the answers to the parts of a question, as a list. */
function readNumbered(cleaned: string, grouped: boolean): Reading | undefined {
  if (cleaned.length > 1000 || !/^\(1\)\s*\S.*\(2\)\s*\S/.test(cleaned)) return undefined;
  const parts = cleaned.split(/[;,.\s]*\((\d)\)\s*/);
  // A split with a group gives the text before, then number and text by turns.
  const [before, ...rest] = parts;
  const items: Answer[] = [];
  for (let i = 0; i < rest.length; i += 2) {
    const reading = readAnswer(rest[i + 1]!, grouped);
    if (before !== "" || rest[i] !== String(i / 2 + 1) || "fault" in reading) return undefined;
    items.push(reading.answer);
  }
  return { answer: { kind: "list", items } };
}

/** Emphasis of Markdown and quotation marks around all of it, and a full stop after it. */
function stripMarkup(text: string): string {
  let inner = text.trim();
  for (let round = 0; round < 4; round++) {
    const bare = inner
      .replace(/^(\*\*|__|`+|"|'')([\s\S]*)\1$/, "$2")
      .replace(/[.,;:?]$/, "")
      .trim();
    if (bare === inner) break;
    inner = bare;
  }
  return inner;
}

/** `Area: 12`: words, a colon and a value. */
const LABELLED =
  /^(?:\\text\s*\{\s*)?(?=[^:]*[A-Za-z]{4})[A-Za-z][A-Za-z ]{3,60}:\s*(?:\}|(?=\s))\s*([^:A-Za-z]*\d[^:]*)$/;

/** Words are compared as words; what was meant as a formula and is none cannot be compared. */
function readWordsOrFault(cleaned: string, fault: string): Reading {
  const text = plainWords(cleaned);
  if (text === "") return { fault: "it is empty" };
  return /[\\{}^_$]/.test(text) || !/\p{L}/u.test(text)
    ? { fault }
    : { answer: { kind: "text", text, letters: LETTERS.test(cleaned) } };
}

/** Several choices without anything between them. */
const LETTERS = /^[A-J]{2,8}$/;

/** `\text{ or }` is the word itself. */
function joiningWord(token: AnswerToken): AnswerToken {
  if (token.type !== "text") return token;
  const word = token.text
    .trim()
    .toLowerCase()
    .replace(/^[,;]\s*|[,;]$/g, "")
    .trim();
  return word === "or" || word === "and" ? { ...token, type: "sign", text: word } : token;
}

function readSigns(all: readonly AnswerToken[], depth: number): Answer {
  if (depth > MAX_DEPTH) throw new ParseFault(`it is nested deeper than ${MAX_DEPTH}`);
  const tokens = trimmed(all);
  if (tokens.length === 0) throw new ParseFault("a part of it is empty");
  const words = readWords(tokens);
  if (words) return words;
  const inside = (part: readonly AnswerToken[]): Answer => readSigns(part, depth + 1);
  const qualified = namedGroup(tokens);
  const parts = qualified ?? splitAt(tokens, (text) => text === "," || text === ";" || text === "or" || text === "and");
  if (parts.length > 1) {
    const filled = progression(parts.filter(({ length }) => length > 0));
    const items = excluded(spread(filled.map(inside)));
    if (items.length === 1) return items[0]!;
    const joint = jointOf(tokens);
    return familyOf(items) ?? { kind: "list", items, ...(joint && { joint }) };
  }
  const related = readRelation(tokens, inside);
  if (related) return related;
  const ratio = readRatio(tokens, inside);
  if (ratio) return ratio;
  const combined = readSetOperation(tokens, inside);
  if (combined) return combined;
  const enclosed = readEnclosed(tokens, inside);
  if (enclosed) return enclosed;
  const quantity = readQuantity(tokens);
  const isRatio = quantity.kind === "expression" && splitAt(tokens, (text) => text === ":").length === 2;
  return isRatio ? { ...quantity, isRatio } : quantity;
}

/** `1:2:3`: the same ratio where the parts are the same multiples of the first. */
function readRatio(
  tokens: readonly AnswerToken[],
  inside: (part: readonly AnswerToken[]) => Answer,
): Answer | undefined {
  const parts = splitAt(tokens, (text) => text === ":");
  if (parts.length < 3 || parts.some(({ length }) => length === 0)) return undefined;
  const nodes = parts.map(inside).map((part) => (part.kind === "expression" && !part.unit ? part.node : undefined));
  const [first] = nodes;
  const items = nodes.flatMap((node): Answer[] =>
    node && first ? [{ kind: "expression", node: apply("divide", node, first) }] : [],
  );
  return items.length === parts.length ? { kind: "tuple", open: "(", close: ")", items, isRatio: true } : undefined;
}

/** The word between the parts of a list. */
function jointOf(tokens: readonly AnswerToken[]): "and" | "or" | undefined {
  const has = (word: string) => splitAt(tokens, (text) => text === word).length > 1;
  return has("or") ? "or" : has("and") ? "and" : undefined;
}

/** `x ≠ 1, 2` excludes both. */
function excluded(items: readonly Answer[]): readonly Answer[] {
  const [first, ...others] = items;
  const isExclusion = first?.kind === "relation" && first.relations.join() === "!=";
  if (!isExclusion || others.length === 0 || !others.every(({ kind }) => kind === "expression")) return items;
  return [first, ...others.map((other): Answer => ({ ...first, sides: [first.sides[0]!, other] }))];
}

function trimmed(tokens: readonly AnswerToken[]): readonly AnswerToken[] {
  let [start, end] = [0, tokens.length];
  const isEdge = (token: AnswerToken | undefined) =>
    token?.type === "sign" && [".", ",", ";", ":", '"'].includes(token.text);
  while (start < end && isEdge(tokens[start])) start++;
  while (end > start && isEdge(tokens[end - 1])) end--;
  while (end - start >= 2 && isSign(tokens[start], "{") && closingOf(tokens, start) === end - 1) {
    start++;
    end--;
  }
  return tokens.slice(start, end);
}

/** `A, C`, `II and III`: several labels in one text. */
const LABELS = /^\(?[A-Z]{1,4}\)?(?:\s*(?:,\s*(?:and\s)?|\sand\s)\s*\(?[A-Z]{1,4}\)?)+$/;

/** Words only: a text, or a number in words. */
function readWords(tokens: readonly AnswerToken[]): Answer | undefined {
  if (!tokens.every(({ type }) => type === "word" || type === "text")) return undefined;
  const raw = tokens
    .map(({ text }) => text)
    .join(" ")
    .trim();
  if (tokens.length === 1 && tokens[0]!.type === "text" && (/\d/.test(raw) || LABELS.test(raw))) {
    const reading = readAnswer(raw);
    if ("answer" in reading) return reading.answer;
  }
  if (tokens.length === 1 && tokens[0]!.type === "word" && raw.length <= 4 && raw === raw.toLowerCase()) {
    const isText = ["yes", "no", "true", "none", "odd", "even", "all", "both"].includes(raw);
    if (!isText && numberOfWords(raw) === undefined && !/[^a-z]/.test(raw))
      return { kind: "expression", node: parseFormula(tokens) };
  }
  const text = plainWords(raw);
  const value = numberOfWords(text);
  if (value) return { kind: "expression", node: { kind: "number", value } };
  if (text === "") throw new ParseFault("a part of it is empty");
  return { kind: "text", text, letters: LETTERS.test(raw) };
}

function readRelation(
  tokens: readonly AnswerToken[],
  inside: (part: readonly AnswerToken[]) => Answer,
): Answer | undefined {
  const sides = splitAt(tokens, (text) => RELATIONS.has(text));
  if (sides.length === 1) return undefined;
  const relations: RelationName[] = [];
  let depth = 0;
  for (const token of tokens) {
    depth += depthChange(token);
    if (depth === 0 && token.type === "sign" && RELATIONS.has(token.text)) relations.push(token.text as RelationName);
  }
  if (sides[0]!.length === 0 && relations[0] === "=") {
    sides.shift();
    relations.shift();
    if (sides.length === 1) return inside(sides[0]!);
  }
  // A name stands first, or in the middle of `0 < f(x) < 1`.
  const isName = (i: number) => i === 0 || (i === 1 && sides.length === 3);
  const read = sides.map((side, i) => (isName(i) ? (readTarget(side) ?? inside(side)) : inside(side)));
  const last = read.at(-1)!;
  const isPoint = read[0]!.kind === "tuple" || isSegment(read[0]!);
  if (isPoint && last.kind === "tuple") read[read.length - 1] = { ...last, isInterval: false };
  // x = ±2 is x = 2 or x = −2.
  if (last.kind === "list" && relations.length === 1) {
    const items = last.items.map((item): Answer => ({ kind: "relation", relations, sides: [read[0]!, item] }));
    return { kind: "list", items };
  }
  return { kind: "relation", relations, sides: read };
}

/** A vector AB. */
const isSegment = (side: Answer): boolean =>
  (side.kind === "text" && side.letters === true) ||
  (side.kind === "expression" && side.node.kind === "apply" && segmentName(side.node) !== undefined);

const SET_SIGNS: ReadonlySet<string> = new Set(["cap", "cup", "setminus"]);

/** Words and signs that name a value where they stand left of `=`: `f(x)`, `f^{-1}(x)`, `P(A)`, `dy/dx`, `Area`. */
function readTarget(tokens: readonly AnswerToken[]): Answer | undefined {
  const named = (): Answer => ({ kind: "text", text: tokens.map(({ text }) => text).join("") });
  const isName = (token: AnswerToken | undefined) =>
    token?.type === "name" || token?.type === "word" || token?.type === "text";
  const [first] = tokens;
  if (first?.type === "name" || (tokens.length > 1 && first?.type === "text")) {
    // Between the name and its arguments: primes, a subscript, `^{-1}`, `^{(n)}`.
    let at = 1;
    while (isSign(tokens[at], "'")) at++;
    while (isSign(tokens[at], "_") || isSign(tokens[at], "^")) {
      at = isSign(tokens[at + 1], "{") || isSign(tokens[at + 1], "(") ? closingOf(tokens, at + 1) + 1 : at + 2;
    }
    const isCall =
      (isSign(tokens[at], "(") || (isSign(tokens[at], "[") && /^[A-Z]/.test(first.text))) &&
      closingOf(tokens, at) === tokens.length - 1;
    const content = tokens.slice(at + 1, -1);
    const isPlain = content.every(
      (token) =>
        isName(token) ||
        token.type === "number" ||
        [",", "|", "cap", "cup", "'", "-", "_", "(", ")"].includes(token.text) ||
        (/^[PE]/.test(first.text) && RELATIONS.has(token.text)),
    );
    if (isCall && isPlain && content.length > 0) return named();
    const isMatrixName = at === tokens.length && at > 1 && isSign(tokens[1], "^") && /^[A-Z]$/.test(first.text);
    if (isMatrixName) return named();
  }
  const bare = tokens.map(({ text }) => text).join("");
  if (/^frac\{(?:d|partial)(?:\^\{?2\}?)?[A-Za-z]{1,2}\}\{(?:d|partial)[A-Za-z](?:\^\{?2\}?)?\}$/.test(bare))
    return named();
  // A limit, an integral, an endless sum: what they are the value of is not worked out.
  const isEndless = first?.text !== undefined && ["sum", "product"].includes(first.text) && bare.includes("infty");
  if (first?.type === "sign" && (first.text === "lim" || first.text === "int" || isEndless)) return named();
  if (isRatioOfNames(tokens)) return named();
  const isSets =
    tokens.length > 2 && tokens.every((token, i) => (i % 2 === 0 ? isName(token) : SET_SIGNS.has(token.text)));
  if (isSets) return named();
  const isWords =
    tokens.length > 0 && tokens.every(({ type, text }) => type === "text" || (type === "word" && text.length > 3));
  return isWords ? { kind: "text", text: plainWords(tokens.map(({ text }) => text).join(" ")) } : undefined;
}

/** `AB : BC : CA`. */
function isRatioOfNames(tokens: readonly AnswerToken[]): boolean {
  const parts = splitAt(tokens, (text) => text === ":");
  const isName = (part: readonly AnswerToken[]) =>
    part.length > 0 &&
    part.every(({ type, text }) => type !== "number" || /^\d$/.test(text)) &&
    part.every(({ type, text }) => type !== "sign" || ["_", "{", "}", "'"].includes(text)) &&
    part[0]!.type !== "number";
  return parts.length > 2 && parts.every(isName);
}

function readSetOperation(
  tokens: readonly AnswerToken[],
  inside: (part: readonly AnswerToken[]) => Answer,
): Answer | undefined {
  const union = splitAt(tokens, (text) => text === "cup");
  if (union.length > 1) return { kind: "union", parts: union.map(inside) };
  const [met, ...others] = splitAt(tokens, (text) => text === "cap");
  if (others.length > 0) {
    // What is in both: the first without what is not in the second.
    const reals: Answer = { kind: "numbers", name: "R" };
    return others.map(inside).reduce<Answer>(
      (whole, other) => ({
        kind: "difference",
        whole,
        without: { kind: "difference", whole: reals, without: other },
      }),
      inside(met!),
    );
  }
  const difference = splitAt(tokens, (text) => text === "setminus");
  if (difference.length === 2) {
    return { kind: "difference", whole: inside(difference[0]!), without: inside(difference[1]!) };
  }
  const isNumbers = tokens[0]?.type === "sign" && tokens[0].text.startsWith("mathbb ");
  if (isNumbers && isSign(tokens[1], "-") && isSign(tokens[2], "\\{")) {
    return { kind: "difference", whole: inside(tokens.slice(0, 1)), without: inside(tokens.slice(2)) };
  }
  if (!isNumbers) return undefined;
  const suffix = tokens
    .slice(1)
    .map(({ text }) => text)
    .join("")
    .replace(/[\^{}]/g, "");
  if (!/^[-+*]?$/.test(suffix)) throw new ParseFault("it is no known set of numbers");
  return { kind: "numbers", name: tokens[0]!.text.slice("mathbb ".length) + suffix };
}
