/**
 * Exact fractions of whole numbers of any size, in lowest terms with a positive denominator, so that two of them are
 * equal exactly where their parts are. Countdown is judged with these: 1 / 3 * 3 is 1, and no tolerance has to be chosen
 * (the seeds' graders compare floating-point numbers to 1e-5).
 *
 * It is not a calculator for large inputs: callers bound the size of what they put in (see `parse.ts`).
 */

/** numerator / denominator, in lowest terms, denominator > 0. */
export interface Rational {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

/** The four operations of the game. */
export type Operator = "+" | "-" | "*" | "/";

/** A whole number as a fraction. */
export function whole(value: bigint | number): Rational {
  return { numerator: BigInt(value), denominator: 1n };
}

/** numerator / denominator in lowest terms; the denominator must not be 0. */
export function ratio(numerator: bigint, denominator: bigint): Rational {
  if (denominator === 1n) return { numerator, denominator };
  if (denominator < 0n) return ratio(-numerator, -denominator);
  const divisor = greatestCommonDivisor(numerator < 0n ? -numerator : numerator, denominator);
  return { numerator: numerator / divisor, denominator: denominator / divisor };
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a;
}

/** a `operator` b, exactly; undefined for a division by zero. */
export function applyOperator(operator: Operator, a: Rational, b: Rational): Rational | undefined {
  switch (operator) {
    case "+":
      return add(a, b);
    case "-":
      return add(a, { numerator: -b.numerator, denominator: b.denominator });
    case "*":
      return ratio(a.numerator * b.numerator, a.denominator * b.denominator);
    case "/":
      return b.numerator === 0n ? undefined : ratio(a.numerator * b.denominator, a.denominator * b.numerator);
  }
}

function add(a: Rational, b: Rational): Rational {
  if (a.denominator === b.denominator) return ratio(a.numerator + b.numerator, a.denominator);
  return ratio(a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator);
}

/** a = b, exactly. */
export function equal(a: Rational, b: Rational): boolean {
  return a.numerator === b.numerator && a.denominator === b.denominator;
}

/** a < b, exactly. */
export function lessThan(a: Rational, b: Rational): boolean {
  return a.numerator * b.denominator < b.numerator * a.denominator;
}

/** True for a fraction without a remainder: its denominator, in lowest terms, is 1. */
export function isWhole(value: Rational): boolean {
  return value.denominator === 1n;
}

/** The most characters and the largest power of ten that `readDecimal` takes. */
const DECIMAL_LIMITS = { characters: 64, exponent: 400 } as const;

/**
 * The exact value of a decimal numeral: an optional sign, digits, an optional fraction, an optional power of ten
 * (`-12`, `0.5`, `1e21`). A JavaScript number is read as its shortest numeral, so that 0.1 is one tenth. Undefined for
 * anything else, NaN, infinities and numerals beyond 64 characters included.
 */
export function readDecimal(value: string | number): Rational | undefined {
  const text = typeof value === "number" ? String(value) : value;
  if (text.length > DECIMAL_LIMITS.characters) return undefined;
  const match = /^([+-]?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/.exec(text);
  if (!match) return undefined;
  const fraction = match[3] ?? "";
  const exponent = Number(match[4] ?? 0) - fraction.length;
  if (Math.abs(exponent) > DECIMAL_LIMITS.exponent) return undefined;
  const digits = BigInt(match[2]! + fraction) * (match[1] === "-" ? -1n : 1n);
  return exponent >= 0 ? whole(digits * 10n ** BigInt(exponent)) : ratio(digits, 10n ** BigInt(-exponent));
}

/** `7`, `-7`, `5/3`; numbers of more than 24 digits are shortened to their first digits and their length. */
export function formatRational(value: Rational): string {
  const numerator = shorten(value.numerator);
  return isWhole(value) ? numerator : `${numerator}/${shorten(value.denominator)}`;
}

function shorten(value: bigint): string {
  const text = String(value);
  return text.length <= 24 ? text : `${text.slice(0, 12)}… (${text.length} digits)`;
}
