/** Values with units beside values with other units, or without: what is compared of each. */

import { equal, type Rational } from "../expression/rational.ts";
import { type Answer, apply, hasPart, type Node, type Unit, wholeNode } from "./tree.ts";

type Expression = Answer & { kind: "expression" };

/** The value that is compared: of a percentage its hundredth, of a measure its multiple of the base unit where the other
 * side has a unit too; undefined where the units exclude each other. */
export function measured(side: Expression, other: Expression): Node | undefined {
  const node = side.percent ? apply("divide", side.node, wholeNode(100)) : side.node;
  if (side.unit?.measure?.dimension === "angle^1" && !other.unit && isPartOfPi(other.node))
    return apply("degrees", node);
  if (!side.unit || !other.unit) return node;
  const [own, others] = [side.unit, other.unit];
  if (!own.measure || !others.measure) return saysNoMore(own, others) || saysNoMore(others, own) ? node : undefined;
  if (own.measure.dimension !== others.measure.dimension) return undefined;
  return equal(own.measure.factor, others.measure.factor)
    ? node
    : apply("multiply", node, numberNode(own.measure.factor));
}

/** What a unit says is all in the other: `apples` in `red apples`; `m/s` is no `q/s`. The base of a numeral is a unit too. */
function saysNoMore(unit: Unit, other: Unit): boolean {
  if (unit.words.every((word) => other.words.includes(word))) return true;
  const [own, others] = [unit, other].map(({ words }): readonly string[] => words.join(" ").match(/\p{L}+/gu) ?? []);
  const isBase = [...unit.words, ...other.words].some((word) => word.startsWith("base"));
  return !isBase && own!.length > 0 && own!.every((word) => others!.includes(word));
}

/** An angle in radians: 90° is π/2. */
const isPartOfPi = (node: Node) => hasPart(node, (part) => part.kind === "constant" && part.name === "pi");

const numberNode = (value: Rational): Node => ({ kind: "number", value });
