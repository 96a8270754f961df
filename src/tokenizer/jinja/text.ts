/** Values as text, as Python's `str` and `repr` have them, and Python's notions of white space and line ends. */

import { TemplateError, UnsupportedTemplateError } from "./errors.ts";
import {
  Callable,
  codePoints,
  Dict,
  DictView,
  Generator,
  isList,
  isString,
  Markup,
  Namespace,
  plainText,
  Range,
  TemplateObject,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** The characters for which `str.isspace` is true, as the inside of a character class. JavaScript's `\s` has other ones. */
export const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

const LEADING_SPACE = new RegExp(`^[${SPACE}]+`);
const ALL_SPACE = new RegExp(`^[${SPACE}]+$`);

/** No text that a template builds may be longer, in UTF-16 units. */
const LONGEST_TEXT = 2 ** 26;

/** `str.isspace`. */
export function isSpace(text: string): boolean {
  return ALL_SPACE.test(text);
}

/** `str.lstrip`, of white space or of any of these characters. */
export function stripStart(text: string, characters?: string): string {
  if (characters === undefined) return text.replace(LEADING_SPACE, "");
  const set = new Set(characters);
  let start = 0;
  for (const character of text) {
    if (!set.has(character)) break;
    start += character.length;
  }
  return text.slice(start);
}

/** `str.rstrip`, of white space or of any of these characters. */
export function stripEnd(text: string, characters?: string): string {
  if (characters === undefined) {
    // From the end: a pattern `…+$` would search from every space of the text.
    let end = text.length;
    while (end > 0 && ALL_SPACE.test(text[end - 1]!)) end--;
    return text.slice(0, end);
  }
  const set = new Set(characters);
  const all = codePoints(text);
  while (all.length > 0 && set.has(all.at(-1)!)) all.pop();
  return all.join("");
}

/** Throws TemplateError for a text that is too long to be a prompt. */
export function checkLength(text: string): string {
  if (text.length > LONGEST_TEXT) throw new TemplateError(`a text of more than ${LONGEST_TEXT} characters`);
  return text;
}

/** A text repeated, refused before it is built where it would be too long. */
export function repeatText(text: string, count: number): string {
  if (text.length * count > LONGEST_TEXT) throw new TemplateError(`a text of more than ${LONGEST_TEXT} characters`);
  return text.repeat(Math.max(0, count));
}

/** Python's `str(value)`: what `{{ value }}` prints. */
export function toText(value: Value): string {
  if (isString(value)) return plainText(value);
  if (value instanceof Undefined) return "";
  return toRepr(value);
}

/** Python's `repr(value)`: how a value stands in a printed list. */
export function toRepr(value: Value): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "bigint") return wholeNumberText(value);
  if (typeof value === "number") return floatText(value);
  if (typeof value === "string") return quoted(value);
  if (isList(value)) return `[${value.map(toRepr).join(", ")}]`;
  if (value instanceof Markup) return `Markup(${quoted(value.text)})`;
  if (value instanceof Tuple) {
    return value.items.length === 1 ? `(${toRepr(value.items[0]!)},)` : `(${value.items.map(toRepr).join(", ")})`;
  }
  if (value instanceof Dict) {
    return `{${value
      .entries()
      .map(([key, item]) => `${toRepr(key)}: ${toRepr(item)}`)
      .join(", ")}}`;
  }
  if (value instanceof DictView) return `${value.typeName}([${value.items.map(toRepr).join(", ")}])`;
  if (value instanceof Range) {
    const step = value.step === 1n ? "" : `, ${value.step}`;
    return `range(${value.start}, ${value.stop}${step})`;
  }
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Namespace) return `<Namespace ${toRepr(new Dict(value.attributes))}>`;
  if (value instanceof Generator || value instanceof Callable || value instanceof TemplateObject) {
    throw new UnsupportedTemplateError(`printing a ${typeName(value)}, whose text in Python is an address in memory`);
  }
  throw new TypeError("a value of no known type");
}

/** A float's `repr`: the shortest digits that give it back, with an exponent outside 1e-4 … 1e16. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  if (Object.is(value, -0)) return "-0.0";
  if (value === 0) return "0.0";
  const [mantissa, exponentText] = value.toExponential().split("e") as [string, string];
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16) {
    const sign = exponent < 0 ? "-" : "+";
    return `${mantissa}e${sign}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  const digits = mantissa.replace(/[-.]/g, "");
  const sign = value < 0 ? "-" : "";
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${sign}${whole}.${digits.slice(exponent + 1) || "0"}`;
}

/** Python refuses to write longer whole numbers. */
const MOST_DIGITS = 4300;

function wholeNumberText(value: bigint): string {
  const text = value.toString();
  if (text.length > MOST_DIGITS + (value < 0n ? 1 : 0)) {
    throw new TemplateError(`Exceeds the limit (${MOST_DIGITS} digits) for integer string conversion`);
  }
  return text;
}

const SHORT_ESCAPES: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Not printable to Python: control and format characters, surrogates, unassigned ones, and all spaces but one. */
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}\p{Zs}]/u;

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let body = "";
  for (const character of text) {
    const short = SHORT_ESCAPES[character];
    if (short !== undefined) body += short;
    else if (character === quote) body += `\\${character}`;
    else if (character !== " " && UNPRINTABLE.test(character)) body += escapedCodePoint(character.codePointAt(0)!);
    else body += character;
  }
  return quote + body + quote;
}

function escapedCodePoint(codePoint: number): string {
  const hex = codePoint.toString(16);
  if (codePoint <= 0xff) return `\\x${hex.padStart(2, "0")}`;
  return codePoint <= 0xffff ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
}
