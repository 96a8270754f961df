/**
 * Expressions, with Jinja2's own precedence, which is not Python's everywhere: `~` binds tighter than `+`, `**` takes its
 * left operands first, and a sign binds tighter than a filter.
 */

import type { Arguments, BinaryOperator, ComparisonOperator, Expression, FilterExpression } from "./ast.ts";
import type { TokenStream } from "./token-stream.ts";

const COMPARISONS = ["==", "!=", "<", "<=", ">", ">="];
const NO_ARGUMENTS: Arguments = { positional: [], keywords: [] };

/** One expression; `conditional: false` leaves an `if` after it to the statement. */
export function parseTemplateExpression(stream: TokenStream, conditional = true): Expression {
  return conditional ? parseConditional(stream) : parseOr(stream);
}

/**
 * An expression or, with commas, a tuple. `endsAt` are names that end it; an empty tuple must be in parentheses.
 */
export function parseTuple(
  stream: TokenStream,
  options: { conditional?: boolean; endsAt?: readonly string[]; inParentheses?: boolean } = {},
): Expression {
  const { conditional = true, endsAt = [], inParentheses = false } = options;
  return parseCommaList(stream, () => parseTemplateExpression(stream, conditional), endsAt, inParentheses);
}

/** What a comma list of `parseItem` is: the item itself, or a tuple where there is a comma. */
export function parseCommaList(
  stream: TokenStream,
  parseItem: () => Expression,
  endsAt: readonly string[],
  inParentheses: boolean,
): Expression {
  const items: Expression[] = [];
  let isTuple = false;
  for (;;) {
    if (items.length > 0) stream.expect("operator", ",");
    if (stream.is("endPrint") || stream.is("endBlock") || stream.isOperator(")") || stream.isName(...endsAt)) break;
    items.push(parseItem());
    if (!stream.isOperator(",")) break;
    isTuple = true;
  }
  if (!isTuple && items.length > 0) return items[0]!;
  if (!isTuple && !inParentheses) throw stream.fail(`Expected an expression, got ${stream.describe()}`);
  return { kind: "tuple", items };
}

function parseConditional(stream: TokenStream): Expression {
  let value = parseOr(stream);
  while (stream.skip("name", "if")) {
    const test = parseOr(stream);
    const otherwise = stream.skip("name", "else") ? parseConditional(stream) : undefined;
    value = { kind: "conditional", test, whenTrue: value, otherwise };
  }
  return value;
}

function parseOr(stream: TokenStream): Expression {
  let left = parseAnd(stream);
  while (stream.skip("name", "or")) left = { kind: "or", left, right: parseAnd(stream) };
  return left;
}

function parseAnd(stream: TokenStream): Expression {
  let left = parseNot(stream);
  while (stream.skip("name", "and")) left = { kind: "and", left, right: parseNot(stream) };
  return left;
}

function parseNot(stream: TokenStream): Expression {
  return stream.skip("name", "not") ? { kind: "not", operand: parseNot(stream) } : parseCompare(stream);
}

function parseCompare(stream: TokenStream): Expression {
  const first = parseSum(stream);
  const rest: (readonly [ComparisonOperator, Expression])[] = [];
  for (;;) {
    if (stream.isOperator(...COMPARISONS)) rest.push([stream.next().text as ComparisonOperator, parseSum(stream)]);
    else if (stream.skip("name", "in")) rest.push(["in", parseSum(stream)]);
    else if (stream.isName("not") && stream.following.type === "name" && stream.following.text === "in") {
      stream.next();
      stream.next();
      rest.push(["not in", parseSum(stream)]);
    } else break;
  }
  return rest.length === 0 ? first : { kind: "compare", first, rest };
}

function parseSum(stream: TokenStream): Expression {
  return parseBinary(stream, ["+", "-"], parseConcat);
}

function parseConcat(stream: TokenStream): Expression {
  const items = [parseProduct(stream)];
  while (stream.skip("operator", "~")) items.push(parseProduct(stream));
  return items.length === 1 ? items[0]! : { kind: "concat", items };
}

function parseProduct(stream: TokenStream): Expression {
  return parseBinary(stream, ["*", "/", "//", "%"], parsePower);
}

