/**
 * Which variable a name means, as Jinja2 decides it before anything is rendered.
 *
 * A loop, macro, `with` and block of text each have a frame of variables. A name that a frame assigns is a variable of its
 * own there, which begins with the outer one's value, if there is one; a name that no frame assigns is looked up in what the
 * template was given. The decision reads the whole frame first: in
 *
 *     {% for m in messages %}{{ tools }}{% endfor %}{% set tools = 1 %}
 *
 * the loop prints nothing, even where a `tools` was given, since the template assigns that name itself, later. Such things
 * are why the analysis is copied rather than a lookup through dictionaries put in its place.
 */

import type { Arguments, Block, Expression, IfStatement, Statement, Target } from "./ast.ts";

/** What a variable holds when its frame begins. */
export type Load =
  | { readonly kind: "parameter" }
  | { readonly kind: "resolve"; readonly name: string }
  | { readonly kind: "alias"; readonly variable: string }
  | { readonly kind: "missing" };

/** The variables of one frame. */
export class Symbols {
  readonly #level: number;
  readonly #parent: Symbols | undefined;
  #variables: Map<string, string>;
  #loads: Map<string, Load>;
  #stores: Set<string>;

  constructor(parent?: Symbols, level = parent === undefined ? 0 : parent.#level + 1) {
    this.#parent = parent;
    this.#level = level;
    this.#variables = new Map();
    this.#loads = new Map();
    this.#stores = new Set();
  }

  /** Variables and what they begin with. */
  get loads(): ReadonlyMap<string, Load> {
    return this.#loads;
  }

  /** The variable that a name means here; every name of an analysed frame has one. */
  variableOf(name: string): string {
    const variable = this.#find(name);
    if (variable === undefined) throw new Error(`the name ${name} was not analysed`);
    return variable;
  }

  declareParameter(name: string): string {
    this.#stores.add(name);
    return this.#define(name, { kind: "parameter" });
  }

  /** The names that statements read and assign, frames within them left out. */
  analyse(statements: Block): void {
    for (const statement of statements) this.#statement(statement);
  }

  /** The names that an expression reads. */
  read(expression: Expression): void {
    for (const child of childrenOf(expression)) this.read(child);
    if (expression.kind === "name") this.#load(expression.name);
  }

  /** Names that are assigned by what begins the frame: a loop, a `with`. */
  declareTarget(target: Target): void {
    forEachName(target, (name) => this.declareParameter(name));
  }

