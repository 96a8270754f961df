/** The methods of Python's `str`. */

import { bind, wholeNumber } from "./arguments.ts";
import { TemplateError, UnsupportedTemplateError } from "./errors.ts";
import { isSpace, repeatText, SPACE, stripEnd, stripStart } from "./text.ts";
import {
  codePointLength,
  codePoints,
  isString,
  iterate,
  type Keywords,
  plainText,
  Tuple,
  truth,
  typeName,
  type Value,
} from "./values.ts";

type Method = (text: string, args: readonly Value[], keywords: Keywords) => Value;

// biome-ignore lint/suspicious/noControlCharactersInRegex: Python ends lines at these
const LINE_ENDS = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;

/** The methods that are here, by name. `format` is not: it looks up attributes, as `attributes.ts` does. */
export const STRING_METHODS: Readonly<Record<string, Method>> = {
  capitalize: noArguments("capitalize", capitalize),
  center: (text, args, keywords) => justify("center", text, args, keywords),
  count: (text, args, keywords) => {
    const { part, region } = searched("count", text, args, keywords);
    if (region === undefined) return 0n;
    return part === "" ? BigInt(codePointLength(region.text) + 1) : BigInt(region.text.split(part).length - 1);
  },
  endswith: (text, args, keywords) => startsOrEnds("endswith", text, args, keywords),
  find: (text, args, keywords) => find("find", text, args, keywords, false),
  index: (text, args, keywords) => foundIndex(find("index", text, args, keywords, false)),
  isalnum: noArguments("isalnum", (text) => /^[\p{L}\p{N}]+$/u.test(text)),
  isalpha: noArguments("isalpha", (text) => /^\p{L}+$/u.test(text)),
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII begins with them
  isascii: noArguments("isascii", (text) => /^[\x00-\x7f]*$/.test(text)),
  isdecimal: noArguments("isdecimal", (text) => /^\p{Nd}+$/u.test(text)),
  isdigit: noArguments("isdigit", (text) => {
    if (/\p{No}/u.test(text)) throw new UnsupportedTemplateError("isdigit() of fractions and superscripts");
    return /^\p{Nd}+$/u.test(text);
  }),
  isidentifier: noArguments("isidentifier", (text) => /^[\p{ID_Start}_][\p{ID_Continue}_]*$/u.test(text)),
  islower: noArguments("islower", isLower),
  isnumeric: noArguments("isnumeric", (text) => {
    if (/\p{Script=Han}/u.test(text)) throw new UnsupportedTemplateError("isnumeric() of Chinese characters");
    return /^\p{N}+$/u.test(text);
  }),
  isspace: noArguments("isspace", isSpace),
  isupper: noArguments("isupper", isUpper),
  join: (text, args, keywords) => {
    const [items] = bind("join", ["/items"], args, keywords);
    return Array.from(iterate(items!), (item, i) => {
      if (isString(item)) return plainText(item);
      throw new TemplateError(`sequence item ${i}: expected str instance, ${typeName(item)} found`);
    }).join(text);
  },
  ljust: (text, args, keywords) => justify("ljust", text, args, keywords),
  lower: noArguments("lower", (text) => text.toLowerCase()),
  lstrip: (text, args, keywords) => stripStart(text, characters("lstrip", args, keywords)),
  partition: (text, args, keywords) => {
    const separator = separatorOf("partition", args, keywords);
    const at = text.indexOf(separator);
    return new Tuple(at < 0 ? [text, "", ""] : [text.slice(0, at), separator, text.slice(at + separator.length)]);
  },
  removeprefix: (text, args, keywords) => {
    const prefix = textArgument("removeprefix", bind("removeprefix", ["/prefix"], args, keywords)[0]!);
    return text.startsWith(prefix) ? text.slice(prefix.length) : text;
  },
  removesuffix: (text, args, keywords) => {
    const suffix = textArgument("removesuffix", bind("removesuffix", ["/suffix"], args, keywords)[0]!);
    return suffix !== "" && text.endsWith(suffix) ? text.slice(0, -suffix.length) : text;
  },
  replace: (text, args, keywords) => {
    const [old, replacement, count] = bind("replace", ["/old", "/new", "/count?"], args, keywords);
    return replaceText(
      text,
      textArgument("replace", old!),
      textArgument("replace", replacement!),
      wholeNumber(count, -1),
    );
  },
  rfind: (text, args, keywords) => find("rfind", text, args, keywords, true),
  rindex: (text, args, keywords) => foundIndex(find("rindex", text, args, keywords, true)),
  rjust: (text, args, keywords) => justify("rjust", text, args, keywords),
  rpartition: (text, args, keywords) => {
    const separator = separatorOf("rpartition", args, keywords);
    const at = text.lastIndexOf(separator);
    return new Tuple(at < 0 ? ["", "", text] : [text.slice(0, at), separator, text.slice(at + separator.length)]);
  },
  rsplit: (text, args, keywords) => split("rsplit", text, args, keywords),
  rstrip: (text, args, keywords) => stripEnd(text, characters("rstrip", args, keywords)),
  split: (text, args, keywords) => split("split", text, args, keywords),
  splitlines: (text, args, keywords) => {
    const [keepsEnds] = bind("splitlines", ["keepends?"], args, keywords);
    return splitLines(text, keepsEnds !== undefined && truth(keepsEnds));
  },
  startswith: (text, args, keywords) => startsOrEnds("startswith", text, args, keywords),
  strip: (text, args, keywords) => {
    const set = characters("strip", args, keywords);
    return stripStart(stripEnd(text, set), set);
  },
  title: noArguments("title", titleCase),
  upper: noArguments("upper", (text) => text.toUpperCase()),
  zfill: (text, args, keywords) => {
    const [width] = bind("zfill", ["/width"], args, keywords);
    const missing = wholeNumber(width, 0) - codePointLength(text);
    const sign = /^[-+]/.exec(text)?.[0] ?? "";
    return missing > 0 ? sign + repeatText("0", missing) + text.slice(sign.length) : text;
  },
};

