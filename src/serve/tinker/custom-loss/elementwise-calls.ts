/** The calls of custom losses that compute each element for itself. */

import { RequestFailure } from "../refusal.ts";
import type { CallArguments } from "./arguments.ts";
import type { CallDefinition } from "./calls.ts";
import {
  ARITHMETIC,
  asDType,
  BITWISE,
  bitwise,
  COMPARISONS,
  comparePairs,
  detach,
  FLOAT_FUNCTIONS,
  floatUnary,
  inPairs,
  KEEPING_FUNCTIONS,
  QUESTIONS,
  question,
  unary,
  where,
} from "./elementwise.ts";
import { dtypeKind, LossArray, type LossDType } from "./loss-array.ts";
import { pythonArithmetic, pythonComparison } from "./python-arithmetic.ts";
import { describeValue, type LossValue, numberOf, PythonNumber, TorchDType, TorchPlace } from "./python-values.ts";

/** The names of operations that have others than their own. */
const NAMES: Readonly<Record<string, string>> = {
  exp2: "exp2 special.exp2",
  expm1: "expm1 special.expm1",
  log1p: "log1p special.log1p",
  sigmoid: "sigmoid special.expit",
  atan: "atan arctan",
  logsigmoid: "nn.log_sigmoid F.logsigmoid",
  silu: "F.silu",
  abs: "abs absolute operator.abs",
  sign: "sign sgn",
  trunc: "trunc fix",
  relu: "relu F.relu",
  eq: "eq operator.eq",
  ne: "ne not_equal operator.ne",
  lt: "lt less operator.lt",
  le: "le less_equal operator.le",
  gt: "gt greater operator.gt",
  ge: "ge greater_equal operator.ge",
  mul: "mul multiply operator.mul",
  floor_divide: "floor_divide operator.floordiv",
  remainder: "remainder operator.mod",
  xlogy: "xlogy special.xlogy",
  bitwise_and: "bitwise_and operator.and_",
  bitwise_or: "bitwise_or operator.or_",
  bitwise_xor: "bitwise_xor operator.xor",
};

const DTYPE_METHODS: Readonly<Record<string, LossDType>> = {
  float: "float32",
  double: "float64",
  long: "int64",
  int: "int32",
  bool: "bool",
};

const PLAIN_ARITHMETIC = [
  "mul",
  "floor_divide",
  "remainder",
  "fmod",
  "maximum",
  "minimum",
  "logaddexp",
  "xlogy",
] as const;

type Run = CallDefinition[2];

/** One definition for each entry of a table. */
function defineAll<T>(table: Readonly<Record<string, T>>, parameters: string, run: (entry: T, name: string) => Run) {
  return Object.entries(table).map(
    ([name, entry]): CallDefinition => [NAMES[name] ?? name, parameters, run(entry, name)],
  );
}

