/** Jinja2's filters on lists, dictionaries and other values, those that call further filters and tests among them. */

import { bind, wholeNumber } from "./arguments.ts";
import { attributeAlone, subscript } from "./attributes.ts";
import { TemplateError } from "./errors.ts";
import { binary } from "./operators.ts";
import { callTest } from "./tests.ts";
import { toText } from "./text.ts";
import type { TemplateFilter } from "./text-filters.ts";
import {
  codePoints,
  compare,
  Dict,
  DictView,
  equals,
  Generator,
  isList,
  isString,
  iterate,
  type Keywords,
  lengthOf,
  Markup,
  orElse,
  plainText,
  Range,
  sorted,
  Tuple,
  truth,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** What `map` applies a filter by; the list of all filters is made of these and others. */
type CallFilter = (name: string, value: Value, args: readonly Value[], keywords: Keywords) => Value;

/** One of the groups that `groupby` makes. */
class Group extends Tuple {
  override readonly typeName = "_GroupTuple";

  override attribute(name: string): Value | undefined {
    return name === "grouper" ? this.items[0] : name === "list" ? this.items[1] : undefined;
  }
}

export function sequenceFilters(callFilter: CallFilter): Readonly<Record<string, TemplateFilter>> {
  return {
    attr: (value, args, keywords) => {
      const [name] = bind("attr", ["name"], args, keywords);
      return attributeAlone(value, toText(name!));
    },
    batch: (value, args, keywords) => {
      const [size, fill = null] = bind("batch", ["linecount", "fill_with?"], args, keywords);
      return new Generator(batches(value, wholeNumber(size, 0), fill));
    },
    count: length,
    d: defaultTo,
    default: defaultTo,
    dictsort,
    first: (value, args, keywords) => {
      bind("first", [], args, keywords);
      for (const item of iterate(value)) return item;
      return new Undefined("No first item, sequence was empty.");
    },
    groupby,
    items: (value, args, keywords) => {
      bind("items", [], args, keywords);
      return new Generator(itemsOf(value));
    },
    join: (value, args, keywords) => {
      const [separator = "", attribute = null] = bind("join", ["d?", "attribute?"], args, keywords);
      const getter = attributeGetter(attribute);
      return Array.from(iterate(value), (item) => toText(getter(item))).join(toText(separator));
    },
    last: (value, args, keywords) => {
      bind("last", [], args, keywords);
      return orElse(reversed(value)[0], () => new Undefined("No last item, sequence was empty."));
    },
    length,
    list: (value, args, keywords) => {
      bind("list", [], args, keywords);
      return [...iterate(value)];
    },
    map: (value, args, keywords) => new Generator(mapped(value, args, keywords, callFilter)),
    max: (value, args, keywords) => extreme("max", value, args, keywords),
    min: (value, args, keywords) => extreme("min", value, args, keywords),
    reject: selecting(false, false),
    rejectattr: selecting(true, false),
    reverse: (value, args, keywords) => {
      bind("reverse", [], args, keywords);
      if (typeof value === "string") return codePoints(value).reverse().join("");
      if (value instanceof Markup) return new Markup(codePoints(value.text).reverse().join(""));
      if (value instanceof Generator) return [...iterate(value)].reverse();
      return new Generator(reversed(value), "reverse iterator");
    },
    select: selecting(false, true),
    selectattr: selecting(true, true),
    slice: (value, args, keywords) => {
      const [count, fill = null] = bind("slice", ["slices", "fill_with?"], args, keywords);
      return new Generator(slices(value, wholeNumber(count, 0), fill));
    },
    sort: (value, args, keywords) => {
      const names = ["reverse?", "case_sensitive?", "attribute?"];
      const [reverse = false, caseSensitive = false, attribute = null] = bind("sort", names, args, keywords);
      const parts = typeof attribute === "string" ? attribute.split(",") : [attribute];
      const getters = parts.map((part) => attributeGetter(part));
      const fold = truth(caseSensitive) ? (item: Value) => item : ignoreCase;
      return sorted(iterate(value), (item) => getters.map((getter) => fold(getter(item))), truth(reverse));
    },
    sum: (value, args, keywords) => {
      const [attribute = null, start = 0n] = bind("sum", ["attribute?", "start?"], args, keywords);
      if (isString(start)) throw new TemplateError("sum() can't sum strings [use ''.join(seq) instead]");
      const getter = attributeGetter(attribute);
      let total: Value = start;
      for (const item of iterate(value)) total = binary("+", total, getter(item));
      return total;
    },
    unique: (value, args, keywords) => {
      const [caseSensitive = false, attribute = null] = bind(
        "unique",
        ["case_sensitive?", "attribute?"],
        args,
        keywords,
      );
      return new Generator(uniqueItems(value, truth(caseSensitive), attribute));
    },
  };
}

/**
 * What reads an attribute of a value: a name, a path with dots, a number; none gives the value itself. `otherwise` stands
 * for a step that is undefined.
 */
function attributeGetter(attribute: Value, otherwise: Value = null): (item: Value) => Value {
  const parts: Value[] =
    attribute === null
      ? []
      : typeof attribute === "string"
        ? attribute.split(".").map((part) => (/^\d+$/.test(part) ? BigInt(part) : part))
        : [attribute];
  return (item) => {
    let value = item;
    for (const part of parts) {
      value = subscript(value, part);
      if (otherwise !== null && value instanceof Undefined) value = otherwise;
    }
    return value;
  };
}

function ignoreCase(value: Value): Value {
  return isString(value) ? plainText(value).toLowerCase() : value;
}

function length(value: Value, args: readonly Value[], keywords: Keywords): Value {
  bind("length", [], args, keywords);
  const found = lengthOf(value);
  if (found === undefined) throw new TemplateError(`object of type '${typeName(value)}' has no len()`);
  return BigInt(found);
}

function defaultTo(value: Value, args: readonly Value[], keywords: Keywords): Value {
  const [otherwise = "", boolean = false] = bind("default", ["default_value?", "boolean?"], args, keywords);
  return value instanceof Undefined || (truth(boolean) && !truth(value)) ? otherwise : value;
}

function dictsort(value: Value, args: readonly Value[], keywords: Keywords): Value {
  const names = ["case_sensitive?", "by?", "reverse?"];
  const [caseSensitive = false, by = "key", reverse = false] = bind("dictsort", names, args, keywords);
  if (by !== "key" && by !== "value") throw new TemplateError('You can only sort by either "key" or "value"');
  if (value instanceof Undefined) value.fail();
  if (!(value instanceof Dict)) throw new TemplateError(`'${typeName(value)}' object has no attribute 'items'`);
  const fold = truth(caseSensitive) ? (item: Value) => item : ignoreCase;
  const items = sorted(value.entries(), (entry) => fold(entry[by === "key" ? 0 : 1]), truth(reverse));
  return items.map((entry) => new Tuple(entry));
}

function* itemsOf(value: Value): Iterable<Value> {
  if (value instanceof Undefined) return;
  if (!(value instanceof Dict)) throw new TemplateError("Can only get item pairs from a mapping.");
  for (const entry of value.entries()) yield new Tuple(entry);
}

/** The values from the last to the first, of what has an order that can be walked backwards. */
function reversed(value: Value): Value[] {
  const isOrdered =
    isString(value) || isList(value) || [Tuple, Dict, DictView, Range, Undefined].some((type) => value instanceof type);
  if (!isOrdered) throw new TemplateError(`'${typeName(value)}' object is not reversible`);
  return [...iterate(value)].reverse();
}

function* batches(value: Value, size: number, fill: Value): Iterable<Value> {
  let batch: Value[] = [];
  for (const item of iterate(value)) {
    if (batch.length === size) {
      yield batch;
      batch = [];
    }
    batch.push(item);
  }
  if (batch.length === 0) return;
  if (fill !== null) while (batch.length < size) batch.push(fill);
  yield batch;
}

function* slices(value: Value, count: number, fill: Value): Iterable<Value> {
  const items = [...iterate(value)];
  if (count === 0) throw new TemplateError("integer division or modulo by zero");
  const size = Math.floor(items.length / count);
  const longer = items.length % count;
  let start = 0;
  for (let i = 0; i < count; i++) {
    const end = start + size + (i < longer ? 1 : 0);
    const slice = items.slice(start, end);
    if (fill !== null && i >= longer) slice.push(fill);
    yield slice;
    start = end;
  }
}

function* mapped(value: Value, args: readonly Value[], keywords: Keywords, callFilter: CallFilter): Iterable<Value> {
  if (!truth(value)) return;
  let apply: (item: Value) => Value;
  const attribute = keywords.get("attribute");
  if (args.length === 0 && attribute !== undefined) {
    const unknown = [...keywords.keys()].find((name) => name !== "attribute" && name !== "default");
    if (unknown !== undefined) throw new TemplateError(`Unexpected keyword argument '${unknown}'`);
    apply = attributeGetter(attribute, keywords.get("default") ?? null);
  } else {
    const [name, ...rest] = args;
    if (name === undefined) throw new TemplateError("map requires a filter argument");
    apply = (item) => callFilter(toText(name), item, rest, keywords);
  }
  for (const item of iterate(value)) yield apply(item);
}

function selecting(byAttribute: boolean, keeps: boolean): TemplateFilter {
  return (value, args, keywords) => new Generator(selected(value, args, keywords, byAttribute, keeps));
}

function* selected(
  value: Value,
  args: readonly Value[],
  keywords: Keywords,
  byAttribute: boolean,
  keeps: boolean,
): Iterable<Value> {
  if (!truth(value)) return;
  if (byAttribute && args.length === 0) throw new TemplateError("Missing parameter for attribute name");
  const getter = byAttribute ? attributeGetter(args[0]!) : (item: Value) => item;
  const [name, ...rest] = byAttribute ? args.slice(1) : args;
  const passes = (item: Value): boolean =>
    name === undefined ? truth(item) : callTest(toText(name), item, rest, keywords);
  for (const item of iterate(value)) if (passes(getter(item)) === keeps) yield item;
}

function extreme(which: "min" | "max", value: Value, args: readonly Value[], keywords: Keywords): Value {
  const [caseSensitive = false, attribute = null] = bind(which, ["case_sensitive?", "attribute?"], args, keywords);
  const getter = attributeGetter(attribute);
  const fold = truth(caseSensitive) ? (item: Value) => item : ignoreCase;
  let best: { readonly item: Value; readonly key: Value } | undefined;
  for (const item of iterate(value)) {
    const key = fold(getter(item));
    const isBetter =
      best === undefined || (which === "min" ? compare(key, best.key, "<") < 0 : compare(key, best.key, ">") > 0);
    if (isBetter) best = { item, key };
  }
  return best === undefined ? new Undefined("No aggregated item, sequence was empty.") : best.item;
}

function* uniqueItems(value: Value, caseSensitive: boolean, attribute: Value): Iterable<Value> {
  const getter = attributeGetter(attribute);
  const seen = new Dict();
  for (const item of iterate(value)) {
    const key = caseSensitive ? getter(item) : ignoreCase(getter(item));
    if (seen.has(key)) continue;
    seen.set(key, true);
    yield item;
  }
}

function groupby(value: Value, args: readonly Value[], keywords: Keywords): Value {
  const names = ["attribute", "default?", "case_sensitive?"];
  const [attribute, otherwise = null, caseSensitive = false] = bind("groupby", names, args, keywords);
  const getter = attributeGetter(attribute!, otherwise);
  const keyOf = (item: Value): Value => (truth(caseSensitive) ? getter(item) : ignoreCase(getter(item)));
  const groups: { readonly key: Value; readonly items: Value[] }[] = [];
  for (const item of sorted(iterate(value), keyOf, false)) {
    const key = keyOf(item);
    const group = groups.at(-1);
    if (group !== undefined && equals(group.key, key)) group.items.push(item);
    else groups.push({ key, items: [item] });
  }
  return groups.map(({ items }) => new Group([getter(items[0]!), items]));
}