function parsePower(stream: TokenStream): Expression {
  return parseBinary(stream, ["**"], (inner) => parseUnary(inner));
}

function parseBinary(
  stream: TokenStream,
  operators: readonly BinaryOperator[],
  parseOperand: (stream: TokenStream) => Expression,
): Expression {
  let left = parseOperand(stream);
  while (stream.isOperator(...operators)) {
    const operator = stream.next().text as BinaryOperator;
    left = { kind: "binary", operator, left, right: parseOperand(stream) };
  }
  return left;
}

function parseUnary(stream: TokenStream, withFilters = true): Expression {
  let value: Expression;
  if (stream.skip("operator", "-")) value = { kind: "negative", operand: parseUnary(stream, false) };
  else if (stream.skip("operator", "+")) value = { kind: "positive", operand: parseUnary(stream, false) };
  else value = parsePrimary(stream);
  value = parsePostfix(stream, value);
  return withFilters ? parseFilters(stream, value) : value;
}

/** A name, a literal or something in brackets. */
export function parsePrimary(stream: TokenStream): Expression {
  const token = stream.current;
  switch (token.type) {
    case "name":
      stream.next();
      return constantOf(token.text) ?? { kind: "name", name: token.text };
    case "number":
      stream.next();
      return { kind: "constant", value: token.number! };
    case "string": {
      let text = "";
      while (stream.is("string")) text += stream.next().text;
      return { kind: "constant", value: text };
    }
    case "operator":
      if (stream.skip("operator", "(")) {
        const inner = parseTuple(stream, { inParentheses: true });
        stream.expect("operator", ")");
        return inner;
      }
      if (stream.isOperator("[")) return parseList(stream);
      if (stream.isOperator("{")) return parseDict(stream);
  }
  throw stream.fail(`unexpected ${stream.describe()}`);
}

function constantOf(name: string): Expression | undefined {
  if (name === "true" || name === "True") return { kind: "constant", value: true };
  if (name === "false" || name === "False") return { kind: "constant", value: false };
  return name === "none" || name === "None" ? { kind: "constant", value: null } : undefined;
}

function parseList(stream: TokenStream): Expression {
  const items: Expression[] = [];
  parseItems(stream, "[", "]", () => items.push(parseTemplateExpression(stream)));
  return { kind: "list", items };
}

function parseDict(stream: TokenStream): Expression {
  const entries: (readonly [Expression, Expression])[] = [];
  parseItems(stream, "{", "}", () => {
    const key = parseTemplateExpression(stream);
    stream.expect("operator", ":");
    entries.push([key, parseTemplateExpression(stream)]);
  });
  return { kind: "dict", entries };
}

/** Items between brackets, parted by commas; one more comma may follow the last. */
function parseItems(stream: TokenStream, open: string, close: string, parseItem: () => void): void {
  stream.expect("operator", open);
  for (let isFirst = true; !stream.isOperator(close); isFirst = false) {
    if (!isFirst) stream.expect("operator", ",");
    if (stream.isOperator(close)) break;
    parseItem();
  }
  stream.expect("operator", close);
}

function parsePostfix(stream: TokenStream, value: Expression): Expression {
  for (;;) {
    if (stream.skip("operator", ".")) value = parseAttribute(stream, value);
    else if (stream.isOperator("[")) value = parseSubscript(stream, value);
    else if (stream.isOperator("(")) value = { kind: "call", callee: value, arguments: parseArguments(stream) };
    else return value;
  }
}

function parseFilters(stream: TokenStream, value: Expression): Expression {
  for (;;) {
    if (stream.skip("operator", "|")) value = parseFilter(stream, value);
    else if (stream.skip("name", "is")) value = parseTest(stream, value);
    else if (stream.isOperator("(")) value = { kind: "call", callee: value, arguments: parseArguments(stream) };
    else return value;
  }
}

function parseAttribute(stream: TokenStream, object: Expression): Expression {
  const token = stream.next();
  if (token.type === "name") return { kind: "attribute", object, name: token.text };
  if (token.type === "number" && typeof token.number === "bigint") {
    return { kind: "item", object, index: { kind: "constant", value: token.number } };
  }
  throw stream.fail("expected name or number", token.line);
}

