/**
 * JSON whose numbers keep their value. `JSON.parse` makes a double of every number, so 9007199254740993 silently
 * becomes 9007199254740992. Here a number that a double does not hold becomes
 *
 *     a bigint          a whole number beyond ±(2^53 − 1)
 *     an ExactNumber    any other: a decimal of more digits than a double has, or beyond its range
 *
 * and both are written back with the same digits. Everything else is as `JSON.parse` and `JSON.stringify` have it, and as
 * fast: the text is only looked at closely where it has a number that long. (Node 21 and later could tell `JSON.parse`'s
 * reviver the source of a number; Node 20 cannot.)
 *
 * Python's `json.dumps` writes NaN and Infinity, which JSON does not have. They are read too: NaN, which stands for a
 * missing value there, as null; the infinities as the texts "Infinity" and "-Infinity".
 */

/** A number that neither a double nor a bigint of reasonable size holds, by its digits. */
export class ExactNumber {
  /** A number in JSON's form, e.g. `3.14159265358979323846`. */
  readonly digits: string;

  constructor(digits: string) {
    this.digits = digits;
  }

  toString(): string {
    return this.digits;
  }

  /** The nearest double, for arithmetic. */
  valueOf(): number {
    return Number(this.digits);
  }

  /** `JSON.stringify` refuses it, as it refuses a bigint, instead of writing something else. */
  toJSON(): never {
    throw new TypeError("JSON.stringify cannot write an ExactNumber; stringifyExactJson can.");
  }
}

/** Longer whole numbers stay digits: arithmetic with them, and reading them, takes more than linear time. */
const MAX_BIGINT_DIGITS = 1000;
/** The same for those that are written with a power of ten. */
const MAX_EXPANDED_DIGITS = 40;

/** A double holds every decimal of so many significant digits. */
const SURE_DIGITS = 15;

/** `toPrecision` gives no more. */
const MAX_COMPARED_DIGITS = 100;

/**
 * Functions that walk through a value call themselves once for each level, so the depth is limited; Python's reader has
 * the same limit.
 */
const MAX_DEPTH = 1000;

/** A text without any of these has no number that a double might not hold, and no NaN or Infinity. */
const SUSPICIOUS = /[0-9.]{16}|[eE][+-]?[0-9]{3}|NaN|Infinity/;

/** A number, NaN or an infinity, at the place where a value may begin. */
const NUMBER_TOKEN = /-?(?:[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|Infinity)|NaN/y;

/**
 * The value of a JSON text.
 *
 * @throws SyntaxError for a text that is not JSON; RangeError for one that is nested too deeply.
 */
export function parseExactJson(text: string): unknown {
  const value = parsed(text);
  if (hasManyBrackets(text) && depthOf(value) > MAX_DEPTH) throw new RangeError("The value is nested too deeply.");
  return value;
}

function parsed(text: string): unknown {
  if (!SUSPICIOUS.test(text)) return JSON.parse(text);
  const { marked, mark, literals } = markLiterals(text);
  if (literals.length === 0) return JSON.parse(text);
  let value: unknown;
  try {
    value = JSON.parse(marked, (_key, inner: unknown) => {
      const [only] = Array.isArray(inner) && inner.length === 1 ? (inner as unknown[]) : [];
      if (typeof only !== "string" || !only.startsWith(mark)) return inner;
      return valueOfLiteral(literals[Number(only.slice(mark.length))]!);
    });
  } catch (error) {
    // The error is about the original text, so that its positions are those that the reader sees.
    if (error instanceof SyntaxError) JSON.parse(text);
    throw error;
  }
  return value;
}

/** Whether the text could be nested too deeply: most have too few brackets for that. */
function hasManyBrackets(text: string): boolean {
  let count = 0;
  for (const bracket of ["[", "{"]) {
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) {
      if (++count > MAX_DEPTH) return true;
    }
  }
  return false;
}

/** How many lists and mappings lie in each other, level by level: a recursive function would run out of stack. */
function depthOf(value: unknown): number {
  let depth = 0;
  for (let level = [value]; level.length > 0 && depth <= MAX_DEPTH; depth++) {
    level = level.flatMap((inner) => (typeof inner === "object" && inner !== null ? Object.values(inner) : []));
  }
  return depth;
}

/** The text with a marked list, which can stand where a number can, in place of each literal that `JSON.parse` would
 * refuse or round. */
function markLiterals(text: string): { readonly marked: string; readonly mark: string; readonly literals: string[] } {
  // Nothing in the text can be mistaken for it, escapes included: it is new in every call.
  const mark = `${crypto.randomUUID()}:`;
  const literals: string[] = [];
  const parts: string[] = [];
  let copied = 0;
  for (let at = 0; at < text.length; ) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at);
      continue;
    }
    if (!mayBeginNumber(code)) {
      at++;
      continue;
    }
    NUMBER_TOKEN.lastIndex = at;
    const [literal] = NUMBER_TOKEN.exec(text) ?? [];
    if (literal === undefined) {
      at++;
      continue;
    }
    // 012 is no number: `JSON.parse` has to see it.
    if (!/^-?0[0-9]/.test(literal) && typeof valueOfLiteral(literal) !== "number") {
      parts.push(text.slice(copied, at), `["${mark}${literals.length}"]`);
      literals.push(literal);
      copied = at + literal.length;
    }
    at += literal.length;
  }
  return { marked: literals.length === 0 ? text : parts.join("") + text.slice(copied), mark, literals };
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** The place behind the string that begins at `start`; the text's end where it does not close. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; ; at++) {
    at = text.indexOf('"', at);
    if (at < 0) return text.length;
    let backslashes = 0;
    while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes++;
    if (backslashes % 2 === 0) return at + 1;
  }
}

