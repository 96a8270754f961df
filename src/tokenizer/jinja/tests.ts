/** Jinja2's tests, `value is name`. */

import { bind } from "./arguments.ts";
import { TemplateError, UnsupportedTemplateError } from "./errors.ts";
import { FILTER_NAMES } from "./filter-names.ts";
import { binary, compareWith, contains } from "./operators.ts";
import { isLower, isUpper } from "./string-methods.ts";
import { toText } from "./text.ts";
import {
  Callable,
  Dict,
  equals,
  isList,
  isNumber,
  isString,
  type Keywords,
  Markup,
  Range,
  Tuple,
  tryIterate,
  Undefined,
  type Value,
} from "./values.ts";

type Test = (value: Value, args: readonly Value[], keywords: Keywords) => boolean;

const TESTS: ReadonlyMap<string, Test> = new Map<string, Test>([
  ...unary({
    odd: (value) => equals(binary("%", value, 2n), 1n),
    even: (value) => equals(binary("%", value, 2n), 0n),
    defined: (value) => !(value instanceof Undefined),
    undefined: (value) => value instanceof Undefined,
    none: (value) => value === null,
    boolean: (value) => typeof value === "boolean",
    true: (value) => value === true,
    false: (value) => value === false,
    integer: (value) => typeof value === "bigint",
    float: (value) => typeof value === "number",
    number: isNumber,
    string: isString,
    mapping: (value) => value instanceof Dict,
    sequence: (value) =>
      isString(value) || isList(value) || [Tuple, Dict, Range, Undefined].some((type) => value instanceof type),
    iterable: (value) => tryIterate(value) !== undefined,
    // Jinja2's undefined value has a `__call__`, which fails when it is used.
    callable: (value) => value instanceof Callable || value instanceof Undefined,
    escaped: (value) => value instanceof Markup,
    lower: (value) => isLower(toText(value)),
    upper: (value) => isUpper(toText(value)),
    filter: (value) => typeof value === "string" && FILTER_NAMES.has(value),
    test: (value) => typeof value === "string" && TESTS.has(value),
  }),
  ...withOperand({
    divisibleby: (value, number) => equals(binary("%", value, number), 0n),
    sameas: isSame,
    in: (value, container) => contains(container, value),
    "==": equals,
    eq: equals,
    equalto: equals,
    "!=": (a, b) => !equals(a, b),
    ne: (a, b) => !equals(a, b),
    ">": (a, b) => compareWith(">", a, b),
    gt: (a, b) => compareWith(">", a, b),
    greaterthan: (a, b) => compareWith(">", a, b),
    ">=": (a, b) => compareWith(">=", a, b),
    ge: (a, b) => compareWith(">=", a, b),
    "<": (a, b) => compareWith("<", a, b),
    lt: (a, b) => compareWith("<", a, b),
    lessthan: (a, b) => compareWith("<", a, b),
    "<=": (a, b) => compareWith("<=", a, b),
    le: (a, b) => compareWith("<=", a, b),
  }),
]);

/** Whether Jinja2 has a test of this name. */
export function isTestName(name: string): boolean {
  return TESTS.has(name);
}

/** `value is name(args)`. Throws TemplateError for a name that Jinja2 does not have. */
export function callTest(name: string, value: Value, args: readonly Value[], keywords: Keywords): boolean {
  const test = TESTS.get(name);
  if (test === undefined) throw new TemplateError(`No test named '${name}'.`);
  return test(value, args, keywords);
}

function unary(tests: Readonly<Record<string, (value: Value) => boolean>>): [string, Test][] {
  return Object.entries(tests).map(([name, test]) => [
    name,
    (value, args, keywords) => {
      bind(name, [], args, keywords);
      return test(value);
    },
  ]);
}

function withOperand(tests: Readonly<Record<string, (value: Value, operand: Value) => boolean>>): [string, Test][] {
  return Object.entries(tests).map(([name, test]) => [
    name,
    (value, args, keywords) => test(value, bind(name, ["/other"], args, keywords)[0]!),
  ]);
}

/** Python's `is`: the same object. Texts and numbers may or may not be, so only constants are compared. */
function isSame(a: Value, b: Value): boolean {
  const isConstant = (value: Value): boolean => value === null || typeof value === "boolean";
  if (isConstant(a) || isConstant(b)) return a === b;
  if (typeof a === "object" && typeof b === "object") return a === b;
  throw new UnsupportedTemplateError("the test sameas for texts and numbers");
}
