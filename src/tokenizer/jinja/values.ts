/**
 * The values that a template computes with, as Python has them: whole numbers apart from floats, lists apart from tuples,
 * dictionaries in order of insertion with keys of any hashable type, and Jinja2's undefined value.
 *
 *     Python    None   bool      int      float    str      list      others
 *     here      null   boolean   bigint   number   string   Value[]   the classes below
 *
 * A template cannot change a list or a dictionary (transformers renders in Jinja2's immutable sandbox), so lists are plain
 * arrays. Texts are JavaScript strings; whatever counts or cuts characters goes by code points, as Python does.
 */

import { ExactNumber } from "../../exact-json.ts";
import { TemplateError, UnsupportedTemplateError } from "./errors.ts";

export type Value = null | boolean | bigint | number | string | readonly Value[] | TemplateObject;

/** Keyword arguments of a call, in the order in which they were given. */
export type Keywords = ReadonlyMap<string, Value>;

/** Everything that is no scalar and no list. */
export abstract class TemplateObject {
  /** The name of its Python type. */
  abstract readonly typeName: string;

  /** An attribute that Python's object has under this name, or undefined where it has none. */
  attribute(_name: string): Value | undefined {
    return undefined;
  }
}

/** Jinja2's undefined value: empty as text and as a sequence, false; every other operation on it is an error. */
export class Undefined extends TemplateObject {
  readonly typeName = "Undefined";
  /** What an operation on it says. */
  readonly message: string;

  constructor(message: string) {
    super();
    this.message = message;
  }

  fail(): never {
    throw new TemplateError(this.message);
  }
}

/** A tuple: a list that cannot be changed, and prints in parentheses. */
export class Tuple extends TemplateObject {
  readonly typeName: string = "tuple";
  readonly items: readonly Value[];

  constructor(items: readonly Value[]) {
    super();
    this.items = items;
  }
}

/** Text that `safe` or `escape` marked: a str that escapes what is joined to it. */
export class Markup extends TemplateObject {
  readonly typeName = "Markup";
  readonly text: string;

  constructor(text: string) {
    super();
    this.text = text;
  }
}

/** A dictionary: keys are equal as in Python (1, 1.0 and True are one key), and the first spelling of a key stays. */
export class Dict extends TemplateObject {
  readonly typeName = "dict";
  readonly #entries = new Map<string, readonly [key: Value, value: Value]>();

  constructor(entries: Iterable<readonly [Value, Value]> = []) {
    super();
    for (const [key, value] of entries) this.set(key, value);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Throws TemplateError for a key that is not hashable, as `get` and `has` do. */
  set(key: Value, value: Value): void {
    const hash = hashOf(key);
    this.#entries.set(hash, [this.#entries.get(hash)?.[0] ?? key, value]);
  }

  get(key: Value): Value | undefined {
    return this.#entries.get(hashOf(key))?.[1];
  }

  has(key: Value): boolean {
    return this.#entries.has(hashOf(key));
  }

  keys(): Value[] {
    return this.entries().map(([key]) => key);
  }

  entries(): (readonly [Value, Value])[] {
    return [...this.#entries.values()];
  }
}

/** `dict.keys()`, `.values()` and `.items()`: they can be looped over, counted and searched, not indexed. */
export class DictView extends TemplateObject {
  readonly typeName: string;
  readonly items: readonly Value[];

  constructor(kind: "keys" | "values" | "items", dict: Dict) {
    super();
    this.typeName = `dict_${kind}`;
    const entries = dict.entries();
    if (kind === "items") this.items = entries.map((entry) => new Tuple(entry));
    else this.items = entries.map(([key, value]) => (kind === "keys" ? key : value));
  }
}

/** What `range()` makes. */
export class Range extends TemplateObject {
  readonly typeName = "range";
  readonly start: bigint;
  readonly stop: bigint;
  readonly step: bigint;
  readonly length: number;

  /** The sandbox allows no more numbers than this. */
  static readonly LONGEST = 100_000;

  constructor(start: bigint, stop: bigint, step: bigint) {
    super();
    if (step === 0n) throw new TemplateError("range() arg 3 must not be zero");
    [this.start, this.stop, this.step] = [start, stop, step];
    const distance = step > 0n ? stop - start : start - stop;
    const stride = step > 0n ? step : -step;
    const length = distance > 0n ? (distance + stride - 1n) / stride : 0n;
    if (length > BigInt(Range.LONGEST)) throw new TemplateError(`a range of ${length} numbers is too long`);
    this.length = Number(length);
  }

  items(): bigint[] {
    return Array.from({ length: this.length }, (_, i) => this.start + BigInt(i) * this.step);
  }

  override attribute(name: string): Value | undefined {
    return name === "start" ? this.start : name === "stop" ? this.stop : name === "step" ? this.step : undefined;
  }
}

/** A generator or iterator: its values come once. As text it would be an address in memory. */
export class Generator extends TemplateObject {
  readonly typeName: string;
  readonly #values: Iterator<Value>;

  constructor(values: Iterable<Value>, typeName = "generator") {
    super();
    this.#values = values[Symbol.iterator]();
    this.typeName = typeName;
  }

  /** Leaving a loop over it early does not close it, as in Python. */
  next(): IteratorResult<Value> {
    return this.#values.next();
  }
}

/** What `namespace()` makes: attributes that `set` may write from inner scopes. */
export class Namespace extends TemplateObject {
  readonly typeName = "Namespace";
  readonly attributes = new Map<string, Value>();

  set(name: string, value: Value): void {
    if (name.startsWith("_")) {
      throw new TemplateError(`a namespace cannot store ${name}: its attributes must not begin with an underscore`);
    }
    this.attributes.set(name, value);
  }

  override attribute(name: string): Value | undefined {
    return this.attributes.get(name);
  }
}

/** Something that can be called: a method, a global function, a macro. */
export class Callable extends TemplateObject {
  readonly typeName: string = "function";
  readonly label: string;
  readonly call: (args: readonly Value[], keywords: Keywords) => Value;

  constructor(label: string, call: (args: readonly Value[], keywords: Keywords) => Value) {
    super();
    this.label = label;
    this.call = call;
  }
}

/** The value where there is one, None too; else what `otherwise` gives. */
export function orElse(value: Value | undefined, otherwise: () => Value): Value {
  return value === undefined ? otherwise() : value;
}

/** Whether it is a str to Python; marked text is one. */
export function isString(value: Value): value is string | Markup {
  return typeof value === "string" || value instanceof Markup;
}

/** Whether it is a number to Python, where booleans are. */
export function isNumber(value: Value): value is boolean | bigint | number {
  return typeof value === "bigint" || typeof value === "number" || typeof value === "boolean";
}

/** Whether it is a list. */
export function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

/** The name of a value's Python type, for messages. */
export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "bigint") return "int";
  if (typeof value === "number") return "float";
  if (typeof value === "string") return "str";
  return isList(value) ? "list" : (value as TemplateObject).typeName;
}

