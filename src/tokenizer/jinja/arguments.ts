/** The arguments of functions, methods and filters, matched with parameters as Python does. */

import { TemplateError } from "./errors.ts";
import { type Keywords, numeric, typeName, type Value } from "./values.ts";

/**
 * The arguments in the order of the parameters, undefined where one was not given. A parameter's name ends with `?` where
 * it may be absent and begins with `/` where it cannot be given by name.
 *
 * @throws TemplateError for too many, too few or unknown ones.
 */
export function bind(
  label: string,
  parameters: readonly string[],
  args: readonly Value[],
  keywords: Keywords,
): (Value | undefined)[] {
  if (args.length > parameters.length) {
    throw new TemplateError(`${label}() takes at most ${parameters.length} arguments (${args.length} given)`);
  }
  const names = parameters.map((parameter) => parameter.replace("?", ""));
  for (const name of keywords.keys()) {
    const index = names.indexOf(name);
    if (index < 0) throw new TemplateError(`${label}() got an unexpected keyword argument '${name}'`);
    if (index < args.length) throw new TemplateError(`${label}() got multiple values for argument '${name}'`);
  }
  return parameters.map((parameter, i) => {
    const value = i < args.length ? args[i] : keywords.get(names[i]!);
    if (value === undefined && !parameter.endsWith("?")) {
      throw new TemplateError(`${label}() missing required argument: '${names[i]}'`);
    }
    return value;
  });
}

/** A whole number that was given as one (booleans count), as a JavaScript number. */
export function wholeNumber(value: Value | undefined, otherwise: number): number {
  if (value === undefined) return otherwise;
  if (typeof value !== "bigint" && typeof value !== "boolean") {
    throw new TemplateError(`'${typeName(value)}' object cannot be interpreted as an integer`);
  }
  return Number(numeric(value));
}
