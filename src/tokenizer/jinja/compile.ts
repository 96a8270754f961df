/** Statements as functions that write text, in the frames of variables that `symbols.ts` finds. */

import type { Block, CallBlock, ForStatement, MacroStatement, Statement, Target } from "./ast.ts";
import { compileCall, compileExpression, type Evaluate, type ExpressionScope } from "./compile-expression.ts";
import { TemplateError, TemplateSyntaxError } from "./errors.ts";
import { Activation, LoopContext, Macro, type MacroArguments, type MacroSignature } from "./runtime.ts";
import { assignsName, namesRead, Symbols, targetHas } from "./symbols.ts";
import { toText } from "./text.ts";
import { Dict, Generator, iterate, Namespace, truth, Undefined, type Value } from "./values.ts";

/** How a statement ends: as usual, or by leaving the turn of the loop, or the loop. */
type Flow = undefined | "break" | "continue";
type Execute = (activation: Activation) => Flow;

/** The variable that holds the text of a block while its filters run; no name of a template is spelled so. */
const BLOCK_TEXT = "text of the block";
const readBlockText: Evaluate = (activation) => activation.get(BLOCK_TEXT)!;

interface Scope extends ExpressionScope {
  /** Whether `break` has a loop to leave; macros begin anew. */
  readonly isInLoop: boolean;
}

/** The template as a function that writes it. Throws TemplateSyntaxError for what Jinja2 does not compile either. */
export function compileTemplate(statements: Block): (activation: Activation) => void {
  const symbols = new Symbols();
  symbols.analyse(statements);
  const body = compileBlock(statements, { symbols, isConditional: false, isInLoop: false });
  return (activation) => {
    enter(symbols, activation);
    body(activation);
  };
}

function compileBlock(statements: Block, scope: Scope): Execute {
  const compiled = statements.map((statement) => compileStatement(statement, scope));
  return (activation) => {
    for (const execute of compiled) {
      const flow = execute(activation);
      if (flow !== undefined) return flow;
    }
    return undefined;
  };
}

function compileStatement(statement: Statement, scope: Scope): Execute {
  switch (statement.kind) {
    case "text": {
      const { text } = statement;
      return (activation) => void activation.write(text);
    }
    case "print": {
      const value = compileExpression(statement.value, scope);
      return (activation) => void activation.write(toText(value(activation)));
    }
    case "set": {
      const value = compileExpression(statement.value, scope);
      const assign = compileTarget(statement.target, scope.symbols);
      return (activation) => {
        assign.check(activation);
        assign.write(activation, value(activation));
        return undefined;
      };
    }
    case "break":
    case "continue": {
      if (!scope.isInLoop) throw new TemplateSyntaxError(`'${statement.kind}' outside loop`);
      const { kind } = statement;
      return () => kind;
    }
    case "if":
      return compileIf(statement, scope);
    case "for":
      return compileFor(statement, scope);
    case "macro":
      return compileMacro(statement, scope);
    case "callBlock":
      return compileCallBlock(statement, scope);
    case "setBlock":
      return compileSetBlock(statement, scope);
    case "filterBlock": {
      const inner = innerScope(scope);
      inner.symbols.analyse(statement.body);
      inner.symbols.read(statement.filter);
      const body = compileBlock(statement.body, inner);
      const filter = compileExpression(statement.filter, inner, readBlockText);
      return (activation) => {
        enter(inner.symbols, activation);
        const { text, flow } = captured(activation, body);
        if (flow !== undefined) return flow;
        activation.set(BLOCK_TEXT, text);
        activation.write(toText(filter(activation)));
        leave(inner.symbols, activation);
        return undefined;
      };
    }
    case "with":
      return compileWith(statement, scope);
  }
}

function compileIf(statement: Statement & { kind: "if" }, scope: Scope): Execute {
  const inner: Scope = { ...scope, isConditional: true };
  const branches = statement.branches.map(({ test, body }) => ({
    test: compileExpression(test, inner),
    body: compileBlock(body, inner),
  }));
  const otherwise = compileBlock(statement.otherwise, inner);
  return (activation) => {
    for (const { test, body } of branches) if (truth(test(activation))) return body(activation);
    return otherwise(activation);
  };
}

function compileSetBlock(statement: Statement & { kind: "setBlock" }, scope: Scope): Execute {
  const inner = innerScope(scope);
  inner.symbols.analyse(statement.body);
  if (statement.filter !== undefined) inner.symbols.read(statement.filter);
  const body = compileBlock(statement.body, inner);
  const value =
    statement.filter === undefined ? readBlockText : compileExpression(statement.filter, inner, readBlockText);
  const assign = compileTarget(statement.target, scope.symbols);
  return (activation) => {
    enter(inner.symbols, activation);
    const { text, flow } = captured(activation, body);
    if (flow !== undefined) return flow;
    activation.set(BLOCK_TEXT, text);
    assign.check(activation);
    assign.write(activation, value(activation));
    leave(inner.symbols, activation);
    return undefined;
  };
}

