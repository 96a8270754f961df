/** `tojson` as transformers defines it: Python's `json.dumps`, which by default keeps characters as they are. */

import { bind, wholeNumber } from "./arguments.ts";
import { TemplateError, UnsupportedTemplateError } from "./errors.ts";
import { floatText, toText } from "./text.ts";
import {
  Dict,
  isList,
  isNumber,
  isString,
  type Keywords,
  plainText,
  sorted,
  Tuple,
  truth,
  typeName,
  type Value,
} from "./values.ts";

interface JsonStyle {
  /** Written once for each level; undefined keeps all on one line. */
  readonly indent: string | undefined;
  readonly itemSeparator: string;
  readonly keySeparator: string;
  readonly asciiOnly: boolean;
  readonly sortKeys: boolean;
}

/** The filter `tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`. */
export function toJson(value: Value, args: readonly Value[], keywords: Keywords): string {
  const names = ["ensure_ascii?", "indent?", "separators?", "sort_keys?"];
  const [ensureAscii = false, indent = null, separators = null, sortKeys = false] = bind(
    "tojson",
    names,
    args,
    keywords,
  );
  const isIndented = indent !== null;
  const [itemSeparator, keySeparator] = separators === null ? [isIndented ? "," : ", ", ": "] : pairOf(separators);
  return write(value, "\n", {
    indent: !isIndented ? undefined : isString(indent) ? plainText(indent) : " ".repeat(wholeNumber(indent, 0)),
    itemSeparator,
    keySeparator,
    asciiOnly: truth(ensureAscii),
    sortKeys: truth(sortKeys),
  });
}

/** `lineStart` begins a line at the level of `value`: a line end and the indents of the levels above. */
function write(value: Value, lineStart: string, style: JsonStyle): string {
  if (value === null) return "null";
  if (isString(value)) return quoted(plainText(value), style.asciiOnly);
  if (isNumber(value)) return numberText(value);
  const items = isList(value) ? value : value instanceof Tuple ? value.items : undefined;
  const inner = lineStart + (style.indent ?? "");
  if (items !== undefined) {
    return enclose(
      "[",
      "]",
      items.map((item) => write(item, inner, style)),
      lineStart,
      style,
    );
  }
  if (value instanceof Dict) {
    const entries = style.sortKeys ? sorted(value.entries(), ([key]) => key, false) : value.entries();
    const members = entries.map(
      ([key, item]) => quoted(keyText(key), style.asciiOnly) + style.keySeparator + write(item, inner, style),
    );
    return enclose("{", "}", members, lineStart, style);
  }
  throw new TemplateError(`Object of type ${typeName(value)} is not JSON serializable`);
}

function enclose(open: string, close: string, parts: readonly string[], lineStart: string, style: JsonStyle): string {
  if (parts.length === 0) return open + close;
  const { indent, itemSeparator } = style;
  if (indent === undefined) return open + parts.join(itemSeparator) + close;
  return open + lineStart + indent + parts.join(itemSeparator + lineStart + indent) + lineStart + close;
}

function pairOf(separators: Value): [string, string] {
  const items = isList(separators) ? separators : separators instanceof Tuple ? separators.items : [];
  const [item, key] = items;
  if (items.length !== 2 || !isString(item!) || !isString(key!)) {
    throw new UnsupportedTemplateError("separators of tojson that are not two texts");
  }
  return [plainText(item), plainText(key)];
}

function numberText(value: boolean | bigint | number): string {
  if (typeof value === "boolean") return value ? "true" : "false";
  if (typeof value === "bigint") return toText(value);
  if (Number.isNaN(value)) return "NaN";
  return Number.isFinite(value) ? floatText(value) : value < 0 ? "-Infinity" : "Infinity";
}

function keyText(key: Value): string {
  if (isString(key)) return plainText(key);
  if (key === null) return "null";
  if (isNumber(key)) return numberText(key);
  throw new TemplateError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\f": "\\f",
  "\b": "\\b",
};

function quoted(text: string, asciiOnly: boolean): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes exactly these
  const pattern = asciiOnly ? /["\\]|[^ -~]/g : /["\\\u0000-\u001f]/g;
  const escaped = (unit: string): string => ESCAPES[unit] ?? `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return `"${text.replace(pattern, escaped)}"`;
}
