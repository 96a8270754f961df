/**
 * Python's two ways of formatting texts, `"%s" % value` and `"{}".format(value)`: the conversions that templates use.
 * Others are refused by name.
 */

import { TemplateError, UnsupportedTemplateError } from "./errors.ts";
import { fixedMagnitude } from "./floats.ts";
import { floatText, repeatText, toRepr, toText } from "./text.ts";
import {
  codePointLength,
  Dict,
  isList,
  isNumber,
  isString,
  type Keywords,
  Markup,
  numeric,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

interface Layout {
  readonly fill: string;
  readonly align: string;
  readonly width: number;
}

const PERCENT = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+))?[hlL]?(.)?/gs;

/** `format % values`. */
export function formatPercent(format: string | Markup, values: Value): string {
  if (format instanceof Markup) throw new UnsupportedTemplateError("formatting marked text");
  const items = values instanceof Tuple ? values.items : [values];
  let taken = 0;
  let usesNames = false;
  const text = format.replace(PERCENT, (whole, name, flags: string, width, precision, conversion) => {
    if (conversion === undefined) throw new TemplateError("incomplete format");
    if (conversion === "%") return "%";
    if (width === "*" || precision === "*") throw new UnsupportedTemplateError(`the format ${whole}`);
    let value: Value | undefined;
    if (name !== undefined) {
      if (!(values instanceof Dict)) throw new TemplateError("format requires a mapping");
      usesNames = true;
      value = values.get(name);
      if (value === undefined) throw new TemplateError(`no key ${JSON.stringify(name)} for the format`);
    } else {
      if (taken >= items.length) throw new TemplateError("not enough arguments for format string");
      value = items[taken++]!;
    }
    const isNumeric = !"srac".includes(conversion);
    const body = percentText(value, conversion, flags, precision === undefined ? undefined : Number(precision), whole);
    const align = flags.includes("-") ? "<" : isNumeric && flags.includes("0") ? "=" : ">";
    return pad(body, { fill: align === "=" ? "0" : " ", align, width: Number(width ?? 0) });
  });
  const isUnused =
    taken < items.length && !usesNames && (values instanceof Tuple || !(values instanceof Dict || isList(values)));
  if (isUnused) throw new TemplateError("not all arguments converted during string formatting");
  return text;
}

function percentText(
  value: Value,
  conversion: string,
  flags: string,
  precision: number | undefined,
  whole: string,
): string {
  if (flags.includes("#")) throw new UnsupportedTemplateError(`the format ${whole}`);
  const sign = flags.includes("+") ? "+" : flags.includes(" ") ? " " : "-";
  switch (conversion) {
    case "s":
      return cut(toText(value), precision);
    case "r":
      return cut(toRepr(value), precision);
    case "d":
    case "i":
    case "u":
      if (precision !== undefined) break;
      return wholeText(value, 10, sign, whole, true);
    case "x":
    case "X":
    case "o": {
      if (precision !== undefined) break;
      const text = wholeText(value, conversion === "o" ? 8 : 16, sign, whole, false);
      return conversion === "X" ? text.toUpperCase() : text;
    }
    case "f":
    case "F":
      return fixedText(value, precision ?? 6, sign, whole);
  }
  throw new UnsupportedTemplateError(`the format ${whole}`);
}

