/** The calls of custom losses that bring many elements together. */

import { RequestFailure } from "../refusal.ts";
import type { CallArguments } from "./arguments.ts";
import { unsqueeze } from "./arrangement.ts";
import type { CallDefinition } from "./calls.ts";
import { ARITHMETIC, asDType, FLOAT_FUNCTIONS, inPairs, unary } from "./elementwise.ts";
import { axisNumber, floatOf, LossArray, type LossDType, type Tape } from "./loss-array.ts";
import { describeValue, type LossValue } from "./python-values.ts";
import {
  allAxes,
  anyOrAll,
  countNonzero,
  extreme,
  extremeAlong,
  extremePlace,
  logSoftmax,
  logSumExpOver,
  meanOver,
  norm,
  product,
  type Reduced,
  runningSum,
  sortedAlong,
  squareRootOfSum,
  sumOver,
  variance,
} from "./reductions.ts";

/** The calls. */
export const REDUCTION_CALLS: readonly CallDefinition[] = [
  ["sum", "input, dim?, keepdim?, dtype?", along(sumOver)],
  ["mean", "input, dim?, keepdim?, dtype?", along(meanOver)],
  ["prod", "input, dim?, keepdim?, dtype?", along(product)],
  ["any", "input, dim?, keepdim?", along((...of) => anyOrAll(...of, "any"))],
  ["all", "input, dim?, keepdim?", along((...of) => anyOrAll(...of, "all"))],
  ["count_nonzero", "input, dim?", along(countNonzero)],
  ["amax", "input, dim?, keepdim?", along((...of) => extreme(...of, "max"))],
  ["amin", "input, dim?, keepdim?", along((...of) => extreme(...of, "min"))],
  ["max", "input, dim?, keepdim?, other?", (given) => largestOrSmallest(given, "max")],
  ["min", "input, dim?, keepdim?, other?", (given) => largestOrSmallest(given, "min")],
  ["argmax", "input, dim?, keepdim?", (given) => placeOf(given, "max")],
  ["argmin", "input, dim?, keepdim?", (given) => placeOf(given, "min")],
  ["var", "input, dim?, unbiased?, keepdim?, correction?", (given) => spread(given)],
  ["std", "input, dim?, unbiased?, keepdim?, correction?", (given) => squareRootOfSum(given.tape, spread(given))],
  ["norm torch.functional.norm", "input, p?, dim?, keepdim?, dtype?", (given) => normOf(given, "p")],
  ["linalg.norm linalg.vector_norm", "x, ord?, dim?, keepdim?, dtype?", (given) => normOf(given, "ord")],
  ["F.normalize", "input, p?, dim?, eps?", normalized],
  ["logsumexp special.logsumexp", "input, dim, keepdim?", along(logSumExpOver)],
  [
    "softmax F.softmax special.softmax",
    "input, dim, dtype?",
    (given) => {
      const x = inFloats(given);
      return unary(given.tape, logSoftmax(given.tape, x, given.axis(x)), FLOAT_FUNCTIONS.exp!);
    },
  ],
  [
    "log_softmax F.log_softmax special.log_softmax",
    "input, dim, dtype?",
    (given) => {
      const x = inFloats(given);
      return logSoftmax(given.tape, x, given.axis(x));
    },
  ],
  [
    "cumsum",
    "input, dim, dtype?",
    (given) => {
      const x = inDType(given);
      return runningSum(given.tape, x, given.axis(x));
    },
  ],
  [
    "sort",
    "input, dim?, descending?, stable?",
    (given) => {
      const x = given.array("input");
      const { values, indices } = sortedAlong(given.tape, x, given.axis(x, -1), {
        descending: given.flag("descending"),
      });
      return [values, indices];
    },
  ],
  [
    "argsort",
    "input, dim?, descending?, stable?",
    (given) => {
      const x = given.array("input");
      return sortedAlong(given.tape, x, given.axis(x, -1), { descending: given.flag("descending") }).indices;
    },
  ],
  [
    "topk",
    "input, k, dim?, largest?, sorted?",
    (given) => {
      const x = given.array("input");
      const order = { descending: given.flag("largest", true), most: given.integer("k") };
      const { values, indices } = sortedAlong(given.tape, x, given.axis(x, -1), order);
      return [values, indices];
    },
  ],
  [
    "dot inner torch.vdot",
    "input, other",
    (given) => matrixProduct(given.tape, given.array("input"), given.array("other")),
  ],
  [
    "matmul mm mv operator.matmul",
    "input, other",
    (given) => matrixProduct(given.tape, given.array("input"), given.array("other")),
  ],
];

