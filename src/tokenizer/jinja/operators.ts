/** Operators, indices and slices, as Python's. */

import type { BinaryOperator, ComparisonOperator } from "./ast.ts";
import { TemplateError, UnsupportedTemplateError } from "./errors.ts";
import { formatPercent } from "./format.ts";
import { checkLength, repeatText } from "./text.ts";
import {
  codePoints,
  compare,
  Dict,
  equals,
  isList,
  isNumber,
  isString,
  iterate,
  Markup,
  numeric,
  plainText,
  Range,
  sameNumber,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** A power may have so many binary digits; Python writes no whole number beyond some 14,300 of them. */
const MOST_POWER_BITS = 20_000;
/** A list that is built by repetition may have so many items. */
const LONGEST_LIST = 1_000_000;

/** `left operator right` of arithmetic. Throws TemplateError where Python has a TypeError. */
export function binary(operator: BinaryOperator, left: Value, right: Value): Value {
  if (left instanceof Undefined) left.fail();
  if (operator === "%" && isString(left)) return formatPercent(left, right);
  if (right instanceof Undefined) right.fail();
  if (isNumber(left) && isNumber(right)) return arithmetic(operator, numeric(left), numeric(right));
  if (operator === "+") {
    if (isString(left) && isString(right)) return joinTexts(left, right);
    if (isList(left) && isList(right)) return [...left, ...right];
    if (left instanceof Tuple && right instanceof Tuple) return new Tuple([...left.items, ...right.items]);
  }
  if (operator === "*") {
    if (isNumber(right) && typeof right !== "number") return repeat(left, Number(right), operator, right);
    if (isNumber(left) && typeof left !== "number") return repeat(right, Number(left), operator, left);
  }
  throw operandError(operator, left, right);
}

/** `-value`. */
export function negative(value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) throw new TemplateError(`bad operand type for unary -: '${typeName(value)}'`);
  return -numeric(value);
}

/** `+value`. */
export function positive(value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) throw new TemplateError(`bad operand type for unary +: '${typeName(value)}'`);
  return numeric(value);
}

/** `left operator right` of a comparison. */
export function compareWith(operator: ComparisonOperator, left: Value, right: Value): boolean {
  switch (operator) {
    case "==":
      return equals(left, right);
    case "!=":
      return !equals(left, right);
    case "in":
      return contains(right, left);
    case "not in":
      return !contains(right, left);
    case "<":
      return compare(left, right, operator) < 0;
    case "<=":
      return compare(left, right, operator) <= 0;
    case ">":
      return compare(left, right, operator) > 0;
    case ">=":
      return compare(left, right, operator) >= 0;
  }
}

/** Python's `item in container`. */
export function contains(container: Value, item: Value): boolean {
  if (isString(container)) {
    if (isString(item)) return plainText(container).includes(plainText(item));
    throw new TemplateError(`'in <string>' requires string as left operand, not ${typeName(item)}`);
  }
  if (container instanceof Dict) return container.has(item);
  if (isList(container)) return container.some((one) => equals(one, item));
  for (const one of iterate(container)) if (equals(one, item)) return true;
  return false;
}

/** `object[index]` of what has items; undefined where Python has a LookupError or a TypeError. */
export function itemOf(object: Value, index: Value): Value | undefined {
  if (object instanceof Undefined) object.fail();
  if (object instanceof Dict) {
    const isHashable = !isList(index) && !(index instanceof Dict);
    return isHashable ? object.get(index) : undefined;
  }
  if (typeof index !== "bigint" && typeof index !== "boolean") return undefined;
  const at = Number(index);
  if (object instanceof Markup) {
    const character = codePoints(object.text).at(at);
    return character === undefined ? undefined : new Markup(character);
  }
  return sequenceOf(object)?.at(at);
}

/** `object[start:stop:step]`. */
export function sliceOf(object: Value, parts: readonly (Value | undefined)[]): Value {
  if (object instanceof Undefined) object.fail();
  const [start, stop, step] = parts.map((part) => {
    if (part === undefined || part === null) return undefined;
    if (typeof part === "bigint" || typeof part === "boolean") return Number(part);
    if (part instanceof Undefined) throw new TemplateError(part.message);
    throw new TemplateError("slice indices must be integers or None or have an __index__ method");
  });
  if (object instanceof Range) throw new UnsupportedTemplateError("slices of a range");
  const items = object instanceof Markup ? codePoints(object.text) : sequenceOf(object);
  if (items === undefined) throw new TemplateError(`'${typeName(object)}' object is not subscriptable`);
  const chosen = sliceItems(items, start, stop, step ?? 1);
  if (typeof object === "string") return chosen.join("");
  if (object instanceof Markup) return new Markup(chosen.join(""));
  return object instanceof Tuple ? new Tuple(chosen) : chosen;
}

