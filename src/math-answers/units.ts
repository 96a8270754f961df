/**
 * Units behind (or before) a value. Known ones are compared as measures, 100 cm with 1 m; other words only as words. Which
 * side may leave its unit out is the policy of `equal.ts`.
 */

import { type Rational, ratio, whole } from "../expression/rational.ts";
import type { Unit } from "./tree.ts";

const [KILO, CENTI, MILLI] = [whole(1000), ratio(1n, 100n), ratio(1n, 1000n)];
const KNOWN: readonly (readonly [dimension: string, factor: Rational, names: string])[] = [
  ["length", whole(1), "m meter metre"],
  ["length", KILO, "km kilometer kilometre"],
  ["length", CENTI, "cm centimeter centimetre"],
  ["length", MILLI, "mm millimeter millimetre"],
  ["length", ratio(254n, 10000n), "inch inches in"],
  ["length", ratio(3048n, 10000n), "ft foot feet"],
  ["length", ratio(9144n, 10000n), "yd yard"],
  ["length", ratio(1609344n, 1000n), "mi mile"],
  ["mass", whole(1), "g gram"],
  ["mass", KILO, "kg kilogram"],
  ["mass", MILLI, "mg milligram"],
  ["mass", whole(1_000_000), "t ton tonne"],
  ["mass", ratio(45359237n, 100000n), "lb lbs pound"],
  ["mass", ratio(45359237n, 1600000n), "oz ounce"],
  ["time", whole(1), "s sec second"],
  ["time", MILLI, "ms millisecond"],
  ["time", whole(60), "min minute"],
  ["time", whole(3600), "h hr hour"],
  ["time", whole(86_400), "day"],
  ["time", whole(604_800), "week"],
  ["volume", whole(1), "l liter litre"],
  ["volume", MILLI, "ml milliliter millilitre"],
  ["money", whole(1), "dollar usd buck"],
  ["money", CENTI, "cent"],
  ["euro", whole(1), "euro eur"],
  ["sterling", whole(1), "pounds"],
  ["angle", whole(1), "degree deg"],
  ["force", whole(1), "n newton"],
  ["energy", whole(1), "j joule"],
  ["power", whole(1), "w watt"],
  ["potential", whole(1), "v volt"],
  ["unit", whole(1), "unit"],
];
const known = new Map(
  KNOWN.flatMap(([dimension, factor, names]) => names.split(" ").map((name) => [name, { dimension, factor }])),
);

/** Single letters that are a unit where white space and a numeral stand before them. */
export const LETTER_UNITS: ReadonlySet<string> = new Set(["m", "g", "s", "h", "L", "N", "J", "W", "V"]);

/** Whether a word is a unit by itself. */
export function isUnitWord(word: string): boolean {
  return word.length > 1 && known.has(singular(word.toLowerCase()));
}

const FILLERS = new Set(["of", "the", "a", "an", "in", "total", "about"]);

/** The unit that a phrase names: `square centimeters`, `cm^2`, `km/h`, `red apples`. */
export function readUnit(phrase: string): Unit | undefined {
  const text = phrase
    .toLowerCase()
    .replace(/[{}.,\\]/g, " ")
    .replace(/\bper\b/g, "/")
    .replace(/\bmph\b/g, "mile / hour")
    .replace(/\bk(?:mh|ph|mph)\b/g, "km / hour")
    .replace(/\b(?:square|sq) ([a-z]+)/g, "$1^2")
    .replace(/\bcubic ([a-z]+)/g, "$1^3")
    .replace(/([a-z]) squared\b/g, "$1^2")
    .replace(/([a-z]) cubed\b/g, "$1^3")
    .replace(/\s*\^\s*/g, "^")
    .replace(/\s*\/\s*/g, " / ");
  const words = text
    .split(/[\s-]+/)
    .filter((word) => word !== "" && !FILLERS.has(word))
    .map(singular);
  if (words.length === 0) return undefined;
  const measure = measureOf(words);
  return measure ? { words, measure } : { words };
}

function singular(word: string): string {
  if (known.has(word) || word.length < 4) return word;
  if (word.endsWith("ies")) return `${word.slice(0, -3)}y`;
  return word.endsWith("s") && !word.endsWith("ss") ? word.slice(0, -1) : word;
}

function measureOf(words: readonly string[]): Unit["measure"] {
  const powers = new Map<string, number>();
  let factor = whole(1);
  let sign = 1;
  for (const word of words) {
    if (word === "/") {
      sign = -1;
      continue;
    }
    const [, name, power] = /^([a-z]+)(?:\^([1-4]))?$/.exec(word) ?? [];
    const unit = name === undefined ? undefined : known.get(singular(name));
    if (unit === undefined) return undefined;
    const exponent = sign * Number(power ?? 1);
    powers.set(unit.dimension, (powers.get(unit.dimension) ?? 0) + exponent);
    for (let i = 0; i < Math.abs(exponent); i++) {
      const { numerator, denominator } = unit.factor;
      factor =
        sign > 0
          ? ratio(factor.numerator * numerator, factor.denominator * denominator)
          : ratio(factor.numerator * denominator, factor.denominator * numerator);
    }
  }
  const dimension = [...powers].map(([name, power]) => `${name}^${power}`).sort();
  return { dimension: dimension.join(" "), factor };
}
