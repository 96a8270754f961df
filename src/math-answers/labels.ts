/**
 * Formulas that name a value which a question asks for, where they stand before `=`: a sum `a + b + c`, a ratio `AB : BC`, a
 * product of segments, `tan A`. They could be equations too, so they are labels of known numbers only: `x² + y² = 4` is
 * not 4, `y/x = 2x` not 2x.
 */

import { segmentName } from "./segments.ts";
import { type Answer, type Node, symbolsOf } from "./tree.ts";

const TRIGONOMETRIC: ReadonlySet<string> = new Set(["sin", "cos", "tan", "cot", "sec", "csc"]);

/** Whether one side of an equation is such a name. */
export function isLabel(side: Answer | undefined): boolean {
  if (side?.kind !== "expression" || side.percent || side.unit) return false;
  const { node } = side;
  return isSum(node) || isRatio(node) || isOfSegments(node) || isOfAngle(node);
}

const isSum = (node: Node): boolean =>
  node.kind === "apply" && node.name === "add" && node.args.every((arg) => isQuantity(arg) || isSum(arg));

/** A symbol, a segment, or the length of one. */
function isQuantity(node: Node): boolean {
  if (node.kind === "symbol") return true;
  return segmentName(node.kind === "apply" && node.name === "abs" ? node.args[0]! : node) !== undefined;
}

/** `AB : BC`, `\frac{AB}{BC + CD}`, `S_1 : S`. */
const isRatio = (node: Node): boolean =>
  node.kind === "apply" && node.name === "divide" && node.args.every((arg) => isQuantity(arg) || isSum(arg));

/** `AB · CD`, `AB^2 + BC^2`, `AB - CD`: segments only. */
function isOfSegments(node: Node): boolean {
  if (segmentName(node) !== undefined) return true;
  if (node.kind !== "apply" || !["add", "subtract", "multiply", "power", "divide"].includes(node.name)) return false;
  const [base, exponent] = node.args;
  if (node.name === "power") return isOfSegments(base!) && symbolsOf(exponent!).length === 0;
  return node.args.every(isOfSegments);
}

/** `tan A`, `sin(α + β)`, `cos² θ`. */
function isOfAngle(node: Node): boolean {
  if (node.kind !== "apply") return false;
  if (node.name === "power") return isOfAngle(node.args[0]!) && symbolsOf(node.args[1]!).length === 0;
  return TRIGONOMETRIC.has(node.name) && symbolsOf(node).length > 0;
}
