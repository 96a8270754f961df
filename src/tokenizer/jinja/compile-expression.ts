/** Expressions as functions of the variables. */

import type { Arguments, Expression, FilterExpression } from "./ast.ts";
import { attributeOf, subscript } from "./attributes.ts";
import { TemplateError, TemplateSyntaxError } from "./errors.ts";
import { FILTER_NAMES } from "./filter-names.ts";
import { callFilter } from "./filters.ts";
import { binary, compareWith, negative, positive, sliceOf } from "./operators.ts";
import { type Activation, callValue } from "./runtime.ts";
import type { Symbols } from "./symbols.ts";
import { callTest, isTestName } from "./tests.ts";
import { checkLength, toText } from "./text.ts";
import {
  Dict,
  isString,
  iterate,
  type Keywords,
  orElse,
  plainText,
  Tuple,
  truth,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

export type Evaluate = (activation: Activation) => Value;

/** Where an expression stands. */
export interface ExpressionScope {
  readonly symbols: Symbols;
  /** Under a condition an unknown filter is an error only when it is reached, elsewhere the template is refused. */
  readonly isConditional: boolean;
}

/** `input` is the text that a filter without an operand takes: that of its block. */
export function compileExpression(expression: Expression, scope: ExpressionScope, input?: Evaluate): Evaluate {
  const compile = (inner: Expression): Evaluate => compileExpression(inner, scope, input);
  switch (expression.kind) {
    case "constant": {
      const { value } = expression;
      return () => value;
    }
    case "name": {
      const { name } = expression;
      const variable = scope.symbols.variableOf(name);
      return (activation) => orElse(activation.get(variable), () => new Undefined(`'${name}' is undefined`));
    }
    case "list":
    case "tuple": {
      const items = expression.items.map(compile);
      if (expression.kind === "list") return (activation) => items.map((item) => item(activation));
      return (activation) => new Tuple(items.map((item) => item(activation)));
    }
    case "concat": {
      const items = expression.items.map(compile);
      return (activation) => checkLength(items.map((item) => toText(item(activation))).join(""));
    }
    case "dict": {
      const entries = expression.entries.map(([key, value]) => [compile(key), compile(value)] as const);
      return (activation) => new Dict(entries.map(([key, value]) => [key(activation), value(activation)]));
    }
    case "binary": {
      const [left, right] = [compile(expression.left), compile(expression.right)];
      const { operator } = expression;
      return (activation) => binary(operator, left(activation), right(activation));
    }
    case "and":
    case "or": {
      const [left, right] = [compile(expression.left), compile(expression.right)];
      const goesOn = expression.kind === "and";
      return (activation) => {
        const value = left(activation);
        return truth(value) === goesOn ? right(activation) : value;
      };
    }
    case "not": {
      const operand = compile(expression.operand);
      return (activation) => !truth(operand(activation));
    }
    case "negative":
    case "positive": {
      const operand = compile(expression.operand);
      const apply = expression.kind === "negative" ? negative : positive;
      return (activation) => apply(operand(activation));
    }
    case "compare": {
      const first = compile(expression.first);
      const rest = expression.rest.map(([operator, operand]) => [operator, compile(operand)] as const);
      return (activation) => {
        let left = first(activation);
        for (const [operator, operand] of rest) {
          const right = operand(activation);
          if (!compareWith(operator, left, right)) return false;
          left = right;
        }
        return true;
      };
    }
    case "conditional": {
      const inner: ExpressionScope = { ...scope, isConditional: true };
      const test = compileExpression(expression.test, inner, input);
      const whenTrue = compileExpression(expression.whenTrue, inner, input);
      const otherwise =
        expression.otherwise === undefined
          ? () => new Undefined("the inline if-expression evaluated to false and no else section was defined.")
          : compileExpression(expression.otherwise, inner, input);
      return (activation) => (truth(test(activation)) ? whenTrue(activation) : otherwise(activation));
    }
    case "attribute": {
      const object = compile(expression.object);
      const { name } = expression;
      return (activation) => attributeOf(object(activation), name);
    }
    case "item": {
      const [object, index] = [compile(expression.object), compile(expression.index)];
      return (activation) => subscript(object(activation), index(activation));
    }
    case "slice": {
      const object = compile(expression.object);
      const parts = expression.parts.map((part) => (part === undefined ? undefined : compile(part)));
      return (activation) =>
        sliceOf(
          object(activation),
          parts.map((part) => part?.(activation)),
        );
    }
    case "call":
      return compileCall(expression, scope, input);
    case "filter":
      return compileFilter(expression, scope, input);
    case "test": {
      const { name } = expression;
      if (!isTestName(name) && !scope.isConditional) throw new TemplateSyntaxError(`No test named '${name}'.`);
      const operand = compile(expression.operand);
      const given = compileArguments(expression.arguments, scope, input);
      return (activation) => {
        const value = operand(activation);
        return callTest(name, value, ...given(activation));
      };
    }
  }
}

/** A call; `caller` is what a call block hands to the macro under that name. */
export function compileCall(
  { callee, arguments: args }: Expression & { kind: "call" },
  scope: ExpressionScope,
  input?: Evaluate,
  caller?: Evaluate,
): Evaluate {
  const evaluateCallee = compileExpression(callee, scope, input);
  const given = compileArguments(args, scope, input);
  return (activation) => {
    activation.rendering.step();
    const target = evaluateCallee(activation);
    const [positional, keywords] = given(activation);
    if (caller === undefined) return callValue(target, positional, keywords);
    return callValue(target, positional, new Map([...keywords, ["caller", caller(activation)]]));
  };
}

function compileFilter(filter: FilterExpression, scope: ExpressionScope, input: Evaluate | undefined): Evaluate {
  const { name } = filter;
  if (!FILTER_NAMES.has(name) && !scope.isConditional) throw new TemplateSyntaxError(`No filter named '${name}'.`);
  const operand = filter.operand === undefined ? input! : compileExpression(filter.operand, scope, input);
  const given = compileArguments(filter.arguments, scope, input);
  return (activation) => {
    activation.rendering.step();
    const value = operand(activation);
    return callFilter(name, value, ...given(activation));
  };
}

type EvaluateArguments = (activation: Activation) => readonly [readonly Value[], Keywords];

const NO_KEYWORDS: Keywords = new Map();

function compileArguments(args: Arguments, scope: ExpressionScope, input: Evaluate | undefined): EvaluateArguments {
  const compile = (expression: Expression): Evaluate => compileExpression(expression, scope, input);
  const positional = args.positional.map(compile);
  const keywords = args.keywords.map(([name, value]) => [name, compile(value)] as const);
  const rest = args.rest && compile(args.rest);
  const keywordRest = args.keywordRest && compile(args.keywordRest);
  return (activation) => {
    const values = positional.map((value) => value(activation));
    if (rest) values.push(...iterate(rest(activation)));
    if (keywords.length === 0 && !keywordRest) return [values, NO_KEYWORDS];
    const named = new Map(keywords.map(([name, value]) => [name, value(activation)]));
    if (keywordRest) addKeywords(named, keywordRest(activation));
    return [values, named];
  };
}

function addKeywords(named: Map<string, Value>, more: Value): void {
  if (!(more instanceof Dict)) throw new TemplateError(`argument after ** must be a mapping, not ${typeName(more)}`);
  for (const [key, value] of more.entries()) {
    if (!isString(key)) throw new TemplateError("keywords must be strings");
    const name = plainText(key);
    if (named.has(name)) throw new TemplateError(`got multiple values for keyword argument '${name}'`);
    named.set(name, value);
  }
}