function compileWith(statement: Statement & { kind: "with" }, scope: Scope): Execute {
  const inner = innerScope(scope);
  for (const target of statement.targets) inner.symbols.declareTarget(target);
  inner.symbols.analyse(statement.body);
  const assignments = statement.targets.map((target, i) => ({
    target: compileTarget(target, inner.symbols),
    value: compileExpression(statement.values[i]!, scope),
  }));
  const body = compileBlock(statement.body, inner);
  return (activation) => {
    enter(inner.symbols, activation);
    for (const { target, value } of assignments) target.write(activation, value(activation));
    const flow = body(activation);
    leave(inner.symbols, activation);
    return flow;
  };
}

/**
 * A loop. Its `else` part is rendered if no turn reached its end; `break` and `continue` leave a turn before its end.
 */
function compileFor(statement: ForStatement, scope: Scope): Execute {
  const inner: Scope = { ...innerScope(scope), isInLoop: true };
  const needsLoop = statement.recursive || namesRead(statement.body, ["loop"]).has("loop");
  const loopVariable = needsLoop ? inner.symbols.declareParameter("loop") : undefined;
  inner.symbols.declareTarget(statement.target);
  inner.symbols.analyse(statement.body);
  const writesLoop =
    targetHas(statement.target, "loop") || assignsName([...statement.body, ...statement.otherwise], "loop");
  if (writesLoop) throw new TemplateSyntaxError(`Can't assign to special loop variable (line ${statement.line})`);
  const target = compileTarget(statement.target, inner.symbols);
  const body = compileBlock(statement.body, inner);
  const iterable = compileExpression(statement.iterable, scope);
  const filter = compileLoopTest(statement, scope);
  const otherwiseScope = innerScope(scope);
  otherwiseScope.symbols.analyse(statement.otherwise);
  const otherwise = compileBlock(statement.otherwise, otherwiseScope);

  const run = (activation: Activation, values: Value, depth0: number, recurse: Recurse | undefined): Flow => {
    const source = filter === undefined ? values : filter(activation, values);
    const loop = loopVariable === undefined ? undefined : new LoopContext(source, depth0, recurse);
    const iterator = loop === undefined ? iterate(source)[Symbol.iterator]() : undefined;
    const next = (): Value | undefined => {
      if (loop !== undefined) return loop.next();
      const { done, value } = iterator!.next();
      return done === true ? undefined : value;
    };
    let isCompleted = false;
    for (let value = next(); value !== undefined; value = next()) {
      activation.rendering.step();
      target.write(activation, value);
      if (loopVariable !== undefined) activation.set(loopVariable, loop);
      enter(inner.symbols, activation);
      const flow = body(activation);
      if (flow === "break") break;
      if (flow === undefined) isCompleted = true;
    }
    leave(inner.symbols, activation);
    if (isCompleted || statement.otherwise.length === 0) return undefined;
    enter(otherwiseScope.symbols, activation);
    const flow = otherwise(activation);
    leave(otherwiseScope.symbols, activation);
    return flow;
  };
  if (!statement.recursive) return (activation) => run(activation, iterable(activation), 0, undefined);
  return (activation) => {
    const recurse: Recurse = (values, depth0) => {
      activation.rendering.step();
      const own = new Activation(activation.rendering, activation);
      return own.capture(() => void run(own, values, depth0, recurse));
    };
    activation.write(toText(recurse(iterable(activation), 0)));
    return undefined;
  };
}

type Recurse = (values: Value, depth0: number) => Value;

/** The `if` of a loop, which is asked as the loop goes on: it sees what the loop's body has changed. */
function compileLoopTest(
  statement: ForStatement,
  scope: Scope,
): ((activation: Activation, values: Value) => Value) | undefined {
  if (statement.test === undefined) return undefined;
  const inner = innerScope(scope);
  inner.symbols.declareTarget(statement.target);
  inner.symbols.read(statement.test);
  const target = compileTarget(statement.target, inner.symbols);
  const test = compileExpression(statement.test, inner);
  return (activation, values) => {
    const own = new Activation(activation.rendering, activation);
    function* chosen(): Iterable<Value> {
      enter(inner.symbols, own);
      for (const value of iterate(values)) {
        own.rendering.step();
        target.write(own, value);
        if (truth(test(own))) yield value;
      }
    }
    return new Generator(chosen());
  };
}

function compileMacro(statement: MacroStatement, scope: Scope): Execute {
  const make = compileMacroBody(statement, statement.name, scope);
  const variable = scope.symbols.variableOf(statement.name);
  return (activation) => void activation.set(variable, make(activation));
}

