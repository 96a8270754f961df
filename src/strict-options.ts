/**
 * Options given by name (in a recipe, or by a program) checked against a strict zod schema, with an error that a person
 * can act on: the path of each fault, what was expected, and the nearest known name for one that is not known.
 */

import { z } from "zod";
import { ConfigError, nearestName } from "./errors.ts";

/**
 * The options with defaults filled in. `what` opens the message, e.g. `reward equation`.
 *
 * @throws ConfigError naming every fault.
 */
export function checkOptions<S extends z.ZodType>(schema: S, options: unknown, what: string): z.output<S> {
  const result = schema.safeParse(options);
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => describeIssue(issue, schema));
  throw new ConfigError(`${what}: ${faults.join("; ")}.`);
}

function describeIssue(issue: z.core.$ZodIssue, schema: z.ZodType): string {
  if (issue.code !== "unrecognized_keys") return `${issue.path.join(".") || "options"}: ${lowerFirst(issue.message)}`;
  const known = knownKeys(schema, issue.path);
  return issue.keys
    .map((key) => {
      const nearest = nearestName(key, known);
      const hint = nearest === undefined ? listing(known) : ` (did you mean ${nearest}?)`;
      return `${[...issue.path, key].join(".")} is not an option${hint}`;
    })
    .join("; ");
}

function listing(known: readonly string[]): string {
  return known.length === 0 ? ": there are none" : `: there are ${known.join(", ")}`;
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** The keys of the object schema at `path`, seen through optional and default wrappers. */
function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let current: unknown = unwrap(schema);
  for (const key of path) {
    if (current instanceof z.ZodArray) current = unwrap(current.element);
    else if (current instanceof z.ZodObject) current = unwrap(current.shape[String(key)]);
    else return [];
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}

function unwrap(schema: unknown): unknown {
  let current = schema;
  while (
    current instanceof z.ZodOptional ||
    current instanceof z.ZodDefault ||
    current instanceof z.ZodPrefault ||
    current instanceof z.ZodNullable
  ) {
    current = current.unwrap();
  }
  return current;
}