  #statement(statement: Statement): void {
    switch (statement.kind) {
      case "print":
        this.read(statement.value);
        break;
      case "set":
        this.read(statement.value);
        this.#assign(statement.target);
        break;
      case "setBlock":
        this.#assign(statement.target);
        break;
      case "if":
        this.#if(statement);
        break;
      case "for":
        this.read(statement.iterable);
        break;
      case "macro":
        this.#store(statement.name);
        break;
      case "callBlock":
        if (statement.call !== undefined) this.read(statement.call);
        break;
      case "filterBlock":
        this.read(statement.filter);
        break;
      case "with":
        for (const value of statement.values) this.read(value);
    }
  }

  #assign(target: Target): void {
    forEachName(
      target,
      (name) => this.#store(name),
      (name) => this.#load(name),
    );
  }

  #if({ branches, otherwise }: IfStatement): void {
    const [first, ...others] = branches;
    this.read(first!.test);
    const body = this.#copy();
    body.analyse(first!.body);
    const elifs = this.#copy();
    for (const branch of others) elifs.#if({ kind: "if", branches: [branch], otherwise: [] });
    const last = this.#copy();
    last.analyse(otherwise);
    this.#merge([body, elifs, last]);
  }

  /** A name that only a branch assigns begins with what it means outside, since the branch may not be taken. */
  #merge(branches: readonly Symbols[]): void {
    const assigned = new Set(branches.flatMap((branch) => [...branch.#stores]));
    for (const name of this.#stores) assigned.delete(name);
    for (const branch of branches) {
      for (const [name, variable] of branch.#variables) this.#variables.set(name, variable);
      for (const [variable, load] of branch.#loads) this.#loads.set(variable, load);
      for (const name of branch.#stores) this.#stores.add(name);
    }
    for (const name of assigned) {
      const outer = this.#findOutside(name);
      const load: Load = outer === undefined ? { kind: "resolve", name } : { kind: "alias", variable: outer };
      this.#loads.set(this.variableOf(name), load);
    }
  }

  #store(name: string): void {
    this.#stores.add(name);
    if (this.#variables.has(name)) return;
    const outer = this.#findOutside(name);
    this.#define(name, outer === undefined ? { kind: "missing" } : { kind: "alias", variable: outer });
  }

  #load(name: string): void {
    if (this.#find(name) === undefined) this.#define(name, { kind: "resolve", name });
  }

  #define(name: string, load: Load): string {
    const variable = `${this.#level}:${name}`;
    this.#variables.set(name, variable);
    this.#loads.set(variable, load);
    return variable;
  }

  #find(name: string): string | undefined {
    return this.#variables.get(name) ?? this.#findOutside(name);
  }

  #findOutside(name: string): string | undefined {
    return this.#parent === undefined ? undefined : this.#parent.#find(name);
  }

  #copy(): Symbols {
    const copy = new Symbols(this.#parent, this.#level);
    copy.#variables = new Map(this.#variables);
    copy.#loads = new Map(this.#loads);
    copy.#stores = new Set(this.#stores);
    return copy;
  }
}

/**
 * Which of these names the statements read before they assign them, within frames of their own too: what a macro gets only
 * where it asks for it (`caller`, `varargs`, `kwargs`), and whether a loop needs its `loop`.
 */
export function namesRead(statements: Block, names: readonly string[]): ReadonlySet<string> {
  const open = new Set(names);
  const found = new Set<string>();
  const read = (expression: Expression | undefined): void => {
    if (expression === undefined) return;
    if (expression.kind === "name" && open.has(expression.name)) found.add(expression.name);
    childrenOf(expression).forEach(read);
  };
  const close = (target: Target): void => forEachName(target, (name) => void open.delete(name));
  const visit = (block: Block): void => {
    for (const statement of block) {
      if ("parameters" in statement) {
        if (statement.kind === "callBlock") read(statement.call);
        for (const name of statement.parameters) open.delete(name);
        statement.defaults.forEach(read);
      }
      if (statement.kind === "set" || statement.kind === "setBlock" || statement.kind === "for")
        close(statement.target);
      if (statement.kind === "print" || statement.kind === "set") read(statement.value);
      if (statement.kind === "setBlock") read(statement.filter);
      if (statement.kind === "for") read(statement.iterable);
      if (statement.kind === "with") {
        statement.targets.forEach(close);
        statement.values.forEach(read);
      }
      if (statement.kind === "if") {
        for (const { test, body } of statement.branches) {
          read(test);
          visit(body);
        }
      }
      if ("body" in statement) visit(statement.body);
      if (statement.kind === "filterBlock") read(statement.filter);
      if ("otherwise" in statement) visit(statement.otherwise);
      if (statement.kind === "for") read(statement.test);
    }
  };
  visit(statements);
  return found;
}

/** Whether the statements, or frames within them, assign the name. */
export function assignsName(statements: Block, name: string): boolean {
  return statements.some((statement) => {
    if ("target" in statement && targetHas(statement.target, name)) return true;
    if ("targets" in statement && statement.targets.some((target) => targetHas(target, name))) return true;
    const blocks: Block[] = [];
    if ("body" in statement) blocks.push(statement.body);
    if ("branches" in statement) blocks.push(...statement.branches.map(({ body }) => body));
    if ("otherwise" in statement) blocks.push(statement.otherwise);
    return blocks.some((block) => assignsName(block, name));
  });
}

/** Whether a target assigns the name. */
export function targetHas(target: Target, name: string): boolean {
  let has = false;
  forEachName(target, (found) => {
    has ||= found === name;
  });
  return has;
}

function forEachName(target: Target, onName: (name: string) => void, onNamespace?: (name: string) => void): void {
  if (target.kind === "name") onName(target.name);
  else if (target.kind === "namespace") onNamespace?.(target.name);
  else for (const item of target.items) forEachName(item, onName, onNamespace);
}

/** The expressions that an expression is made of. */
function childrenOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case "list":
    case "tuple":
    case "concat":
      return expression.items;
    case "dict":
      return expression.entries.flat();
    case "binary":
    case "and":
    case "or":
      return [expression.left, expression.right];
    case "not":
    case "negative":
    case "positive":
      return [expression.operand];
    case "compare":
      return [expression.first, ...expression.rest.map(([, operand]) => operand)];
    case "conditional":
      return present(expression.test, expression.whenTrue, expression.otherwise);
    case "attribute":
      return [expression.object];
    case "item":
      return [expression.object, expression.index];
    case "slice":
      return present(expression.object, ...expression.parts);
    case "call":
      return [expression.callee, ...argumentValues(expression.arguments)];
    case "filter":
    case "test":
      return present(expression.operand, ...argumentValues(expression.arguments));
    case "constant":
    case "name":
      return [];
  }
}

function argumentValues({ positional, keywords, rest, keywordRest }: Arguments): readonly Expression[] {
  return present(...positional, ...keywords.map(([, value]) => value), rest, keywordRest);
}

function present(...expressions: readonly (Expression | undefined)[]): readonly Expression[] {
  return expressions.filter((expression) => expression !== undefined);
}