function parseSubscript(stream: TokenStream, object: Expression): Expression {
  const indices: Expression[] = [];
  let slice: Expression | undefined;
  parseItems(stream, "[", "]", () => {
    const found = parseIndex(stream, object);
    if (found.kind === "slice") slice = found;
    indices.push(found);
  });
  if (indices.length === 1) return slice ?? { kind: "item", object, index: indices[0]! };
  if (indices.length === 0) throw stream.fail("expected an index");
  if (slice !== undefined) throw stream.fail("slices of several dimensions are not supported");
  return { kind: "item", object, index: { kind: "tuple", items: indices } };
}

/** An index, or a slice of the object. */
function parseIndex(stream: TokenStream, object: Expression): Expression {
  const ends = (): boolean => stream.isOperator(":", "]", ",");
  const start = ends() ? undefined : parseTemplateExpression(stream);
  if (start !== undefined && !stream.isOperator(":")) return start;
  stream.expect("operator", ":");
  const stop = ends() ? undefined : parseTemplateExpression(stream);
  const step = stream.skip("operator", ":") && !ends() ? parseTemplateExpression(stream) : undefined;
  return { kind: "slice", object, parts: [start, stop, step] };
}

function parseArguments(stream: TokenStream): Arguments {
  const line = stream.current.line;
  const positional: Expression[] = [];
  const keywords: (readonly [string, Expression])[] = [];
  let rest: Expression | undefined;
  let keywordRest: Expression | undefined;
  const require = (isInOrder: boolean): void => {
    if (!isInOrder) throw stream.fail("invalid syntax for function call expression", line);
  };
  parseItems(stream, "(", ")", () => {
    if (stream.skip("operator", "*")) {
      require(rest === undefined && keywordRest === undefined);
      rest = parseTemplateExpression(stream);
    } else if (stream.skip("operator", "**")) {
      require(keywordRest === undefined);
      keywordRest = parseTemplateExpression(stream);
    } else if (stream.is("name") && stream.following.type === "operator" && stream.following.text === "=") {
      require(keywordRest === undefined);
      const name = stream.next().text;
      stream.next();
      if (keywords.some(([other]) => other === name)) throw stream.fail(`keyword argument repeated: ${name}`, line);
      keywords.push([name, parseTemplateExpression(stream)]);
    } else {
      require(rest === undefined && keywordRest === undefined && keywords.length === 0);
      positional.push(parseTemplateExpression(stream));
    }
  });
  return { positional, keywords, ...(rest && { rest }), ...(keywordRest && { keywordRest }) };
}

/** The filter that is named next, applied to `operand`; the bar before it has been read. */
export function parseFilter(stream: TokenStream, operand: Expression | undefined): FilterExpression {
  const name = parseDottedName(stream);
  const given = stream.isOperator("(") ? parseArguments(stream) : NO_ARGUMENTS;
  return { kind: "filter", operand, name, arguments: given };
}

/** Further filters after the first, each after its bar. */
export function parseFilterChain(stream: TokenStream, first: FilterExpression): FilterExpression {
  let filter = first;
  while (stream.skip("operator", "|")) filter = parseFilter(stream, filter);
  return filter;
}

function parseTest(stream: TokenStream, operand: Expression): Expression {
  const isNegated = stream.skip("name", "not");
  const name = parseDottedName(stream);
  let given = NO_ARGUMENTS;
  const startsArgument = stream.is("name") || stream.is("string") || stream.is("number") || stream.isOperator("[", "{");
  if (stream.isOperator("(")) given = parseArguments(stream);
  else if (startsArgument && !stream.isName("else", "or", "and")) {
    if (stream.isName("is")) throw stream.fail("You cannot chain multiple tests with is");
    given = { positional: [parsePostfix(stream, parsePrimary(stream))], keywords: [] };
  }
  const test: Expression = { kind: "test", operand, name, arguments: given };
  return isNegated ? { kind: "not", operand: test } : test;
}

function parseDottedName(stream: TokenStream): string {
  let name = stream.expect("name").text;
  while (stream.skip("operator", ".")) name += `.${stream.expect("name").text}`;
  return name;
}