/** `format.format(*args, **keywords)`. `attributeOf` and `itemOf` follow a field's path. */
export function formatBraces(
  format: string,
  args: readonly Value[],
  keywords: Keywords,
  access: { attributeOf: (object: Value, name: string) => Value; itemOf: (object: Value, index: Value) => Value },
): string {
  let automatic = 0;
  return format.replace(/\{\{|\}\}|\{([^{}]*)\}|[{}]/g, (whole, field: string | undefined) => {
    if (whole === "{{" || whole === "}}") return whole[0]!;
    if (field === undefined) throw new UnsupportedTemplateError("format strings with braces inside braces");
    const parts = /^([^!:[.]*)((?:\.[^.[!:]+|\[[^\]]*\])*)(?:!([a-z]))?(?::(.*))?$/s.exec(field);
    if (parts === null) throw new UnsupportedTemplateError(`the format field {${field}}`);
    const [, name, path, conversion, layout = ""] = parts;
    const isNumbered = /^\d*$/.test(name!);
    let value = isNumbered ? args[name === "" ? automatic++ : Number(name)] : keywords.get(name!);
    if (value === undefined) throw new TemplateError(`there is no argument for the format field {${field}}`);
    for (const [step, attribute, index] of path!.matchAll(/\.([^.[]+)|\[([^\]]*)\]/g)) {
      if (attribute !== undefined) value = access.attributeOf(value, attribute);
      else if (index !== undefined) value = access.itemOf(value, /^\d+$/.test(index) ? BigInt(index) : index);
      else throw new UnsupportedTemplateError(`the format field ${step}`);
    }
    if (conversion === "s") value = toText(value);
    else if (conversion === "r") value = toRepr(value);
    else if (conversion !== undefined) throw new UnsupportedTemplateError(`the conversion !${conversion}`);
    return formatValue(value, layout);
  });
}

/** Python's `format(value, layout)`. */
function formatValue(value: Value, layout: string): string {
  if (layout === "") return toText(value);
  const parts = /^(?:(.)?([<>=^]))?([-+ ])?(0)?(\d+)?(,)?(?:\.(\d+))?([a-zA-Z%])?$/su.exec(layout);
  if (parts === null) throw new UnsupportedTemplateError(`the format ${layout}`);
  const [, fill, align, sign = "-", zero, width = "0", comma, precision, type] = parts;
  const isText = isString(value);
  if (!isText && !isNumber(value)) {
    throw new TemplateError(`unsupported format string passed to ${typeName(value)}.__format__`);
  }
  const digits = precision === undefined ? undefined : Number(precision);
  let body: string;
  if (isText) {
    if (comma !== undefined || zero !== undefined || (type !== undefined && type !== "s") || align === "=") {
      throw new UnsupportedTemplateError(`the format ${layout} of a text`);
    }
    body = cut(toText(value), digits);
  } else if (type === "d" || (type === undefined && typeof value !== "number" && digits === undefined)) {
    if (typeof value === "boolean" && type === undefined)
      throw new UnsupportedTemplateError(`the format ${layout} of a bool`);
    body = wholeText(value, 10, sign, layout, false);
  } else if (type === "%") body = `${fixedText(Number(value) * 100, digits ?? 6, sign, layout)}%`;
  else if (type === "f" || type === "F") body = fixedText(value, digits ?? 6, sign, layout);
  else if (type === undefined && typeof value === "number" && digits === undefined) {
    body = (sign !== "-" && value >= 0 ? sign : "") + floatText(value);
  } else if (type === "x" || type === "X" || type === "o" || type === "b") {
    const text = wholeText(value, type === "o" ? 8 : type === "b" ? 2 : 16, sign, layout, false);
    body = type === "X" ? text.toUpperCase() : text;
  } else throw new UnsupportedTemplateError(`the format ${layout}`);
  if (comma !== undefined) {
    if (zero !== undefined) throw new UnsupportedTemplateError(`the format ${layout}`);
    body = body.replace(/\d+/, (whole) => whole.replace(/\B(?=(?:\d{3})+$)/g, ","));
  }
  const chosen = align ?? (zero !== undefined ? "=" : isText ? "<" : ">");
  return pad(body, { fill: fill ?? (zero !== undefined ? "0" : " "), align: chosen, width: Number(width) });
}

function cut(text: string, length: number | undefined): string {
  return length === undefined ? text : Array.from(text).slice(0, length).join("");
}

function pad(text: string, { fill, align, width }: Layout): string {
  const missing = width - codePointLength(text);
  if (missing <= 0) return text;
  const [left, right] =
    align === "<" ? [0, missing] : align === "^" ? [Math.floor(missing / 2), Math.ceil(missing / 2)] : [missing, 0];
  if (align !== "=") return repeatText(fill, left) + text + repeatText(fill, right);
  const sign = /^[-+ ]/.exec(text)?.[0] ?? "";
  return sign + repeatText(fill, missing) + text.slice(sign.length);
}

function signOf(isNegative: boolean, sign: string): string {
  return isNegative ? "-" : sign === "-" ? "" : sign;
}

/** A whole number in a base; `truncates` takes floats too, as `%d` does. */
function wholeText(value: Value, base: number, sign: string, format: string, truncates: boolean): string {
  let whole: bigint | undefined;
  if (typeof value === "bigint" || typeof value === "boolean") whole = BigInt(value);
  else if (typeof value === "number" && truncates && Number.isFinite(value)) whole = BigInt(Math.trunc(value));
  if (whole === undefined)
    throw new TemplateError(`${format} format: a whole number is required, not ${typeName(value)}`);
  const digits = base === 10 ? toText(whole < 0n ? -whole : whole) : (whole < 0n ? -whole : whole).toString(base);
  return signOf(whole < 0n, sign) + digits;
}

function fixedText(value: Value, precision: number, sign: string, format: string): string {
  if (value instanceof Undefined || !isNumber(value)) {
    throw new TemplateError(`${format} format: a number is required, not ${typeName(value)}`);
  }
  const number = Number(numeric(value));
  const prefix = signOf(number < 0 || Object.is(number, -0), sign);
  if (!Number.isFinite(number)) return prefix + floatText(Math.abs(number));
  if (precision > 100) throw new UnsupportedTemplateError(`the format ${format}`);
  return prefix + fixedMagnitude(number, precision);
}
