/**
 * Sets of real numbers in words: "the open interval from 1 to 3", "x is between 1 and 3, inclusive", "all real numbers
 * greater than 2", "all real numbers except 1 and 2".
 */

import { type Answer, apply, type RelationName, symbolsOf } from "./tree.ts";

type Read = (text: string) => { readonly answer: Answer } | { readonly fault: string };

/** Words of a cleaned text around its values: `\text{…}` and articles do not count. */
const bare = (cleaned: string): string =>
  cleaned
    .replace(/\\text\s*\{([^{}]*)\}/g, " $1 ")
    .replace(/\s+/g, " ")
    .replace(/\b(?:the|a|an)\s/gi, "")
    .trim();

const SUBJECT = String.raw`(?:(?:set of )?(?:all )?(?:real )?(?:numbers?|values?|reals?)(?: of)? ?(?:\$?([a-z])\$? )?|all (?:real )?([a-z]) |(?:we need )?([a-z]) )(?:such that |where |with )?(?:([a-z]) )?(?:(?:is|are|lies|lie|that are|must be|can be) )?(?:strictly )?`;
const INTERVAL =
  /^(?:(?:on|in|over|all numbers in|all [a-z] in) )?(?:(open|closed) |half-open )?interval (?:from |between )?(\S.*)$/i;
const BETWEEN = new RegExp(
  `^(?:${SUBJECT})?(?:between|from) (\\S.{0,80}?) (?:and|to) (\\S.{0,80}?)(?:,? ?\\(?(inclusive|exclusive|both included|both excluded)\\)?)?$`,
  "i",
);
const BOUNDED = new RegExp(
  `^${SUBJECT}(greater than or equal to|less than or equal to|no less than|not less than|no more than|not more than|no greater than|at least|at most|greater than|more than|larger than|bigger than|less than|smaller than|not equal to) (\\S.{0,80})$`,
  "i",
);
const EXCEPT =
  /^(?:set of )?all (?:real numbers?|reals?|real values?|numbers?|real [a-z]|[a-z])(?: [a-z])? ?(?:,? ?except(?: for)?|other than|but|excluding|not equal to|different from|without) (\S.{0,120})$/i;

const RELATIONS: Readonly<Record<string, RelationName>> = {
  "greater than": ">",
  "more than": ">",
  "larger than": ">",
  "bigger than": ">",
  "less than": "<",
  "smaller than": "<",
  "not equal to": "!=",
};

/** The set that a cleaned text names in words; undefined where it names none. */
export function readIntervalWords(cleaned: string, read: Read): Answer | undefined {
  if (cleaned.length > 200 || !/[A-Za-z]{3}/.test(cleaned)) return undefined;
  const text = bare(cleaned);
  return readInterval(text, read) ?? readExcept(text, read) ?? readBetween(text, read) ?? readBounded(text, read);
}

function readInterval(text: string, read: Read): Answer | undefined {
  const [, kind, rest] = INTERVAL.exec(text) ?? [];
  if (rest === undefined) return undefined;
  const written = answerOf(rest, read);
  if (written?.kind === "tuple" && written.items.length === 2) return { ...written, isInterval: true };
  const [low, high] = rest.split(/ (?:and|to) /).map((end) => numberOf(end, read));
  if (!low || !high || kind === undefined) return undefined;
  const [open, close] = kind.toLowerCase() === "open" ? (["(", ")"] as const) : (["[", "]"] as const);
  return { kind: "tuple", open, close, items: [low, high], isInterval: true };
}

function readExcept(text: string, read: Read): Answer | undefined {
  const points = EXCEPT.exec(text)?.[1];
  const taken = points === undefined ? undefined : answerOf(points, read);
  if (taken === undefined) return undefined;
  const items = taken.kind === "list" || taken.kind === "set" ? taken.items : [taken];
  const values = items.map((item) => (item.kind === "relation" ? item.sides.at(-1)! : item));
  if (!values.every(({ kind }) => kind === "expression")) return undefined;
  return { kind: "difference", whole: { kind: "numbers", name: "R" }, without: { kind: "set", items: values } };
}

/** Without a word about the ends they do not belong to it. */
function readBetween(text: string, read: Read): Answer | undefined {
  const found = BETWEEN.exec(text);
  if (!found) return undefined;
  const [low, high] = [numberOf(found[5]!, read), numberOf(found[6]!, read)];
  if (!low || !high) return undefined;
  const relation = /inclu/i.test(found[7] ?? "") ? "<=" : "<";
  return named({ kind: "relation", relations: [relation, relation], sides: [low, symbolOf(found), high] }, found);
}

function readBounded(text: string, read: Read): Answer | undefined {
  const found = BOUNDED.exec(text);
  const bound = found ? numberOf(found[6]!, read) : undefined;
  if (!found || !bound) return undefined;
  const words = found[5]!.toLowerCase();
  const isAtLeast = /^(?:at least|no less|not less|greater than or)/.test(words);
  const relation = RELATIONS[words] ?? (isAtLeast ? ">=" : "<=");
  return named({ kind: "relation", relations: [relation], sides: [symbolOf(found), bound] }, found);
}

const nameIn = (found: RegExpExecArray): string | undefined => found.slice(1, 5).find((name) => name !== undefined);

const symbolOf = (found: RegExpExecArray): Answer => ({
  kind: "expression",
  node: { kind: "symbol", name: nameIn(found) ?? "x" },
});

/** Where no symbol is named, any will do. */
const named = (relation: Answer & { kind: "relation" }, found: RegExpExecArray): Answer =>
  nameIn(found) === undefined ? { ...relation, bound: "x" } : relation;

function answerOf(text: string, read: Read): Answer | undefined {
  const reading = read(text);
  return "answer" in reading ? reading.answer : undefined;
}

/** A number, with the sign of an endless bound. */
function numberOf(text: string, read: Read): Answer | undefined {
  const endless = /^(negative |minus |-)?infinity$/i.exec(text.trim());
  if (endless) {
    const infinity = { kind: "constant", name: "infinity" } as const;
    return { kind: "expression", node: endless[1] ? apply("negate", infinity) : infinity };
  }
  const answer = answerOf(text, read);
  const isValue = answer?.kind === "expression" && !answer.unit && !answer.percent;
  // Words read as products of letters are no bound.
  return isValue && symbolsOf(answer.node).length < 2 ? answer : undefined;
}
