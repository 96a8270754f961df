/** Whole numbers and floats read from texts, and the filters on numbers. */

import { bind, wholeNumber } from "./arguments.ts";
import { TemplateError, UnsupportedTemplateError } from "./errors.ts";
import { divideHalfEven, fixedMagnitude, roundFloat } from "./floats.ts";
import { binary } from "./operators.ts";
import { SPACE, stripEnd, stripStart } from "./text.ts";
import { isNumber, isString, type Keywords, numeric, plainText, typeName, Undefined, type Value } from "./values.ts";

const FLOAT_TEXT = /^[-+]?(?:(?:\d+(?:_\d+)*)(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:e[-+]?\d+(?:_\d+)*)?$/i;
const SPECIAL_FLOAT = /^([-+]?)(?:(inf(?:inity)?)|nan)$/i;

/** The filter `int(default=0, base=10)`: what cannot be read is the default. */
export function toInt(value: Value, args: readonly Value[], keywords: Keywords): Value {
  const [otherwise = 0n, base] = bind("int", ["default?", "base?"], args, keywords);
  if (value instanceof Undefined) value.fail();
  if (isString(value)) {
    const text = trimmed(plainText(value));
    const whole = wholeOf(text, wholeNumber(base, 10));
    if (whole !== undefined) return whole;
    const float = floatOf(text);
    return float !== undefined && Number.isFinite(float) ? BigInt(Math.trunc(float)) : otherwise;
  }
  if (!isNumber(value)) return otherwise;
  const number = numeric(value);
  if (typeof number === "bigint") return number;
  if (Number.isFinite(number)) return BigInt(Math.trunc(number));
  if (Number.isNaN(number)) return otherwise;
  throw new TemplateError("cannot convert float infinity to integer");
}

/** The filter `float(default=0.0)`. */
export function toFloat(value: Value, args: readonly Value[], keywords: Keywords): Value {
  const [otherwise = 0] = bind("float", ["default?"], args, keywords);
  if (value instanceof Undefined) value.fail();
  if (isNumber(value)) return Number(numeric(value));
  return (isString(value) ? floatOf(trimmed(plainText(value))) : undefined) ?? otherwise;
}

/** The filter `round(precision=0, method="common")`; of a whole number it is one, of a float a float. */
export function roundNumber(value: Value, args: readonly Value[], keywords: Keywords): Value {
  const [precision, method = "common"] = bind("round", ["precision?", "method?"], args, keywords);
  if (value instanceof Undefined || !isNumber(value)) {
    throw new TemplateError(`type ${typeName(value)} doesn't define __round__ method`);
  }
  const places = wholeNumber(precision, 0);
  const number = numeric(value);
  if (method === "common") {
    if (typeof number === "number") return roundFloat(number, places);
    if (places >= 0) return number;
    const unit = 10n ** BigInt(-places);
    const magnitude = divideHalfEven(number < 0n ? -number : number, unit) * unit;
    return number < 0n ? -magnitude : magnitude;
  }
  if (method !== "ceil" && method !== "floor") throw new TemplateError("method must be common, ceil or floor");
  const unit = binary("**", 10n, BigInt(places));
  const scaled = Number(binary("*", number, unit));
  if (!Number.isFinite(scaled)) throw new TemplateError("cannot convert float infinity to integer");
  return binary("/", BigInt(method === "ceil" ? Math.ceil(scaled) : Math.floor(scaled)), unit);
}

/** The filter `abs`. */
export function absolute(value: Value, args: readonly Value[], keywords: Keywords): Value {
  bind("abs", [], args, keywords);
  if (!isNumber(value)) throw new TemplateError(`bad operand type for abs(): '${typeName(value)}'`);
  const number = numeric(value);
  if (typeof number === "number") return Math.abs(number);
  return number < 0n ? -number : number;
}

/** The filter `filesizeformat(binary=False)`. */
export function fileSize(value: Value, args: readonly Value[], keywords: Keywords): Value {
  const [isBinary = false] = bind("filesizeformat", ["binary?"], args, keywords);
  if (!isNumber(value)) throw new UnsupportedTemplateError("filesizeformat of what is no number");
  const bytes = Number(numeric(value));
  const base = isBinary === true ? 1024 : 1000;
  if (bytes === 1) return "1 Byte";
  if (bytes < base) return `${Math.trunc(bytes)} Bytes`;
  const letters = [..."kMGTPEZY"];
  const index = Math.min(
    letters.findIndex((_, i) => bytes < base ** (i + 2)),
    letters.length - 1,
  );
  const at = index < 0 ? letters.length - 1 : index;
  const letter = isBinary === true ? `${letters[at]!.toUpperCase()}i` : letters[at]!;
  return `${fixedMagnitude((base * bytes) / base ** (at + 2), 1)} ${letter}B`;
}

function trimmed(text: string): string {
  return stripStart(stripEnd(text));
}

/** Python's `int(text, base)`; undefined where that is an error. */
function wholeOf(text: string, base: number): bigint | undefined {
  if (new RegExp(`[${SPACE}]`).test(text)) return undefined;
  const [, sign, body] = /^([-+]?)(.*)$/s.exec(text)!;
  let digits = body!.toLowerCase();
  if (base === 10) {
    if (!/^\d+(?:_\d+)*$/.test(digits)) return undefined;
  } else {
    const prefix = { 2: "0b", 8: "0o", 16: "0x" }[base];
    if (prefix === undefined) throw new UnsupportedTemplateError(`the filter int with base ${base}`);
    if (digits.startsWith(prefix)) digits = digits.slice(2).replace(/^_/, "");
    const allowed = { 2: "[01]", 8: "[0-7]", 16: "[0-9a-f]" }[base];
    if (!new RegExp(`^${allowed}+(?:_${allowed}+)*$`).test(digits)) return undefined;
    digits = prefix + digits;
  }
  const magnitude = BigInt(digits.replaceAll("_", ""));
  return sign === "-" ? -magnitude : magnitude;
}

/** Python's `float(text)`; undefined where that is an error. */
function floatOf(text: string): number | undefined {
  const special = SPECIAL_FLOAT.exec(text);
  if (special) {
    const magnitude = special[2] === undefined ? Number.NaN : Number.POSITIVE_INFINITY;
    return special[1] === "-" ? -magnitude : magnitude;
  }
  return FLOAT_TEXT.test(text) ? Number(text.replaceAll("_", "")) : undefined;
}
