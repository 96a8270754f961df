/** The constant of integration, which has many names. */

import { type Node, substituted, symbolsOf } from "./tree.ts";

/**
 * The answer with the gold one's constant of integration, `+ C`, where it has another letter for it: `x² + C`, with a
 * variable beside it; `P + C`, `C` alone are what they say.
 */
export function withConstantOf(gold: Node, answer: Node): Node {
  if (gold.kind !== "apply" || !symbolsOf(gold).some((name) => /^[a-z]/.test(name))) return answer;
  const own = constantTermsOf(answer).filter((name) => !symbolsOf(gold).includes(name));
  const wanted = constantTermsOf(gold).filter((name) => name === "C" && !symbolsOf(answer).includes(name));
  if (own.length !== 1 || wanted.length !== 1) return answer;
  return substituted(answer, (part) =>
    part.kind === "symbol" && part.name === own[0] ? { kind: "symbol", name: "C" } : undefined,
  );
}

/** The letters for constants that are terms of a sum and nothing else. */
function constantTermsOf(node: Node): string[] {
  if (node.kind === "symbol") return /^[cCkK]$/.test(node.name) ? [node.name] : [];
  if (node.kind !== "apply" || (node.name !== "add" && node.name !== "subtract")) return [];
  return node.args.flatMap((arg) => constantTermsOf(arg));
}
