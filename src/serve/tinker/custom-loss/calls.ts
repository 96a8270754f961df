/** How the calls of a custom loss are defined. */

import type { CallArguments, Parameters } from "./arguments.ts";
import type { LossValue } from "./python-values.ts";

/** A call that is known. */
export interface LossOperation {
  readonly parameters: Parameters;
  readonly run: (given: CallArguments) => LossValue;
}

/**
 * A call's names, its parameters (`arguments.ts`) and what it does. Names stand between spaces: `exp` is a function of torch
 * and a method of tensors, `.float` a method alone, `F.relu`, `special.expit` and `builtins.getattr` functions of these
 * modules, and any other name with a dot in it is a function's whole name, as `operator.mul`.
 */
export type CallDefinition = readonly [names: string, parameters: string, run: LossOperation["run"]];
