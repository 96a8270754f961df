/** Names of points and segments, which the grammar reads as products of capital letters. */

import type { Node } from "./tree.ts";

/** A point or a segment: A, AB, ABC. */
export function segmentName(node: Node): string | undefined {
  if (node.kind === "symbol") return /^[A-Z]/.test(node.name) ? node.name : undefined;
  if (node.kind !== "apply" || node.name !== "multiply") return undefined;
  const [first, second] = node.args.map(segmentName);
  return first !== undefined && second !== undefined ? first + second : undefined;
}
