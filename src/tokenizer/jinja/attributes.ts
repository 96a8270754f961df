/** `object.name` and `object["name"]`: attributes and items, as Jinja2's immutable sandbox gives them. */

import { bind } from "./arguments.ts";
import { TemplateError, UnsupportedTemplateError } from "./errors.ts";
import { formatBraces } from "./format.ts";
import { itemOf } from "./operators.ts";
import { OTHER_STRING_METHODS, STRING_METHODS } from "./string-methods.ts";
import { toRepr } from "./text.ts";
import {
  Callable,
  Dict,
  DictView,
  equals,
  isList,
  isString,
  Markup,
  Namespace,
  orElse,
  Range,
  type TemplateObject,
  Tuple,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Methods that would change a list or a dictionary: the sandbox gives an undefined value for them. */
const MUTATING: Readonly<Record<string, ReadonlySet<string>>> = {
  list: new Set("append clear pop reverse insert sort extend remove".split(" ")),
  dict: new Set("clear pop popitem setdefault update".split(" ")),
};

/** Public attributes of Python's types that are not here; asked for, they are refused by name. */
const OTHER_ATTRIBUTES: Readonly<Record<string, ReadonlySet<string>>> = {
  list: new Set(["copy"]),
  dict: new Set(["copy", "fromkeys"]),
  int: new Set(
    "as_integer_ratio bit_count bit_length conjugate denominator from_bytes imag numerator real to_bytes".split(" "),
  ),
  float: new Set("as_integer_ratio conjugate fromhex hex imag real".split(" ")),
  range: new Set(["count", "index"]),
  generator: new Set("close gi_code gi_frame gi_running gi_suspended gi_yieldfrom send throw".split(" ")),
};

/** `object.name`: the attribute, else the item of that name, else undefined. */
export function attributeOf(object: Value, name: string): Value {
  return orElse(ownAttribute(object, name), () => orElse(itemOf(object, name), () => missing(object, name)));
}

/** `object[index]`: the item, else the attribute of that name, else undefined. */
export function subscript(object: Value, index: Value): Value {
  const item = itemOf(object, index);
  if (item !== undefined) return item;
  return typeof index === "string" ? attributeAlone(object, index) : missing(object, index);
}

/** The filter `attr`: the attribute without a look at items. */
export function attributeAlone(object: Value, name: string): Value {
  return orElse(ownAttribute(object, name), () => missing(object, name));
}

/** An attribute of Python's object, or undefined where it has none of that name. */
function ownAttribute(object: Value, name: string): Value | undefined {
  if (object instanceof Undefined) object.fail();
  if (/^__\w+__$/.test(name)) return internalAttribute(object, name);
  const type = pythonType(object);
  if (MUTATING[type]?.has(name)) {
    return new Undefined(`access to attribute '${name}' of '${type}' object is unsafe.`);
  }
  const isOther = OTHER_ATTRIBUTES[type]?.has(name) || (isString(object) && OTHER_STRING_METHODS.has(name));
  if (isOther) throw new UnsupportedTemplateError(`${type}.${name}`);
  if (typeof object === "string") return stringAttribute(object, name);
  if (object instanceof Markup) {
    if (Object.hasOwn(STRING_METHODS, name) || /^(?:format|escape|unescape|striptags)$/.test(name)) {
      throw new UnsupportedTemplateError(`the method ${name} of text marked as safe`);
    }
    return undefined;
  }
  if (isList(object)) return sequenceAttribute(object, name, "list");
  if (object instanceof Tuple) {
    const own = object.attribute(name);
    return own === undefined ? sequenceAttribute(object.items, name, "tuple") : own;
  }
  if (object instanceof Dict) return dictAttribute(object, name);
  if (type === "float" && name === "is_integer") return new Callable(name, () => Number.isInteger(object));
  if (object instanceof DictView && (name === "isdisjoint" || name === "mapping")) {
    throw new UnsupportedTemplateError(`${type}.${name}`);
  }
  return object !== null && typeof object === "object" ? (object as TemplateObject).attribute(name) : undefined;
}

/** Python's own attributes begin with two underscores; the sandbox gives an undefined value for each. */
function internalAttribute(object: Value, name: string): Undefined | undefined {
  if (object instanceof Namespace) return undefined;
  if (object instanceof Dict && object.has(name)) throw new UnsupportedTemplateError(`a key named ${name}`);
  return new Undefined(`access to attribute '${name}' of '${typeName(object)}' object is unsafe.`);
}

function pythonType(object: Value): string {
  const type = typeName(object);
  return type === "bool" ? "int" : type;
}

function stringAttribute(text: string, name: string): Value | undefined {
  if (name === "format") {
    return new Callable(name, (args, keywords) =>
      formatBraces(text, args, keywords, { attributeOf, itemOf: subscript }),
    );
  }
  if (!Object.hasOwn(STRING_METHODS, name)) return undefined;
  return new Callable(name, (args, keywords) => STRING_METHODS[name]!(text, args, keywords));
}

function sequenceAttribute(items: readonly Value[], name: string, type: string): Value | undefined {
  if (name === "count") {
    return new Callable(name, (args, keywords) => {
      const [wanted] = bind(name, ["/value"], args, keywords);
      return BigInt(items.filter((item) => equals(item, wanted!)).length);
    });
  }
  if (name !== "index") return undefined;
  return new Callable(name, (args, keywords) => {
    const [wanted, start] = bind(name, ["/value", "/start?"], args, keywords);
    if (start !== undefined) throw new UnsupportedTemplateError(`${type}.index with a start`);
    const at = items.findIndex((item) => equals(item, wanted!));
    if (at < 0) throw new TemplateError(`${toRepr(wanted!)} is not in ${type}`);
    return BigInt(at);
  });
}

function dictAttribute(dict: Dict, name: string): Value | undefined {
  switch (name) {
    case "get":
      return new Callable(name, (args, keywords) => {
        const [key, otherwise = null] = bind(name, ["/key", "/default?"], args, keywords);
        return orElse(dict.get(key!), () => otherwise);
      });
    case "keys":
    case "values":
    case "items":
      return new Callable(name, (args, keywords) => {
        bind(name, [], args, keywords);
        return new DictView(name, dict);
      });
  }
  return undefined;
}

function missing(object: Value, name: Value): Undefined {
  const has = typeof name === "string" ? `attribute '${name}'` : `element ${describeKey(name)}`;
  const type = object === null ? "None" : `'${typeName(object)} object'`;
  return new Undefined(`${type} has no ${has}`);
}

function describeKey(key: Value): string {
  return key instanceof Range || key instanceof Callable ? typeName(key) : toRepr(key);
}