/** Methods of `str` that are not here; asked for, they are refused by name. */
export const OTHER_STRING_METHODS: ReadonlySet<string> = new Set(
  "casefold encode expandtabs format_map isprintable istitle maketrans swapcase translate".split(" "),
);

/** The first letter as in titles, the rest small. */
export function capitalize(text: string): string {
  const [first = "", ...rest] = codePoints(text);
  return titleLetter(first) + rest.join("").toLowerCase();
}

/** `str.islower`: it has small letters and no others. */
export function isLower(text: string): boolean {
  return /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text);
}

/** `str.isupper`: it has capitals and no others. */
export function isUpper(text: string): boolean {
  return /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text);
}

/** `str.replace`; a count below 0 replaces all. */
export function replaceText(text: string, old: string, replacement: string, count: number): string {
  const limit = count < 0 ? Number.POSITIVE_INFINITY : count;
  if (old === "") {
    const points = codePoints(text);
    const gaps = Math.min(limit, points.length + 1);
    return (
      points.map((point, i) => (i < gaps ? replacement + point : point)).join("") +
      (gaps > points.length ? replacement : "")
    );
  }
  const parts = text.split(old);
  if (parts.length - 1 <= limit) return parts.join(replacement);
  return (
    parts
      .slice(0, limit)
      .map((part) => part + replacement)
      .join("") + parts.slice(limit).join(old)
  );
}

/** `str.splitlines`. */
export function splitLines(text: string, keepsEnds = false): string[] {
  const lines: string[] = [];
  let start = 0;
  for (const { 0: end, index } of text.matchAll(LINE_ENDS)) {
    lines.push(text.slice(start, keepsEnds ? index + end.length : index));
    start = index + end.length;
  }
  if (start < text.length) lines.push(text.slice(start));
  return lines;
}

/** `str.center`: of an odd rest the smaller part stands left, unless the width is odd. */
export function center(text: string, width: number, fill = " "): string {
  const missing = width - codePointLength(text);
  if (missing <= 0) return text;
  const left = Math.floor(missing / 2) + (missing & width & 1);
  return repeatText(fill, left) + text + repeatText(fill, missing - left);
}

function noArguments(label: string, compute: (text: string) => Value): Method {
  return (text, args, keywords) => {
    bind(label, [], args, keywords);
    return compute(text);
  };
}

function titleCase(text: string): string {
  return text.replace(/[\p{Lowercase}\p{Uppercase}\p{Lt}]+/gu, capitalize);
}

/** A letter as it stands at the beginning of a title: ǆ becomes ǅ and ß Ss, which are not the capitals. */
function titleLetter(letter: string): string {
  const upper = letter.toUpperCase();
  if (upper === letter || /^[\0-\x7f]$/.test(letter)) return upper;
  if (/[\u01c4-\u01cc\u01f1-\u01f3\u1f80-\u1faf\u1fb3\u1fbc\u1fc3\u1fcc\u1ff3\u1ffc\u10d0-\u10ff]/.test(letter)) {
    throw new UnsupportedTemplateError(`the title case of ${letter}`);
  }
  const [first = "", ...rest] = codePoints(upper);
  return first + rest.join("").toLowerCase();
}

function characters(label: string, args: readonly Value[], keywords: Keywords): string | undefined {
  const [set] = bind(label, ["/characters?"], args, keywords);
  return set === undefined || set === null ? undefined : textArgument(label, set);
}

function textArgument(label: string, value: Value): string {
  if (isString(value)) return plainText(value);
  throw new TemplateError(`${label}() argument must be str, not ${typeName(value)}`);
}

function separatorOf(label: string, args: readonly Value[], keywords: Keywords): string {
  const separator = textArgument(label, bind(label, ["/separator"], args, keywords)[0]!);
  if (separator === "") throw new TemplateError("empty separator");
  return separator;
}

