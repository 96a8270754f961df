/**
 * One list of cases for all operations: how each is called, and what it computes in plain JavaScript. Forward values and
 * gradients are tested from the same list, so that no operation has the one without the other.
 *
 * Shapes are odd on purpose (sizes that no vector width divides, axes of size 1), and where a size is a name it is bound
 * only when the graph runs.
 */

import { binaryCases, matmulCases, unaryCases } from "./arithmetic-cases.ts";
import { attentionCases, normalizeCases } from "./layer-cases.ts";
import type { OperationCase } from "./operation-case.ts";
import { packedCases } from "./packed-cases.ts";
import { indexCases, shapeCases } from "./shape-cases.ts";

/** Every differentiable operation, in the forms that matter. */
export const OPERATION_CASES: readonly OperationCase[] = [
  ...unaryCases(),
  ...binaryCases(),
  ...matmulCases(),
  ...shapeCases(),
  ...indexCases(),
  ...packedCases(),
  ...normalizeCases(),
  ...attentionCases(),
];

/** Operations without a gradient of their own, and why. */
export const NOT_DIFFERENTIABLE: Readonly<Record<string, string>> = {
  lessOrEqual: "a step function: its derivative is zero almost everywhere, and none flows",
  largest: "is only looked at",
  topK: "is only looked at",
  stopGradient: "exists to let no gradient through",
  cachedAttention: "samples only; training attends over whole sequences",
  summedCachedAttention: "samples only, as cachedAttention (shared-attention.test.ts)",
  after: "says only when something is computed",
  dropoutMask: "a mask depends on nothing that is trained",
  uniformNoise: "noise depends on nothing that is trained",
  widen: "what is held in bfloat16 is not trained",
};

/** Operations whose operands no case can make, and where they are tested. */
export const TESTED_APART: Readonly<Record<string, string>> = {
  nf4Matmul: "packed weights: quantized.test.ts",
  fewRowsMatmul: "sampling only: few-rows.test.ts",
  joinAttention: "sampling only: shared-attention.test.ts",
  fewRowsLimit: "says where the one above is used: few-rows.test.ts",
};
