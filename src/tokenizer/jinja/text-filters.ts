/** Jinja2's filters on texts. Text that was marked as safe stays marked where Jinja2 keeps it so. */

import { bind, wholeNumber } from "./arguments.ts";
import { TemplateError, UnsupportedTemplateError } from "./errors.ts";
import { formatPercent } from "./format.ts";
import { toJson } from "./json.ts";
import { absolute, fileSize, roundNumber, toFloat, toInt } from "./numbers.ts";
import { escapeText } from "./operators.ts";
import { capitalize, center, replaceText, splitLines } from "./string-methods.ts";
import { SPACE, stripEnd, stripStart, toText } from "./text.ts";
import {
  codePointLength,
  codePoints,
  Dict,
  isString,
  iterate,
  type Keywords,
  Markup,
  plainText,
  Tuple,
  truth,
  tryIterate,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

export type TemplateFilter = (value: Value, args: readonly Value[], keywords: Keywords) => Value;

export const TEXT_FILTERS: Readonly<Record<string, TemplateFilter>> = {
  abs: absolute,
  capitalize: textFilter("capitalize", [], capitalize),
  center: textFilter("center", ["width?"], (text, width) => center(text, wholeNumber(width, 80))),
  e: escapeFilter,
  escape: escapeFilter,
  filesizeformat: fileSize,
  float: toFloat,
  forceescape: (value, args, keywords) => {
    bind("forceescape", [], args, keywords);
    return escapeText(toText(value));
  },
  format: (value, args, keywords) => {
    if (args.length > 0 && keywords.size > 0) {
      throw new TemplateError("can't handle positional and keyword arguments at the same time");
    }
    return formatPercent(textOf(value), keywords.size > 0 ? new Dict(keywords) : new Tuple(args));
  },
  indent: (value, args, keywords) => {
    if (value instanceof Undefined) value.fail();
    if (!isString(value))
      throw new TemplateError(`indent: unsupported operand type(s) for +=: '${typeName(value)}' and 'str'`);
    return textFilter("indent", ["width?", "first?", "blank?"], indent)(value, args, keywords);
  },
  int: toInt,
  lower: textFilter("lower", [], (text) => text.toLowerCase()),
  replace: (value, args, keywords) => {
    const [old, replacement, count] = bind("replace", ["old", "new", "count?"], args, keywords);
    return replaceText(toText(value), toText(old!), toText(replacement!), count === null ? -1 : wholeNumber(count, -1));
  },
  round: roundNumber,
  safe: (value, args, keywords) => {
    bind("safe", [], args, keywords);
    return new Markup(toText(value));
  },
  string: textFilter("string", [], (text) => text),
  title: textFilter("title", [], title),
  tojson: toJson,
  trim: textFilter("trim", ["chars?"], (text, characters) => {
    const set = characters === undefined || characters === null ? undefined : requireText("trim", characters);
    return stripStart(stripEnd(text, set), set);
  }),
  truncate,
  upper: textFilter("upper", [], (text) => text.toUpperCase()),
  urlencode,
  wordcount: (value, args, keywords) => {
    bind("wordcount", [], args, keywords);
    return BigInt(toText(value).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0);
  },
};

/** A filter that takes any value as text and keeps its mark. */
function textFilter(
  label: string,
  parameters: readonly string[],
  compute: (text: string, ...args: (Value | undefined)[]) => string,
): TemplateFilter {
  return (value, args, keywords) => {
    const computed = compute(toText(value), ...bind(label, parameters, args, keywords));
    return value instanceof Markup ? new Markup(computed) : computed;
  };
}

function textOf(value: Value): string | Markup {
  return isString(value) ? value : toText(value);
}

function requireText(label: string, value: Value): string {
  if (isString(value)) return plainText(value);
  throw new TemplateError(`${label} arg must be None or str`);
}

function escapeFilter(value: Value, args: readonly Value[], keywords: Keywords): Value {
  bind("escape", [], args, keywords);
  return escapeText(textOf(value));
}

const WORD_BEGINNING = new RegExp(`([-${SPACE}({\\[<]+)`);

function title(text: string): string {
  return text
    .split(WORD_BEGINNING)
    .map((word) => {
      const [first = "", ...rest] = codePoints(word);
      return first.toUpperCase() + rest.join("").toLowerCase();
    })
    .join("");
}

function indent(text: string, width?: Value, first: Value = false, blank: Value = false): string {
  const indention = width !== undefined && isString(width) ? plainText(width) : " ".repeat(wholeNumber(width, 4));
  const lines = splitLines(`${text}\n`);
  const indented = lines
    .map((line, i) => (i > 0 && (line !== "" || truth(blank)) ? indention + line : line))
    .join("\n");
  return truth(first) ? indention + indented : indented;
}

function truncate(value: Value, args: readonly Value[], keywords: Keywords): Value {
  const names = ["length?", "killwords?", "end?", "leeway?"];
  const [length, killsWords = false, end = "...", leeway] = bind("truncate", names, args, keywords);
  if (typeof value !== "string") throw new UnsupportedTemplateError("truncate of what is no plain text");
  const most = wholeNumber(length, 255);
  const ending = requireText("truncate", end);
  const slack = leeway === null ? 5 : wholeNumber(leeway, 5);
  if (most < codePointLength(ending) || slack < 0) throw new TemplateError("truncate: the length is too small");
  const characters = codePoints(value);
  if (characters.length <= most + slack) return value;
  const kept = characters.slice(0, most - codePointLength(ending)).join("");
  if (truth(killsWords)) return kept + ending;
  const space = kept.lastIndexOf(" ");
  return (space < 0 ? kept : kept.slice(0, space)) + ending;
}

function urlencode(value: Value, args: readonly Value[], keywords: Keywords): Value {
  bind("urlencode", [], args, keywords);
  if (isString(value) || tryIterate(value) === undefined) return quote(toText(value), true);
  const pairs = value instanceof Dict ? value.entries() : Array.from(iterate(value), (pair) => [...iterate(pair)]);
  return pairs.map(([key, item]) => `${quote(toText(key!), false)}=${quote(toText(item!), false)}`).join("&");
}

/** Bytes of UTF-8 other than letters, digits and `_.-~` as %XX; slashes stay in a path, spaces are + in a query. */
function quote(text: string, isPath: boolean): string {
  let quoted = "";
  for (const byte of new TextEncoder().encode(text)) {
    const character = String.fromCharCode(byte);
    const isPlain = byte < 0x80 && /[A-Za-z0-9_.~-]/.test(character);
    if (isPlain || (isPath && character === "/")) quoted += character;
    else if (!isPath && character === " ") quoted += "+";
    else quoted += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return quoted;
}