/** Reduces the axes that are named, or all. */
function along(reduce: (tape: Tape, x: LossArray, reduced: Reduced) => LossArray): CallDefinition[2] {
  return (given) => {
    const x = inDType(given);
    return reduce(given.tape, x, given.reduced(x));
  };
}

/** In the dtype that is asked for. */
function inDType(given: CallArguments): LossArray {
  const x = given.array("input");
  return asDType(given.tape, x, given.dtype() ?? x.dtype);
}

function inFloats(given: CallArguments): LossArray {
  const x = given.array("input");
  const dtype: LossDType = given.dtype() ?? floatOf(x.dtype);
  return asDType(given.tape, x, dtype);
}

/** Of all elements; along a dimension, with their places; or of two arrays, pair by pair. */
function largestOrSmallest(given: CallArguments, which: "max" | "min"): LossValue {
  const x = given.array("input");
  const other = given.has("other") ? given.value("other") : given.value("dim");
  if (other instanceof LossArray) return inPairs(given.tape, x, other, ARITHMETIC[`${which}imum`]!);
  if (other === null) return extreme(given.tape, x, allAxes(x), which);
  const { values, indices } = extremeAlong(given.tape, x, given.axis(x), given.flag("keepdim"), which);
  return [values, indices];
}

function placeOf(given: CallArguments, which: "max" | "min"): LossArray {
  const x = given.array("input");
  if (!given.has("dim")) return extremePlace(given.tape, x, which);
  return extremeAlong(given.tape, x, given.axis(x), given.flag("keepdim"), which).indices;
}

function spread(given: CallArguments): LossArray {
  const x = given.array("input");
  // `x.var(False)`: the first argument may be whether it is unbiased.
  const isFlag = typeof given.value("dim") === "boolean";
  const unbiased = isFlag ? given.flag("dim") : given.flag("unbiased", true);
  const reduced = isFlag ? allAxes(x) : given.reduced(x);
  return variance(given.tape, x, reduced, given.number("correction", unbiased ? 1 : 0));
}

function normOf(given: CallArguments, order: "p" | "ord"): LossArray {
  const x = given.array(order === "p" ? "input" : "x");
  const isPlain = !given.has(order) || given.value(order) === "fro";
  if (typeof given.value(order) === "string" && !isPlain) {
    throw new RequestFailure(`has norms of 1, 2 and infinity, not of ${describeValue(given.value(order))}.`);
  }
  return norm(given.tape, x, given.reduced(x), isPlain ? 2 : given.number(order));
}

/** x / max(‖x‖, ε) along a dimension. */
function normalized(given: CallArguments): LossArray {
  const { tape } = given;
  const x = given.array("input");
  const length = norm(tape, x, { axes: [given.axis(x, 1)], keeps: true }, given.number("p", 2));
  const least = tape.constant(length.dtype, [], Float64Array.of(given.number("eps", 1e-12)));
  return inPairs(tape, x, inPairs(tape, length, least, ARITHMETIC.maximum!), ARITHMETIC.div!);
}

/** Of vectors and matrices. */
function matrixProduct(tape: Tape, a: LossArray, b: LossArray): LossArray {
  const inner = a.shape.at(-1);
  const rows = b.shape.length === 2 ? b.shape[0] : b.shape.at(-1);
  const isSound = a.shape.length >= 1 && a.shape.length <= 2 && b.shape.length >= 1 && b.shape.length <= 2;
  if (!isSound || inner !== rows) {
    throw new RequestFailure(`takes vectors and matrices that fit, not ${describeValue(a)} and ${describeValue(b)}.`);
  }
  if (b.shape.length === 1) {
    const products = inPairs(tape, a, b, ARITHMETIC.mul!);
    return sumOver(tape, products, { axes: [a.shape.length - 1], keeps: false });
  }
  // [M, K, 1] · [K, N], summed over K.
  const products = inPairs(tape, unsqueeze(tape, a, axisNumber(-1, a.shape.length + 1)), b, ARITHMETIC.mul!);
  return sumOver(tape, products, { axes: [a.shape.length - 1], keeps: false });
}
