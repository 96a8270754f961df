/** The global functions of a template: Jinja2's, and those that transformers adds. */

import { formatDate } from "../format-date.ts";
import { bind, wholeNumber } from "./arguments.ts";
import { TemplateError, UnsupportedTemplateError } from "./errors.ts";
import { toText } from "./text.ts";
import {
  Callable,
  Dict,
  iterate,
  type Keywords,
  Namespace,
  Range,
  TemplateObject,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** `now` is what `strftime_now` says. */
export function templateGlobals(now: Date): ReadonlyMap<string, Value> {
  const functions: Readonly<Record<string, (args: readonly Value[], keywords: Keywords) => Value>> = {
    range: makeRange,
    dict: makeDict,
    namespace: (args, keywords) => {
      const namespace = new Namespace();
      for (const [name, value] of makeDict(args, keywords).entries()) namespace.set(toText(name), value);
      return namespace;
    },
    cycler: (args, keywords) => {
      bind("cycler", [], [], keywords);
      if (args.length === 0) throw new TemplateError("at least one item has to be provided");
      return new Cycler(args);
    },
    joiner: (args, keywords) => {
      const [separator = ", "] = bind("joiner", ["sep?"], args, keywords);
      let isUsed = false;
      return new Callable("joiner", () => {
        const text = isUsed ? separator : "";
        isUsed = true;
        return text;
      });
    },
    lipsum: () => {
      throw new UnsupportedTemplateError("the function lipsum, whose text is random");
    },
    raise_exception: (args, keywords) => {
      const [message] = bind("raise_exception", ["message"], args, keywords);
      throw new TemplateError(toText(message!));
    },
    strftime_now: (args, keywords) => {
      const [format] = bind("strftime_now", ["format"], args, keywords);
      if (typeof format === "string") return formatDate(now, format);
      throw new TemplateError(`strftime() argument 1 must be str, not ${typeName(format!)}`);
    },
  };
  return new Map(Object.entries(functions).map(([name, call]) => [name, new Callable(name, call)]));
}

/** What `cycler()` makes: its items in turn. */
class Cycler extends TemplateObject {
  readonly typeName = "Cycler";
  readonly #items: readonly Value[];
  #position = 0;

  constructor(items: readonly Value[]) {
    super();
    this.#items = items;
  }

  override attribute(name: string): Value | undefined {
    if (name === "current") return this.#items[this.#position]!;
    if (name === "next") {
      return new Callable(name, () => {
        const item = this.#items[this.#position]!;
        this.#position = (this.#position + 1) % this.#items.length;
        return item;
      });
    }
    if (name !== "reset") return undefined;
    return new Callable(name, () => {
      this.#position = 0;
      return null;
    });
  }
}

function makeRange(args: readonly Value[], keywords: Keywords): Range {
  const bounds = bind("range", ["/start", "/stop?", "/step?"], args, keywords).flatMap((bound) => {
    if (bound instanceof Undefined) bound.fail();
    return bound === undefined ? [] : [BigInt(wholeNumber(bound, 0))];
  });
  const [first, second, step = 1n] = bounds;
  return second === undefined ? new Range(0n, first!, 1n) : new Range(first!, second, step);
}

function makeDict(args: readonly Value[], keywords: Keywords): Dict {
  if (args.length > 1) throw new TemplateError(`dict expected at most 1 argument, got ${args.length}`);
  const [source] = args;
  if (source instanceof Namespace) throw new TemplateError("'Namespace' object is not iterable");
  const pairs =
    source === undefined ? [] : source instanceof Dict ? source.entries() : Array.from(iterate(source), pairOf);
  return new Dict([...pairs, ...keywords]);
}

function pairOf(value: Value): readonly [Value, Value] {
  const items = [...iterate(value)];
  if (items.length === 2) return [items[0]!, items[1]!];
  throw new TemplateError(`dictionary update sequence element has length ${items.length}; 2 is required`);
}