function justify(
  label: "center" | "ljust" | "rjust",
  text: string,
  args: readonly Value[],
  keywords: Keywords,
): string {
  const [width, fill = " "] = bind(label, ["/width", "/fill?"], args, keywords);
  const filler = textArgument(label, fill);
  if (codePointLength(filler) !== 1) throw new TemplateError("The fill character must be exactly one character long");
  const columns = wholeNumber(width, 0);
  if (label === "center") return center(text, columns, filler);
  const padding = repeatText(filler, Math.max(0, columns - codePointLength(text)));
  return label === "ljust" ? text + padding : padding + text;
}

interface Region {
  readonly text: string;
  /** How many characters stand before it. */
  readonly offset: number;
}

/** The arguments (part, start, end) of a search. The region is undefined where it starts beyond the text's end. */
function searched(
  label: string,
  text: string,
  args: readonly Value[],
  keywords: Keywords,
): { part: string; region: Region | undefined } {
  const [part, start, end] = bind(label, ["/sub", "/start?", "/end?"], args, keywords);
  return { part: textArgument(label, part!), region: regionOf(text, start, end) };
}

function regionOf(text: string, start: Value | undefined, end: Value | undefined): Region | undefined {
  const isWhole = (bound: Value | undefined): boolean => bound === undefined || bound === null;
  if (isWhole(start) && isWhole(end)) return { text, offset: 0 };
  const points = codePoints(text);
  const place = (bound: Value | undefined, otherwise: number): number => {
    const index = isWhole(bound) ? otherwise : wholeNumber(bound, 0);
    return index < 0 ? Math.max(0, index + points.length) : index;
  };
  const from = place(start, 0);
  const to = Math.min(place(end, points.length), points.length);
  return from > to ? undefined : { text: points.slice(from, to).join(""), offset: from };
}

function find(label: string, text: string, args: readonly Value[], keywords: Keywords, fromEnd: boolean): bigint {
  const { part, region } = searched(label, text, args, keywords);
  if (region === undefined) return -1n;
  const at = fromEnd ? region.text.lastIndexOf(part) : region.text.indexOf(part);
  return at < 0 ? -1n : BigInt(region.offset + codePointLength(region.text.slice(0, at)));
}

function foundIndex(index: bigint): bigint {
  if (index < 0n) throw new TemplateError("substring not found");
  return index;
}

function startsOrEnds(
  label: "startswith" | "endswith",
  text: string,
  args: readonly Value[],
  keywords: Keywords,
): boolean {
  const [affix, start, end] = bind(label, ["/affix", "/start?", "/end?"], args, keywords);
  const affixes = affix instanceof Tuple ? affix.items : [affix!];
  const region = regionOf(text, start, end);
  return affixes.some((one) => {
    if (!isString(one))
      throw new TemplateError(`${label} first arg must be str or a tuple of str, not ${typeName(one)}`);
    if (region === undefined) return false;
    return label === "startswith" ? region.text.startsWith(plainText(one)) : region.text.endsWith(plainText(one));
  });
}

function split(label: "split" | "rsplit", text: string, args: readonly Value[], keywords: Keywords): string[] {
  const [separator = null, most] = bind(label, ["sep?", "maxsplit?"], args, keywords);
  const count = wholeNumber(most, -1);
  const limit = count < 0 ? Number.POSITIVE_INFINITY : count;
  const isFromEnd = label === "rsplit";
  if (separator === null) return splitAtSpace(text, limit, isFromEnd);
  const mark = textArgument(label, separator);
  if (mark === "") throw new TemplateError("empty separator");
  return isFromEnd ? splitFromEnd(text, mark, limit) : splitFromStart(text, mark, limit);
}

function splitFromStart(text: string, mark: string, limit: number): string[] {
  const parts = text.split(mark);
  if (parts.length - 1 <= limit) return parts;
  return [...parts.slice(0, limit), parts.slice(limit).join(mark)];
}

/** From the end, where marks that overlap (`aaa` by `aa`) are cut otherwise. */
function splitFromEnd(text: string, mark: string, limit: number): string[] {
  const parts: string[] = [];
  let end = text.length;
  while (parts.length < limit) {
    const at = end < mark.length ? -1 : text.lastIndexOf(mark, end - mark.length);
    if (at < 0) break;
    parts.unshift(text.slice(at + mark.length, end));
    end = at;
  }
  return [text.slice(0, end), ...parts];
}

const WORD = new RegExp(`[^${SPACE}]+`, "g");

/** At runs of white space; what lies beyond the limit keeps its white space, but for that at the text's own edge. */
function splitAtSpace(text: string, limit: number, isFromEnd: boolean): string[] {
  const words = [...text.matchAll(WORD)];
  if (words.length - 1 < limit || words.length === 0) return words.map(([word]) => word);
  if (isFromEnd) {
    const kept = limit === 0 ? [] : words.slice(-limit);
    const last = words[words.length - kept.length - 1]!;
    return [text.slice(0, last.index + last[0].length), ...kept.map(([word]) => word)];
  }
  return [...words.slice(0, limit).map(([word]) => word), text.slice(words[limit]!.index)];
}