/** The calls. */
export const ELEMENTWISE_CALLS: readonly CallDefinition[] = [
  ...defineAll(FLOAT_FUNCTIONS, "input", (f) => (given) => floatUnary(given.tape, given.array("input"), f)),
  ...defineAll(KEEPING_FUNCTIONS, "input", (f) => (given) => unary(given.tape, given.array("input"), f)),
  ...defineAll(QUESTIONS, "input", (ask) => (given) => question(given.tape, given.array("input"), ask)),
  ...defineAll(COMPARISONS, "input, other", (_, name) => (given) => comparison(given, name)),
  ...defineAll(BITWISE, "input, other", (f) => (given) => {
    return bitwise(given.tape, given.array("input"), given.array("other"), f);
  }),
  ...PLAIN_ARITHMETIC.map((name): CallDefinition => [NAMES[name] ?? name, "input, other", arithmetic(name)]),
  ["operator.add", "input, other", arithmetic("add")],
  ["operator.sub", "input, other", arithmetic("sub")],
  ["operator.truediv true_divide", "input, other", arithmetic("div")],
  ["operator.pow", "input, other", arithmetic("pow")],
  ["add", "input, other, alpha?", (given) => scaledArithmetic(given, "add")],
  ["sub subtract", "input, other, alpha?", (given) => scaledArithmetic(given, "sub")],
  ["div divide", "input, other, rounding_mode?", division],
  ["pow", "input, exponent", (given) => arithmeticOf(given, "pow", "input", "exponent")],
  ["neg negative operator.neg", "input", negated],
  ["positive operator.pos", "input", (given) => given.value("input")],
  ["bitwise_not operator.invert", "input", inverted],
  ["torch.where", "condition, input, other", picked],
  [".where", "input, condition, other", picked],
  ["masked_fill", "input, mask, value", filled],
  ["clamp clip", "input, min?, max?", (given) => clamp(given, "min", "max")],
  ["clamp_min", "input, min", (given) => clamp(given, "min", "max")],
  ["clamp_max", "input, max", (given) => clamp(given, "min", "max")],
  ["F.hardtanh", "input, min_val, max_val", (given) => clamp(given, "min_val", "max_val")],
  ["nan_to_num", "input, nan?, posinf?, neginf?", withoutNaN],
  ["nn.softplus F.softplus", "input, beta?, threshold?", softplus],
  ["F.leaky_relu", "input, negative_slope?", leakyRelu],
  ["F.elu", "input, alpha?", elu],
  ["lerp", "input, end, weight", lerp],
  ["detach", "input", (given) => detach(given.array("input"), given.tape)],
  ["clone .contiguous", "input", (given) => given.array("input")],
  ...Object.entries(DTYPE_METHODS).map(
    ([name, dtype]): CallDefinition => [
      `.${name}`,
      "input",
      (given) => asDType(given.tape, given.array("input"), dtype),
    ],
  ),
  [".type_as", "input, other", (given) => asDType(given.tape, given.array("input"), given.array("other").dtype)],
  [".to", "input, *targets, dtype?, other?", converted],
];

function arithmetic(name: string): Run {
  return (given) => arithmeticOf(given, name, "input", "other");
}

/** a ∘ b: Python's where both are its numbers. */
function arithmeticOf(given: CallArguments, name: string, first: string, second: string): LossValue {
  const [a, b] = [given.value(first), given.value(second)];
  if (!(a instanceof LossArray || b instanceof LossArray)) {
    return pythonArithmetic(name, numberOf(a, first), numberOf(b, second));
  }
  return inPairs(given.tape, given.array(first), given.array(second), ARITHMETIC[name]!);
}

function comparison(given: CallArguments, name: string): LossValue {
  const [a, b] = [given.value("input"), given.value("other")];
  if (a instanceof LossArray || b instanceof LossArray) {
    return comparePairs(given.tape, given.array("input"), given.array("other"), COMPARISONS[name]!);
  }
  return pythonComparison(name, numberOf(a, "input"), numberOf(b, "other"));
}

/** a ± alpha · b. */
function scaledArithmetic(given: CallArguments, name: "add" | "sub"): LossValue {
  const { tape } = given;
  if (!given.has("alpha")) return arithmeticOf(given, name, "input", "other");
  const other = inPairs(tape, given.array("other"), given.array("alpha"), ARITHMETIC.mul!);
  return inPairs(tape, given.array("input"), other, ARITHMETIC[name]!);
}

function division(given: CallArguments): LossValue {
  const mode = given.text("rounding_mode", "");
  if (mode !== "" && mode !== "floor" && mode !== "trunc") {
    throw new RequestFailure(`has the rounding modes "floor" and "trunc", not ${describeValue(mode)}.`);
  }
  return arithmeticOf(given, mode === "" ? "div" : `${mode === "floor" ? "floor" : "trunc"}_divide`, "input", "other");
}

function negated(given: CallArguments): LossValue {
  const value = given.value("input");
  if (value instanceof PythonNumber) return new PythonNumber(-value.value, value.isFloat);
  const x = given.array("input");
  if (x.dtype === "bool") throw new RequestFailure("takes no bools: use ~ or logical_not.");
  return unary(given.tape, x, { value: (own) => -own, slope: () => -1 });
}

function inverted(given: CallArguments): LossValue {
  const x = given.array("input");
  if (dtypeKind(x.dtype) > 1) throw new RequestFailure(`takes bools or whole numbers, not ${x.dtype}.`);
  if (x.dtype === "bool") return question(given.tape, x, (own) => own === 0);
  return unary(given.tape, x, { value: (own) => -own - 1, slope: () => -1 });
}