/** Whether the value counts as true. */
export function truth(value: Value): boolean {
  if (value === null || value instanceof Undefined) return false;
  if (typeof value === "boolean") return value;
  if (isNumber(value)) return !sameNumber(value, 0n);
  const length = lengthOf(value);
  return length === undefined || length > 0;
}

/** Python's `len`; undefined for what has none. */
export function lengthOf(value: Value): number | undefined {
  if (typeof value === "string") return codePointLength(value);
  if (isList(value)) return value.length;
  if (value instanceof Markup) return codePointLength(value.text);
  if (value instanceof Tuple || value instanceof DictView) return value.items.length;
  if (value instanceof Dict) return value.size;
  if (value instanceof Range) return value.length;
  if (value instanceof Undefined) return 0;
  return undefined;
}

/** What a loop over the value gives, one after the other; undefined for what cannot be looped over. */
export function tryIterate(value: Value): Iterable<Value> | undefined {
  if (typeof value === "string") return value;
  if (isList(value)) return value;
  if (value instanceof Markup) return Array.from(value.text, (character) => new Markup(character));
  if (value instanceof Tuple || value instanceof DictView) return value.items;
  if (value instanceof Dict) return value.keys();
  if (value instanceof Range) return value.items();
  if (value instanceof Undefined) return [];
  if (value instanceof Generator) return { [Symbol.iterator]: () => ({ next: () => value.next() }) };
  return undefined;
}

/** The same; throws TemplateError for what cannot be looped over. */
export function iterate(value: Value): Iterable<Value> {
  const values = tryIterate(value);
  if (values === undefined) throw new TemplateError(`'${typeName(value)}' object is not iterable`);
  return values;
}

/** Equality. Values of different kinds are unequal, numbers of all types compare by value. */
export function equals(a: Value, b: Value): boolean {
  if (isNumber(a) && isNumber(b)) return sameNumber(a, b);
  if (isString(a) && isString(b)) return plainText(a) === plainText(b);
  if (isList(a) && isList(b)) return sameItems(a, b);
  if (a instanceof Tuple && b instanceof Tuple) return sameItems(a.items, b.items);
  if (a instanceof Dict && b instanceof Dict) {
    if (a.size !== b.size) return false;
    return a.entries().every(([key, value]) => {
      const other = b.get(key);
      return other !== undefined && equals(value, other);
    });
  }
  if (a instanceof Range && b instanceof Range) return sameItems(a.items(), b.items());
  if (a instanceof Undefined && b instanceof Undefined) return true;
  if (a instanceof DictView && b instanceof DictView) {
    throw new UnsupportedTemplateError("comparing views of dictionaries");
  }
  return a === b;
}

