/**
 * A formula with what may stand around it: a sign of percent or currency, a unit, the base of a numeral. `±` becomes two
 * values.
 */

import { parseFormula } from "./parse.ts";
import { ParseFault } from "./signs.ts";
import { type AnswerToken, isFunction } from "./tokens.ts";
import { type Answer, hasPart, type Node } from "./tree.ts";
import { isUnitWord, LETTER_UNITS, readUnit } from "./units.ts";
import { numberOfWords } from "./words.ts";

const isSign = (token: AnswerToken | undefined, text: string): boolean => token?.type === "sign" && token.text === text;

/** Words that make of "5 or more" no measure. */
const HEDGES = new Set("or and not any all none other but if when unless maybe except than more less every".split(" "));

/** The value of these signs with its percent sign or unit. @throws ParseFault */
export function readQuantity(tokens: readonly AnswerToken[]): Answer {
  let [start, end] = [0, tokens.length];
  let phrase = "";
  const currency = tokens.findIndex(({ type, text }) => type === "sign" && ["dollar", "euro", "pounds"].includes(text));
  if (currency === 0 || (currency === 1 && isSign(tokens[0], "-"))) {
    // Of a sum of amounts, `\dollar 20 + \dollar 10`, every sign but others.
    const { text: name } = tokens[currency]!;
    const isSum = tokens.some((token, i) => i > currency && isSign(token, name) && /^[-+*]$/.test(tokens[i - 1]!.text));
    const rest = tokens.filter((token, i) => i !== currency && !(isSum && isSign(token, name)));
    if (rest.some((token) => isSign(token, name))) throw new ParseFault("it has two amounts in it");
    const answer = readQuantity(rest);
    if (answer.kind !== "expression") return answer;
    const unit = answer.unit ?? readUnit(tokens[currency]!.text);
    return unit ? { ...answer, unit } : answer;
  }
  if (currency === end - 1 && end > 1) {
    phrase = tokens[currency]!.text;
    end--;
  }
  const based = readBase(tokens);
  if (based) return based;
  const last = tokens[end - 1]!;
  const isPercent =
    end > 1 &&
    (isSign(last, "%") || (last.type !== "sign" && /^\s*(?:percent|per cent|percentage|pct)\s*$/i.test(last.text)));
  if (isPercent) end--;
  else if (phrase === "") {
    const from = unitStart(tokens);
    phrase = tokens
      .slice(from)
      .map(({ text, spaced }) => (spaced ? ` ${text}` : text))
      .join("")
      .replace(/\^\{?circ\}?|degree(?!s)/g, " degree ");
    end = from;
  }
  if (
    phrase
      .toLowerCase()
      .split(/[^a-z]+/)
      .some((word) => HEDGES.has(word))
  )
    throw new ParseFault("it says more than one thing");
  const node = parseFormula(tokens.slice(start, end));
  const unit = readUnit(phrase);
  const about = { ...(isPercent ? { percent: true } : {}), ...(unit ? { unit } : {}) };
  const signs = hasPart(node, ({ kind, ...part }) => kind === "apply" && isEitherSign((part as { name: string }).name));
  if (!signs) return { kind: "expression", node, ...about };
  const items = [true, false].map((upper): Answer => ({ kind: "expression", node: chooseSign(node, upper), ...about }));
  return { kind: "list", items };
}

const isEitherSign = (name: string) => name === "plusminus" || name === "minusplus";

/** The expression with every ± as + (and ∓ as −), or the other way around. */
function chooseSign(node: Node, upper: boolean): Node {
  if (node.kind !== "apply") return node;
  const args = node.args.map((arg) => chooseSign(arg, upper));
  if (!isEitherSign(node.name)) return { ...node, args };
  return { kind: "apply", name: (node.name === "plusminus") === upper ? "add" : "subtract", args };
}

/** `1011_2`, `(1011)_{\text{two}}`, `2F_{16}`: digits with their base as a unit; digits beyond 9 make it a name. */
function readBase(tokens: readonly AnswerToken[]): Answer | undefined {
  const bar = tokens.findIndex((token) => isSign(token, "_"));
  const digits = tokens
    .slice(0, Math.max(0, bar))
    .map(({ text }) => text)
    .join("")
    .replace(/^\((.*)\)$/, "$1");
  if (!/^(?=.*\d)[\dA-Z]+$/.test(digits)) return undefined;
  const base = tokens
    .slice(bar + 1)
    .map(({ text }) => text)
    .join("")
    .replace(/[{}]/g, "")
    .replace(/^base/, "")
    .trim();
  const named = numberOfWords(base);
  const number = named === undefined ? base : String(named.numerator);
  const isNumeral = /^\d+$/.test(digits);
  if (!/^\d{1,2}$/.test(number)) {
    if (!isNumeral) return undefined;
    throw new ParseFault("its base is no number");
  }
  if (!isNumeral && Number(number) <= 10) return undefined;
  const node: Node = isNumeral
    ? parseFormula([{ type: "number", text: digits, spaced: false }])
    : { kind: "symbol", name: digits };
  return { kind: "expression", node, unit: { words: [`base ${number}`] } };
}

/** Chinese counts things without a space: 42个. */
const HAN = /^\p{Script=Han}/u;

/** `S_{ABC}`: what stands below the name is no unit. */
function closesSubscript(tokens: readonly AnswerToken[], close: number): boolean {
  for (let i = close - 1, depth = 1; i > 0; i--) {
    if (isSign(tokens[i], "}")) depth++;
    if (isSign(tokens[i], "{") && --depth === 0) return isSign(tokens[i - 1], "_");
  }
  return false;
}

/** Where the unit at the end begins; the number of signs where there is none. */
function unitStart(tokens: readonly AnswerToken[]): number {
  const hasFunction = tokens.slice(0, -1).some(({ type, text }) => type === "name" && text.length > 2);
  let from = tokens.length;
  const [value, unit, slash, time] = tokens.slice(-4);
  const isRate = value?.type === "number" && isSign(slash, "/") && LETTER_UNITS.has(time!.text) && unit!.spaced;
  if (isRate && (LETTER_UNITS.has(unit!.text) || isUnitWord(unit!.text))) return from - 3;
  for (let i = tokens.length - 1; i > 0; i--) {
    const token = tokens[i]!;
    const { type, text, spaced } = token;
    if (type === "text" && /[A-Za-z]/.test(text)) from = i;
    // cos BAC: the angle of a triangle is no unit.
    else if (type === "word" && tokens[i - 1]!.type === "name" && isFunction(tokens[i - 1]!.text)) break;
    // The function min takes something; minutes stand last.
    else if (type === "name" && text === "min" && i === tokens.length - 1) from = i;
    else if (isSign(token, "}") && closesSubscript(tokens, i)) break;
    else if (type === "word" && (isUnitWord(text) || (spaced && (text.length > 2 || text === "sq")) || HAN.test(text)))
      from = i;
    else if (type === "word" && from === tokens.length && isUnitWord(text)) from = i;
    else if (
      type === "name" &&
      LETTER_UNITS.has(text) &&
      (spaced || from < tokens.length) &&
      tokens[i - 1]!.type === "number"
    )
      from = i;
    else if (isSign(token, "degree")) from = hasFunction ? from : i;
    else if (isSign(token, "^") && (isSign(tokens[i + 1], "circ") || isSign(tokens[i + 2], "circ"))) {
      if (hasFunction) break;
      from = i;
    } else if (
      type === "number"
        ? !isSign(tokens[i - 1], "^") && !isSign(tokens[i - 1], "{")
        : !["^", "{", "}", "circ", "/"].includes(text)
    )
      break;
  }
  return from;
}