function compileCallBlock(statement: CallBlock, scope: Scope): Execute {
  const make = compileMacroBody(statement, undefined, scope);
  const call: Evaluate =
    statement.call === undefined
      ? (activation) => (make(activation) as Macro).call([], new Map())
      : compileCall(statement.call, scope, undefined, make);
  return (activation) => void activation.write(toText(call(activation)));
}

/** What makes the macro of a `macro` or `call` block, bound to the variables around it. */
function compileMacroBody(statement: MacroStatement | CallBlock, name: string | undefined, scope: Scope): Evaluate {
  const { parameters, defaults, body } = statement;
  const symbols = new Symbols(scope.symbols);
  const read = namesRead(body, ["caller", "kwargs", "varargs"]);
  const takes = (special: string): boolean => read.has(special) && !parameters.includes(special);
  const callerIndex = parameters.indexOf("caller");
  const firstDefault = parameters.length - defaults.length;
  if (read.has("caller") && callerIndex >= 0 && callerIndex < firstDefault) {
    throw new TemplateSyntaxError('the special "caller" argument of a macro must be omitted or be given a default');
  }
  const variables = parameters.map((parameter) => symbols.declareParameter(parameter));
  const signature: MacroSignature = {
    name,
    parameters,
    takesCaller: read.has("caller"),
    takesKeywords: takes("kwargs"),
    takesRest: takes("varargs"),
  };
  const caller = takes("caller") ? symbols.declareParameter("caller") : undefined;
  const keywords = signature.takesKeywords ? symbols.declareParameter("kwargs") : undefined;
  const rest = signature.takesRest ? symbols.declareParameter("varargs") : undefined;
  for (const value of defaults) symbols.read(value);
  symbols.analyse(body);
  const inner: Scope = { symbols, isConditional: false, isInLoop: false };
  const defaultValues = defaults.map((value) => compileExpression(value, inner));
  const execute = compileBlock(body, inner);

  const render = (outer: Activation, given: MacroArguments): string => {
    const activation = new Activation(outer.rendering, outer);
    enter(symbols, activation);
    variables.forEach((variable, i) => void activation.set(variable, given.values[i]));
    if (caller !== undefined) activation.set(caller, given.caller);
    if (keywords !== undefined) activation.set(keywords, new Dict(given.keywords));
    if (rest !== undefined) activation.set(rest, given.rest);
    variables.forEach((variable, i) => {
      if (given.values[i] !== undefined) return;
      const otherwise = defaultValues[i - firstDefault];
      const missing = new Undefined(`parameter '${parameters[i]}' was not provided`);
      activation.set(variable, otherwise === undefined ? missing : otherwise(activation));
    });
    return activation.capture(() => void execute(activation));
  };
  return (activation) => new Macro(signature, (given) => render(activation, given));
}

interface Assignment {
  /** Throws TemplateError where an attribute is to be set on what is no namespace. */
  check(activation: Activation): void;
  write(activation: Activation, value: Value): void;
}

function compileTarget(target: Target, symbols: Symbols): Assignment {
  const variable = target.kind === "tuple" ? "" : symbols.variableOf(target.name);
  switch (target.kind) {
    case "name":
      return { check: () => {}, write: (activation, value) => activation.set(variable, value) };
    case "namespace":
      return {
        check: (activation) => {
          if (activation.get(variable) instanceof Namespace) return;
          throw new TemplateError("cannot assign attribute on non-namespace object");
        },
        write: (activation, value) => (activation.get(variable) as Namespace).set(target.attribute, value),
      };
    case "tuple": {
      const items = target.items.map((item) => compileTarget(item, symbols));
      return {
        check: (activation) => {
          for (const item of items) item.check(activation);
        },
        write: (activation, value) => {
          const values = [...iterate(value)];
          if (values.length !== items.length) {
            throw new TemplateError(`expected ${items.length} values to unpack, got ${values.length}`);
          }
          items.forEach((item, i) => {
            item.write(activation, values[i]!);
          });
        },
      };
    }
  }
}

function innerScope(scope: Scope): Scope {
  return { symbols: new Symbols(scope.symbols), isConditional: false, isInLoop: scope.isInLoop };
}

/** Gives the frame's variables what they begin with; parameters have been written by what begins the frame. */
function enter(symbols: Symbols, activation: Activation): void {
  for (const [variable, load] of symbols.loads) {
    if (load.kind === "resolve") activation.set(variable, activation.rendering.resolve(load.name));
    else if (load.kind === "alias") activation.set(variable, activation.get(load.variable));
    else if (load.kind === "missing") activation.set(variable, undefined);
  }
}

function leave(symbols: Symbols, activation: Activation): void {
  for (const variable of symbols.loads.keys()) activation.set(variable, undefined);
}

function captured(activation: Activation, body: Execute): { readonly text: string; readonly flow: Flow } {
  let flow: Flow;
  const text = activation.capture(() => {
    flow = body(activation);
  });
  return { text, flow };
}
