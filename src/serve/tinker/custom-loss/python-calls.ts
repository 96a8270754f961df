/** The calls of custom losses that are Python's own: indices, attributes, and the functions of the module `math`. */

import { RequestFailure } from "../refusal.ts";
import type { CallArguments } from "./arguments.ts";
import { elementsAt, permute } from "./arrangement.ts";
import type { CallDefinition } from "./calls.ts";
import { LossArray } from "./loss-array.ts";
import { MATH_FUNCTIONS, WHOLE_MATH_FUNCTIONS } from "./python-arithmetic.ts";
import {
  describeValue,
  integerOf,
  type LossValue,
  PythonNumber,
  PythonSlice,
  pythonInt,
  TorchDType,
  TorchPlace,
} from "./python-values.ts";

export const PYTHON_CALLS: readonly CallDefinition[] = [
  ["operator.getitem .__getitem__", "input, index", itemOf],
  ["builtins.getattr", "input, name", attributeOf],
  ...Object.entries(MATH_FUNCTIONS).map(
    ([name, f]): CallDefinition => [`math.${name}`, "x", (given) => new PythonNumber(f(given.number("x")), true)],
  ),
  ...Object.entries(WHOLE_MATH_FUNCTIONS).map(
    ([name, f]): CallDefinition => [`math.${name}`, "x", (given) => pythonInt(f(given.number("x")))],
  ),
  ["math.pow", "x, y", (given) => new PythonNumber(given.number("x") ** given.number("y"), true)],
];

function itemOf(given: CallArguments): LossValue {
  const [of, index] = [given.value("input"), given.value("index")];
  if (of instanceof LossArray) {
    return elementsAt(given.tape, of, Array.isArray(index) ? (index as readonly LossValue[]) : [index]);
  }
  if (!Array.isArray(of)) throw new RequestFailure(`takes an array or a list, not ${describeValue(of)}.`);
  const list = of as readonly LossValue[];
  if (index instanceof PythonSlice) {
    if (index.step !== null) throw new RequestFailure("takes slices of lists without a step.");
    const bound = (value: LossValue) => (value === null ? undefined : integerOf(value, "the bound of a slice"));
    return list.slice(bound(index.start), bound(index.stop));
  }
  const found = list.at(integerOf(index, "an index"));
  if (found === undefined) throw new RequestFailure(`has an index beyond its ${list.length} elements.`);
  return found;
}

/** The attributes that are known: of arrays, and of the pairs that `max`, `min`, `sort` and `topk` come to. */
function attributeOf(given: CallArguments): LossValue {
  const [of, name] = [given.value("input"), given.value("name")];
  if (of instanceof LossArray) {
    switch (name) {
      case "shape":
        return of.shape.map(pythonInt);
      case "ndim":
        return pythonInt(of.shape.length);
      case "dtype":
        return new TorchDType(of.dtype);
      case "device":
        return new TorchPlace("cpu");
      case "T":
      case "mT":
        if (of.shape.length === 2) return permute(given.tape, of, [1, 0]);
        if (of.shape.length < 2 && name === "T") return of;
        break;
      default:
    }
  } else if (Array.isArray(of) && of.length === 2) {
    if (name === "values") return of[0] as LossValue;
    if (name === "indices") return of[1] as LossValue;
  }
  throw new RequestFailure(`asks for ${describeValue(name)} of ${describeValue(of)}, which this server does not have.`);
}