/** A digit, a minus, N of NaN, I of Infinity. */
function mayBeginNumber(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x4e || code === 0x49;
}

function valueOfLiteral(literal: string): number | bigint | ExactNumber | string | null {
  if (literal === "NaN") return null;
  return literal.endsWith("Infinity") ? literal : exactNumber(literal);
}

/**
 * The value of a number in JSON's form: a double where that holds it, that is, where the double, written with as many
 * digits, is the same decimal; else a bigint or an `ExactNumber`.
 */
export function exactNumber(literal: string): number | bigint | ExactNumber {
  const value = Number(literal);
  const isWholeLiteral = /^-?[0-9]+$/.test(literal);
  if (isWholeLiteral ? Number.isSafeInteger(value) : isHeld(literal, value)) return value;
  const whole = isWholeLiteral ? literal : wholeDigits(literal);
  if (whole === undefined || whole.length > MAX_BIGINT_DIGITS) return new ExactNumber(literal);
  return BigInt(whole);
}

/** The significant digits of a decimal, without zeros at either end, and the power of ten of the last one. */
function significant(literal: string): { readonly digits: string; readonly exponent: number } {
  const [, whole = "", fraction = "", exponent = "0"] = /^-?([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/.exec(
    literal,
  )!;
  const all = withoutTrailingZeros(whole + fraction);
  const dropped = whole.length + fraction.length - all.length;
  return { digits: all.replace(/^0+/, ""), exponent: Number(exponent) - fraction.length + dropped };
}

/** Without a regular expression, which would start a search at every zero and take quadratic time. */
function withoutTrailingZeros(digits: string): string {
  let end = digits.length;
  while (end > 0 && digits[end - 1] === "0") end--;
  return digits.slice(0, end);
}

function isHeld(literal: string, value: number): boolean {
  const { digits, exponent } = significant(literal);
  if (digits === "") return true;
  if (!Number.isFinite(value) || value === 0 || digits.length > MAX_COMPARED_DIGITS) return false;
  const magnitude = digits.length + exponent;
  if (digits.length <= SURE_DIGITS && Math.abs(magnitude) < 290) return true;
  const held = significant(value.toPrecision(digits.length));
  return held.digits === digits && held.exponent === exponent;
}

/** `1.5e20` → `150000000000000000000`; undefined for what is no whole number, or a very long one. */
function wholeDigits(literal: string): string | undefined {
  const { digits, exponent } = significant(literal);
  if (exponent < 0 || digits.length + exponent > MAX_EXPANDED_DIGITS) return undefined;
  return `${literal.startsWith("-") ? "-" : ""}${digits}${"0".repeat(exponent)}`;
}

/**
 * The value as JSON text, numbers of every kind with all their digits; undefined for what JSON has no form for, as with
 * `JSON.stringify`. `space` as there.
 *
 * @throws RangeError for a value that is nested too deeply.
 */
export function stringifyExactJson(value: unknown, space?: number): string {
  try {
    return JSON.stringify(value, undefined, space);
  } catch (error) {
    if (!(error instanceof TypeError) || !hasExactNumber(value)) throw error;
  }
  const mark = `${crypto.randomUUID()}:`;
  const text = JSON.stringify(markNumbers(value, mark), undefined, space);
  return text.replaceAll(new RegExp(`"${mark}([^"]*)"`, "g"), "$1");
}

function isExactNumber(value: unknown): value is bigint | ExactNumber {
  return typeof value === "bigint" || value instanceof ExactNumber;
}

function hasExactNumber(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return isExactNumber(value);
  return isExactNumber(value) || Object.values(value).some(hasExactNumber);
}

/** A copy with a marked string in place of each number that `JSON.stringify` cannot write. */
function markNumbers(value: unknown, mark: string): unknown {
  if (isExactNumber(value)) return mark + String(value);
  if (typeof value !== "object" || value === null || "toJSON" in value) return value;
  if (Array.isArray(value)) return value.map((inner) => markNumbers(inner, mark));
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, markNumbers(inner, mark)]));
}

/**
 * The digits of a finite number of any of the three kinds, without a power of ten as far as that is no longer than 32
 * digits (`0.0000001`, not `1e-7`); undefined for anything else.
 */
export function numberText(value: unknown): string | undefined {
  if (isExactNumber(value)) return String(value);
  if (typeof value !== "number" || !Number.isFinite(value)) return undefined;
  const text = String(value);
  if (!text.includes("e")) return text;
  const { digits, exponent } = significant(text);
  const sign = value < 0 ? "-" : "";
  if (exponent >= 0) return digits.length + exponent > 32 ? text : `${sign}${digits}${"0".repeat(exponent)}`;
  return -exponent > 32 ? text : `${sign}0.${digits.padStart(-exponent, "0")}`;
}

/** A copy of these columns that a thread can be sent: an `ExactNumber` is its digits, as text. */
export function withPlainNumbers(value: unknown): unknown {
  if (value instanceof ExactNumber) return value.digits;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(withPlainNumbers);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withPlainNumbers(inner)]));
}
