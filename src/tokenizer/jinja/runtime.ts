/** What exists while a template is rendered: its variables, its output, its loops and macros, and the limits on its work. */

import { TemplateError } from "./errors.ts";
import { toText } from "./text.ts";
import {
  Callable,
  equals,
  Generator,
  iterate,
  type Keywords,
  lengthOf,
  orElse,
  Tuple,
  Undefined,
  type Value,
} from "./values.ts";

/** Turns of loops and calls in one rendering; templates of the Hub need some thousands. */
const MOST_STEPS = 5_000_000;
/** The output of one rendering, in UTF-16 units. */
const LONGEST_OUTPUT = 2 ** 26;

/** What all parts of one rendering share. */
export class Rendering {
  readonly #given: ReadonlyMap<string, Value>;
  readonly #globals: ReadonlyMap<string, Value>;
  #steps = 0;
  #written = 0;

  constructor(given: ReadonlyMap<string, Value>, globals: ReadonlyMap<string, Value>) {
    this.#given = given;
    this.#globals = globals;
  }

  /** A name that the template does not assign itself. */
  resolve(name: string): Value | undefined {
    return this.#given.has(name) ? this.#given.get(name) : this.#globals.get(name);
  }

  /** Counts a turn of a loop or a call. Throws TemplateError where a template does not end. */
  step(): void {
    if (++this.#steps > MOST_STEPS) throw new TemplateError(`it takes more than ${MOST_STEPS} steps`);
  }

  countOutput(text: string): void {
    this.#written += text.length;
    if (this.#written > LONGEST_OUTPUT) throw new TemplateError(`it writes more than ${LONGEST_OUTPUT} characters`);
  }
}

/** The variables of one call: of the template itself, a macro, a turn of a recursive loop. They see those around them. */
export class Activation {
  readonly rendering: Rendering;
  readonly #parent: Activation | undefined;
  readonly #variables = new Map<string, Value | undefined>();
  #output: string[] = [];

  constructor(rendering: Rendering, parent?: Activation) {
    this.rendering = rendering;
    this.#parent = parent;
  }

  /** The variable's value; undefined where it has none. */
  get(variable: string): Value | undefined {
    if (this.#variables.has(variable)) return this.#variables.get(variable);
    return this.#parent?.get(variable);
  }

  set(variable: string, value: Value | undefined): void {
    this.#variables.set(variable, value);
  }

  write(text: string): void {
    this.rendering.countOutput(text);
    this.#output.push(text);
  }

  /** What `render` writes, kept apart from the rest. */
  capture(render: () => void): string {
    const outer = this.#output;
    this.#output = [];
    try {
      render();
      return this.#output.join("");
    } finally {
      this.#output = outer;
    }
  }
}

/** `loop` inside a loop: where it is, and what comes before and after. */
export class LoopContext extends Callable {
  override readonly typeName = "LoopContext";
  readonly #source: Value;
  readonly #depth0: number;
  #values: Iterator<Value>;
  #index0 = -1;
  #length: number | undefined;
  #before: Value | undefined;
  #current: Value | undefined;
  #after: Value | undefined;
  #lastChecked: readonly Value[] | undefined;

  /** `recurse` renders the loop's body over other values, where it is a recursive one. */
  constructor(source: Value, depth0: number, recurse: ((values: Value, depth0: number) => Value) | undefined) {
    super("loop", (args) => {
      if (recurse === undefined) {
        throw new TemplateError("The loop must have the 'recursive' marker to be called recursively.");
      }
      if (args.length !== 1) throw new TemplateError("loop() takes one argument");
      return recurse(args[0]!, depth0 + 1);
    });
    this.#source = source;
    this.#depth0 = depth0;
    this.#values = iterate(source)[Symbol.iterator]();
  }

  /** Goes to the next value; undefined at the end. */
  next(): Value | undefined {
    const value = this.#peek();
    this.#after = undefined;
    if (value === undefined) return undefined;
    this.#index0++;
    this.#before = this.#current;
    this.#current = value;
    return value;
  }

  override attribute(name: string): Value | undefined {
    switch (name) {
      case "index":
        return BigInt(this.#index0 + 1);
      case "index0":
        return BigInt(this.#index0);
      case "revindex":
        return BigInt(this.#countAll() - this.#index0);
      case "revindex0":
        return BigInt(this.#countAll() - this.#index0 - 1);
      case "first":
        return this.#index0 === 0;
      case "last":
        return this.#peek() === undefined;
      case "length":
        return BigInt(this.#countAll());
      case "depth":
        return BigInt(this.#depth0 + 1);
      case "depth0":
        return BigInt(this.#depth0);
      case "previtem":
        return orElse(this.#before, () => new Undefined("there is no previous item"));
      case "nextitem":
        return orElse(this.#peek(), () => new Undefined("there is no next item"));
      case "cycle":
        return new Callable(name, (args) => {
          if (args.length === 0) throw new TemplateError("no items for cycling given");
          return args[this.#index0 % args.length]!;
        });
      case "changed":
        return new Callable(name, (args) => {
          const isChanged = this.#lastChecked === undefined || !equals(this.#lastChecked, args);
          if (isChanged) this.#lastChecked = args;
          return isChanged;
        });
    }
    return undefined;
  }

  /** The next value without going there. */
  #peek(): Value | undefined {
    if (this.#after === undefined) {
      const { done, value } = this.#values.next();
      this.#after = done === true ? undefined : value;
    }
    return this.#after;
  }

  /** The number of values. A generator has to be run to its end for it. */
  #countAll(): number {
    if (this.#length === undefined) {
      if (this.#source instanceof Generator) {
        const rest: Value[] = [];
        for (let next = this.#values.next(); next.done !== true; next = this.#values.next()) rest.push(next.value);
        this.#values = rest[Symbol.iterator]();
        this.#length = rest.length + this.#index0 + 1 + Number(this.#after !== undefined);
      } else this.#length = lengthOf(this.#source)!;
    }
    return this.#length;
  }
}

/** What a macro takes. */
export interface MacroSignature {
  /** undefined for the body of a `call` block. */
  readonly name: string | undefined;
  readonly parameters: readonly string[];
  /** Which of the three special names its body asks for. */
  readonly takesCaller: boolean;
  readonly takesKeywords: boolean;
  readonly takesRest: boolean;
}

/** The values of a macro's parameters, undefined where none was given, and of the special ones that it takes. */
export interface MacroArguments {
  readonly values: readonly (Value | undefined)[];
  readonly caller: Value | undefined;
  readonly keywords: Keywords;
  readonly rest: Tuple;
}

/** A macro: called, it gives the text that its body renders. */
export class Macro extends Callable {
  override readonly typeName = "Macro";
  readonly #signature: MacroSignature;

  constructor(signature: MacroSignature, render: (given: MacroArguments) => string) {
    super(signature.name ?? "anonymous", (args, keywords) => render(matchArguments(signature, args, keywords)));
    this.#signature = signature;
  }

  override attribute(name: string): Value | undefined {
    const { name: own, parameters, takesCaller, takesKeywords, takesRest } = this.#signature;
    switch (name) {
      case "name":
        return own ?? null;
      case "arguments":
        return new Tuple(parameters);
      case "caller":
        return takesCaller;
      case "catch_kwargs":
        return takesKeywords;
      case "catch_varargs":
        return takesRest;
    }
    return undefined;
  }
}

function matchArguments(signature: MacroSignature, args: readonly Value[], keywords: Keywords): MacroArguments {
  const { parameters, takesCaller, takesKeywords, takesRest } = signature;
  const name = signature.name ?? "anonymous";
  const left = new Map(keywords);
  const take = (parameter: string): Value | undefined => {
    const value = left.get(parameter);
    left.delete(parameter);
    return value;
  };
  const values = parameters.map((parameter, i) => (i < args.length ? args[i] : take(parameter)));
  const takesImplicitCaller = takesCaller && !parameters.includes("caller");
  const caller = takesImplicitCaller ? (take("caller") ?? new Undefined("No caller defined")) : undefined;
  if (!takesKeywords && left.size > 0) {
    throw new TemplateError(`macro '${name}' takes no keyword argument '${[...left.keys()][0]}'`);
  }
  const rest = args.slice(parameters.length);
  if (!takesRest && rest.length > 0) {
    throw new TemplateError(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
  }
  return { values, caller, keywords: left, rest: new Tuple(rest) };
}

/** `callee(args, keywords)`. */
export function callValue(callee: Value, args: readonly Value[], keywords: Keywords): Value {
  if (callee instanceof Callable) return callee.call(args, keywords);
  if (callee instanceof Undefined) callee.fail();
  throw new TemplateError(`${toText(callee).slice(0, 40)} is not callable`);
}
