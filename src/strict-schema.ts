/**
 * Values that a person wrote (a recipe, the options of a reward or a task) checked against a strict zod schema, with
 * findings that they can act on: the full path of each key, what was expected and what came, and for a key that is not
 * known the nearest one that exists at that place. All findings are listed at once.
 */

import { z } from "zod";
import { ConfigError, nearestName, shorten } from "./errors.ts";

/**
 * Options given by name, with defaults filled in. `what` opens the message, e.g. `reward equation`.
 *
 * @throws ConfigError with every finding.
 */
export function checkOptions<S extends z.ZodType>(schema: S, options: unknown, what: string): z.output<S> {
  const result = schema.safeParse(options);
  if (result.success) return result.data;
  const pathNames: PathNames = (path) => path.join(".") || "options";
  const found = describeIssues(result.error.issues, { value: options, schema, pathNames, furtherKeys: () => [] });
  throw new ConfigError(`${what}: ${found.join(" ")}`);
}

/** How a path is shown; a recipe names its stages instead of counting them. */
export type PathNames = (path: readonly PropertyKey[]) => string;

/** What was checked, and against what. */
export interface Checked {
  readonly value: unknown;
  readonly schema: z.ZodType;
  readonly pathNames: PathNames;
  /** Keys that stand at a place beside those that the schema knows there. */
  readonly furtherKeys: (path: readonly PropertyKey[]) => readonly string[];
}

/** One sentence for each finding of zod's. */
export function describeIssues(issues: readonly z.core.$ZodIssue[], checked: Checked): string[] {
  return issues.flatMap((issue) => describeIssue(issue, checked));
}

function describeIssue(issue: z.core.$ZodIssue, checked: Checked): string[] {
  const { value: root, schema, pathNames } = checked;
  if (issue.code === "unrecognized_keys") {
    const known = [...knownKeys(schema, root, issue.path), ...checked.furtherKeys(issue.path)];
    return issue.keys.map((key) => unknownKey(pathNames([...issue.path, key]), key, known));
  }
  const path = pathNames(issue.path);
  const at = path === "" ? "" : `${path}: `;
  const value = valueAt(root, issue.path);
  if (issue.code === "custom") return [`${at}${issue.message}${/[.?!]$/.test(issue.message) ? "" : "."}`];
  if (value === undefined) return [`${at}is missing; expected ${expectation(issue)}.`];
  const nearest = typeof value === "string" ? nearestName(value, choices(issue).map(String)) : undefined;
  const hint = nearest === undefined ? "." : `; did you mean ${JSON.stringify(nearest)}?`;
  return [`${at}expected ${expectation(issue)}, got ${show(value)}${hint}`];
}

/** `PATH: unknown key` with the nearest known name, or with all of them. */
function unknownKey(path: string, key: string, known: readonly string[]): string {
  const nearest = nearestName(key, known);
  if (nearest !== undefined) return `${path}: unknown key; did you mean "${nearest}"?`;
  return `${path}: unknown key; ${known.length > 0 ? `known here: ${known.join(", ")}` : "there are none here"}.`;
}

function expectation(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return TYPE_NAMES[issue.expected] ?? issue.expected;
    case "invalid_value":
      return oneOf(choices(issue));
    case "too_small":
      return bounded(issue.origin, issue.inclusive === false ? "more than" : "at least", Number(issue.minimum));
    case "too_big":
      return bounded(issue.origin, issue.inclusive === false ? "less than" : "at most", Number(issue.maximum));
    case "invalid_union":
      return choices(issue).length > 0 ? oneOf(choices(issue)) : alternatives(issue.errors);
    default:
      return lowerFirst(issue.message);
  }
}

/** The values that are allowed, where they can be listed. */
function choices(issue: z.core.$ZodIssue): readonly unknown[] {
  if (issue.code === "invalid_value") return issue.values;
  // Where a tag may be left out, undefined is one of its values.
  const options = issue.code === "invalid_union" && "options" in issue ? (issue.options ?? []) : [];
  return options.filter((option) => option !== undefined);
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a number",
  string: "text",
  boolean: "true or false",
  object: "a mapping of keys to values",
  record: "a mapping of keys to values",
  array: "a list",
};

function bounded(origin: string, relation: string, bound: number): string {
  if (origin === "string") return `text of ${relation} ${bound} characters`;
  if (origin === "array") return `a list of ${relation} ${bound} items`;
  return `a number of ${relation} ${bound}`;
}

function oneOf(values: readonly unknown[]): string {
  return values.map((value) => JSON.stringify(value)).join(" or ");
}

function alternatives(errors: readonly (readonly z.core.$ZodIssue[])[]): string {
  const each = errors.flatMap((issues) => (issues[0] ? [expectation(issues[0])] : []));
  return [...new Set(each)].join(" or ");
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** A mapping of keys to values, as YAML and JSON have them. */
export type Mapping = Readonly<Record<string, unknown>>;

/** Whether a value is a plain mapping of keys to values. */
export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value and its type, short enough for a message. */
function show(value: unknown): string {
  if (typeof value === "string") return `the text ${JSON.stringify(shorten(value, 60))}`;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (value === null) return "nothing (null)";
  return `${Array.isArray(value) ? "a list" : "a mapping"}, ${shorten(JSON.stringify(value), 60)}`;
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const key of path) value = isObject(value) ? value[String(key)] : undefined;
  return value;
}

/** The keys that `schema` knows at `path`; where it branches on a discriminator, those of the branch that `root` took. */
function knownKeys(schema: z.ZodType, root: unknown, path: readonly PropertyKey[]): string[] {
  let current = branch(schema, root);
  let value = root;
  for (const key of path) {
    value = isObject(value) ? value[String(key)] : undefined;
    if (current instanceof z.ZodArray) current = branch(current.element, value);
    else if (current instanceof z.ZodObject) current = branch(current.shape[String(key)], value);
    else return [];
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}

/** The schema inside optional, default and union wrappers. */
function branch(schema: unknown, value: unknown): unknown {
  let current = schema;
  while (
    current instanceof z.ZodOptional ||
    current instanceof z.ZodDefault ||
    current instanceof z.ZodPrefault ||
    current instanceof z.ZodNullable
  ) {
    current = current.unwrap();
  }
  if (!(current instanceof z.ZodDiscriminatedUnion)) return current;
  const { discriminator } = current.def;
  const tag = isObject(value) ? value[discriminator] : undefined;
  return current.options.find((option) => option instanceof z.ZodObject && isLiteral(option.shape[discriminator], tag));
}

function isLiteral(schema: unknown, value: unknown): boolean {
  return (
    branch(schema, value) instanceof z.ZodLiteral && schema instanceof z.ZodType && schema.safeParse(value).success
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