/** Below 0, 0 or above: order of numbers, texts (by code points), lists and tuples. Other values have none. */
export function compare(a: Value, b: Value, operator: string): number {
  if (a instanceof Undefined) a.fail();
  if (b instanceof Undefined) b.fail();
  if (isNumber(a) && isNumber(b)) {
    const [x, y] = [numeric(a), numeric(b)];
    return x < y ? -1 : x > y ? 1 : sameNumber(x, y) ? 0 : Number.NaN;
  }
  if (isString(a) && isString(b)) return compareTexts(plainText(a), plainText(b));
  const [left, right] =
    isList(a) && isList(b) ? [a, b] : a instanceof Tuple && b instanceof Tuple ? [a.items, b.items] : [];
  if (left === undefined || right === undefined) {
    throw new TemplateError(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
  }
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    if (!equals(left[i]!, right[i]!)) return compare(left[i]!, right[i]!, operator);
  }
  return left.length - right.length;
}

/** The items sorted, stably, by a key that is computed once for each. */
export function sorted<T>(items: Iterable<T>, keyOf: (item: T) => Value, reverse: boolean): T[] {
  const keyed = Array.from(items, (item) => ({ item, key: keyOf(item) }));
  const direction = reverse ? -1 : 1;
  keyed.sort((a, b) => direction * compare(a.key, b.key, "<"));
  return keyed.map(({ item }) => item);
}

/** Whether two numbers are the same, whatever their types. */
export function sameNumber(a: boolean | bigint | number, b: boolean | bigint | number): boolean {
  return a <= b && a >= b;
}

/** A number without its boolean type, still a whole number or a float. */
export function numeric(value: boolean | bigint | number): bigint | number {
  return typeof value === "boolean" ? (value ? 1n : 0n) : value;
}

/** The text of a str or of marked text. */
export function plainText(value: string | Markup): string {
  return typeof value === "string" ? value : value.text;
}

/** The number of characters, as Python counts them. */
export function codePointLength(text: string): number {
  return hasSurrogates(text) ? Array.from(text).length : text.length;
}

/** The characters of a text, as Python counts them. */
export function codePoints(text: string): string[] {
  return hasSurrogates(text) ? Array.from(text) : text.split("");
}

/** A JSON-like JavaScript value as a template sees it. `undefined` fields are left out. */
export function toValue(input: unknown): Value {
  if (input === null || typeof input === "boolean" || typeof input === "bigint" || typeof input === "string")
    return input;
  // Beyond 2^53 a JavaScript number is no exact whole number; one that is to be exact comes as a bigint.
  if (typeof input === "number") return Number.isSafeInteger(input) && !Object.is(input, -0) ? BigInt(input) : input;
  // Python's JSON reader makes a double of such a number.
  if (input instanceof ExactNumber) return Number(input);
  if (input instanceof TemplateObject) return input;
  if (Array.isArray(input)) return input.map(toValue);
  if (typeof input === "object" && input !== undefined) {
    const fields = input instanceof Map ? [...input] : Object.entries(input);
    return new Dict(
      fields.flatMap(([key, value]) => (value === undefined ? [] : [[toValue(key), toValue(value)] as const])),
    );
  }
  throw new TemplateError(`a template cannot be given a value of type ${typeof input}`);
}

function hasSurrogates(text: string): boolean {
  return /[\ud800-\udfff]/.test(text);
}

function sameItems(a: readonly Value[], b: readonly Value[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i] || equals(item, b[i]!));
}

function compareTexts(a: string, b: string): number {
  if (!hasSurrogates(a) && !hasSurrogates(b)) return a < b ? -1 : a > b ? 1 : 0;
  const [left, right] = [codePoints(a), codePoints(b)];
  const at = left.findIndex((character, i) => character !== right[i]);
  if (at < 0) return left.length - right.length;
  return right[at] === undefined ? 1 : left[at]!.codePointAt(0)! - right[at].codePointAt(0)!;
}

/** Equal keys have equal hashes, and no others. */
function hashOf(key: Value): string {
  if (key === null) return "None";
  if (isNumber(key)) return `number ${numeric(key)}`;
  if (isString(key)) return `text ${plainText(key)}`;
  if (key instanceof Tuple) return `tuple ${JSON.stringify(key.items.map(hashOf))}`;
  if (key instanceof Undefined) return "Undefined";
  throw new TemplateError(`unhashable type: '${typeName(key)}'`);
}
