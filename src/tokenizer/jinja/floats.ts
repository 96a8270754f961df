/** Decimal places of floats, rounded as Python does: by their exact binary value, halves to even. */

/** |value| · 10^places, rounded to a whole number. `value` must be finite. */
function scaledMagnitude(value: number, places: number): bigint {
  const [mantissa, exponent] = decompose(Math.abs(value));
  let numerator = mantissa;
  let denominator = 1n;
  if (exponent >= 0) numerator <<= BigInt(exponent);
  else denominator <<= BigInt(-exponent);
  if (places >= 0) numerator *= 10n ** BigInt(places);
  else denominator *= 10n ** BigInt(-places);
  return divideHalfEven(numerator, denominator);
}

/** Python's `round(value, places)` of a float. */
export function roundFloat(value: number, places: number): number {
  // Beyond these a double has no more digits to round, or nothing is left of it.
  if (!Number.isFinite(value) || places > 323) return value;
  if (places < -309) return Math.sign(value) * 0;
  const magnitude = Number(`${scaledMagnitude(value, places)}e${-places}`);
  return value < 0 || Object.is(value, -0) ? -magnitude : magnitude;
}

/** `"%.{places}f"` of a finite float, without its sign. */
export function fixedMagnitude(value: number, places: number): string {
  const digits = scaledMagnitude(value, places)
    .toString()
    .padStart(places + 1, "0");
  return places === 0 ? digits : `${digits.slice(0, -places)}.${digits.slice(-places)}`;
}

/** numerator / denominator, both ≥ 0, to the nearest whole number. */
export function divideHalfEven(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twice = (numerator % denominator) * 2n;
  const roundsUp = twice > denominator || (twice === denominator && quotient % 2n === 1n);
  return roundsUp ? quotient + 1n : quotient;
}

/** value = mantissa · 2^exponent. */
function decompose(value: number): [mantissa: bigint, exponent: number] {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const exponent = Number((bits >> 52n) & 0x7ffn);
  const fraction = bits & 0xfffffffffffffn;
  return exponent === 0 ? [fraction, -1074] : [fraction | 0x10000000000000n, exponent - 1075];
}
