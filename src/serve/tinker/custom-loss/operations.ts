/**
 * The calls that a custom loss may make, by PyTorch's names: functions by their qualified ones, as torch.fx records them
 * (`torch.exp`, `operator.mul`, `torch.nn.functional.huber_loss`), and methods of tensors. What is not here is refused.
 */

import { parametersOf } from "./arguments.ts";
import type { CallDefinition, LossOperation } from "./calls.ts";
import { ELEMENTWISE_CALLS } from "./elementwise-calls.ts";
import { LOSS_FUNCTION_CALLS } from "./loss-function-calls.ts";
import { PYTHON_CALLS } from "./python-calls.ts";
import { REDUCTION_CALLS } from "./reduction-calls.ts";
import { SHAPE_CALLS } from "./shape-calls.ts";

/** Modules by how names of their functions begin. */
const MODULES: Readonly<Record<string, string>> = {
  "builtins.": "",
  "F.": "torch.nn.functional.",
  "nn.": "torch._C._nn.",
  "special.": "torch._C._special.special_",
  "linalg.": "torch._C._linalg.linalg_",
};

const functions = new Map<string, LossOperation>();
const methods = new Map<string, LossOperation>();

for (const calls of [ELEMENTWISE_CALLS, REDUCTION_CALLS, SHAPE_CALLS, LOSS_FUNCTION_CALLS, PYTHON_CALLS]) {
  for (const call of calls) define(call);
}

/** The functions by their qualified names. */
export const LOSS_FUNCTIONS: ReadonlyMap<string, LossOperation> = functions;
/** The methods of tensors. */
export const LOSS_METHODS: ReadonlyMap<string, LossOperation> = methods;

function define([names, parameters, run]: CallDefinition): void {
  const operation: LossOperation = { parameters: parametersOf(parameters), run };
  for (const name of names.split(" ")) {
    const module = Object.keys(MODULES).find((start) => name.startsWith(start));
    if (module !== undefined) functions.set(MODULES[module]! + name.slice(module.length), operation);
    else if (name.startsWith(".")) methods.set(name.slice(1), operation);
    else if (name.includes(".")) functions.set(name, operation);
    else {
      functions.set(`torch.${name}`, operation);
      methods.set(name, operation);
    }
  }
}