/** Escaped for HTML, as what joins marked text is. */
export function escapeText(value: string | Markup): Markup {
  if (value instanceof Markup) return value;
  const escaped = value
    .replaceAll("&", "&amp;")
    .replaceAll(">", "&gt;")
    .replaceAll("<", "&lt;")
    .replaceAll("'", "&#39;")
    .replaceAll('"', "&#34;");
  return new Markup(escaped);
}

function joinTexts(left: string | Markup, right: string | Markup): Value {
  if (typeof left === "string" && typeof right === "string") return checkLength(left + right);
  return new Markup(checkLength(escapeText(left).text + escapeText(right).text));
}

function repeat(value: Value, count: number, operator: string, counted: Value): Value {
  if (typeof value === "string") return repeatText(value, count);
  if (value instanceof Markup) return new Markup(repeatText(value.text, count));
  const items = isList(value) ? value : value instanceof Tuple ? value.items : undefined;
  if (items === undefined) throw operandError(operator, value, counted);
  if (items.length * count > LONGEST_LIST) throw new TemplateError(`a list of more than ${LONGEST_LIST} items`);
  const repeated = Array.from({ length: Math.max(0, count) }, () => items).flat();
  return isList(value) ? repeated : new Tuple(repeated);
}

function arithmetic(operator: BinaryOperator, left: bigint | number, right: bigint | number): Value {
  if ((operator === "/" || operator === "//" || operator === "%") && sameNumber(right, 0n)) {
    throw new TemplateError(operator === "%" ? "modulo by zero" : "division by zero");
  }
  if (typeof left === "bigint" && typeof right === "bigint") return wholeArithmetic(operator, left, right);
  const [a, b] = [Number(left), Number(right)];
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return a / b;
    case "%":
      return floorModulo(a, b);
    case "//":
      return floorDivide(a, b);
    case "**":
      if (a === 0 && b < 0) throw new TemplateError("0.0 cannot be raised to a negative power");
      if (a < 0 && !Number.isInteger(b)) throw new UnsupportedTemplateError("complex numbers");
      return a ** b;
  }
}

function wholeArithmetic(operator: BinaryOperator, left: bigint, right: bigint): Value {
  switch (operator) {
    case "+":
      return left + right;
    case "-":
      return left - right;
    case "*":
      return left * right;
    case "/":
      return Number(left) / Number(right);
    case "%": {
      const rest = left % right;
      return rest !== 0n && rest < 0n !== right < 0n ? rest + right : rest;
    }
    case "//": {
      const quotient = left / right;
      return left % right !== 0n && left < 0n !== right < 0n ? quotient - 1n : quotient;
    }
    case "**":
      if (right < 0n) return arithmetic(operator, Number(left), Number(right));
      if (BigInt(left.toString(2).length) * right > BigInt(MOST_POWER_BITS)) {
        throw new UnsupportedTemplateError(`powers of more than ${MOST_POWER_BITS} binary digits`);
      }
      return left ** right;
  }
}

/** The remainder has the divisor's sign. */
function floorModulo(a: number, b: number): number {
  const rest = a % b;
  if (rest === 0) return b < 0 ? -0 : 0;
  return rest < 0 !== b < 0 ? rest + b : rest;
}

function floorDivide(a: number, b: number): number {
  const quotient = (a - floorModulo(a, b)) / b;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

function sequenceOf(object: Value): readonly Value[] | undefined {
  if (typeof object === "string") return codePoints(object);
  if (isList(object)) return object;
  if (object instanceof Tuple) return object.items;
  return object instanceof Range ? object.items() : undefined;
}

function sliceItems<T>(items: readonly T[], start: number | undefined, stop: number | undefined, step: number): T[] {
  if (step === 0) throw new TemplateError("slice step cannot be zero");
  const length = items.length;
  const clamp = (index: number, low: number, high: number): number =>
    Math.min(Math.max(index < 0 ? index + length : index, low), high);
  const chosen: T[] = [];
  if (step > 0) {
    const end = clamp(stop ?? length, 0, length);
    for (let i = clamp(start ?? 0, 0, length); i < end; i += step) chosen.push(items[i]!);
  } else {
    const end = stop === undefined ? -1 : clamp(stop, -1, length - 1);
    for (let i = clamp(start ?? length - 1, -1, length - 1); i > end; i += step) chosen.push(items[i]!);
  }
  return chosen;
}

function operandError(operator: string, left: Value, right: Value): TemplateError {
  return new TemplateError(`unsupported operand type(s) for ${operator}: '${typeName(left)}' and '${typeName(right)}'`);
}