function picked(given: CallArguments): LossValue {
  return where(given.tape, given.array("condition"), given.array("input"), given.array("other"));
}

function filled(given: CallArguments): LossValue {
  const x = given.array("input");
  return where(given.tape, given.array("mask"), asDType(given.tape, given.array("value"), x.dtype), x);
}

/** Limited to bounds. At a bound that is a number there is no slope; one that is an array shares it, as `maximum` does. */
function clamp(given: CallArguments, low: string, high: string): LossValue {
  if (!given.has(low) && !given.has(high)) throw new RequestFailure("takes at least one of min and max.");
  const { tape } = given;
  let x = given.array("input");
  const limit = (name: string, isBeyond: (own: number, bound: number) => boolean, other: string) => {
    if (!given.has(name)) return;
    const bound = given.array(name);
    if (!bound.isPython) x = inPairs(tape, x, bound, ARITHMETIC[other]!);
    // NaN is beyond nothing, and stays.
    else
      x = where(
        tape,
        comparePairs(tape, x, bound, (own, most) => !isBeyond(own, most)),
        x,
        bound,
      );
  };
  limit(low, (own, bound) => own <= bound, "maximum");
  limit(high, (own, bound) => own >= bound, "minimum");
  return x;
}

function withoutNaN(given: CallArguments): LossValue {
  const largest = given.array("input").dtype === "float64" ? Number.MAX_VALUE : 3.4028234663852886e38;
  const [nan, positive, negative] = [
    given.number("nan", 0),
    given.number("posinf", largest),
    given.number("neginf", -largest),
  ];
  const value = (x: number) => {
    if (Number.isNaN(x)) return nan;
    return x === Number.POSITIVE_INFINITY ? positive : x === Number.NEGATIVE_INFINITY ? negative : x;
  };
  return unary(given.tape, given.array("input"), { value, slope: (x) => (Number.isFinite(x) ? 1 : 0) });
}

function softplus(given: CallArguments): LossValue {
  const [beta, threshold] = [given.number("beta", 1), given.number("threshold", 20)];
  const isLinear = (x: number) => x * beta > threshold;
  return floatUnary(given.tape, given.array("input"), {
    value: (x) => (isLinear(x) ? x : Math.log1p(Math.exp(x * beta)) / beta),
    slope: (x) => (isLinear(x) ? 1 : 1 / (1 + Math.exp(-x * beta))),
  });
}

function leakyRelu(given: CallArguments): LossValue {
  const below = given.number("negative_slope", 0.01);
  return floatUnary(given.tape, given.array("input"), {
    value: (x) => (x > 0 ? x : below * x),
    slope: (x) => (x > 0 ? 1 : below),
  });
}

function elu(given: CallArguments): LossValue {
  const alpha = given.number("alpha", 1);
  return floatUnary(given.tape, given.array("input"), {
    value: (x) => (x > 0 ? x : alpha * Math.expm1(x)),
    slope: (x) => (x > 0 ? 1 : alpha * Math.exp(x)),
  });
}

/** input + weight · (end − input). */
function lerp(given: CallArguments): LossValue {
  const { tape } = given;
  const input = given.array("input");
  const way = inPairs(tape, given.array("end"), input, ARITHMETIC.sub!);
  return inPairs(tape, input, inPairs(tape, given.array("weight"), way, ARITHMETIC.mul!), ARITHMETIC.add!);
}

/** `x.to(…)`: a dtype, another array whose dtype is taken, a device. */
function converted(given: CallArguments): LossValue {
  const x = given.array("input");
  let dtype: LossDType = given.dtype() ?? (given.has("other") ? given.array("other").dtype : x.dtype);
  for (const target of given.rest) {
    if (target instanceof TorchDType) dtype = target.name;
    else if (target instanceof LossArray) dtype = target.dtype;
    else if (!(target instanceof TorchPlace) && typeof target !== "string" && typeof target !== "boolean") {
      throw new RequestFailure(`takes a dtype, a device or an array, not ${describeValue(target)}.`);
    }
  }
  return asDType(given.tape, x, dtype);
}
