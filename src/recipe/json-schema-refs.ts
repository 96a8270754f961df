/** Parts of a JSON Schema that stand in it several times, defined once. */

/** A part of a JSON Schema, as far as it is made or read here. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly description?: string | undefined;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly items?: JsonSchema;
  readonly oneOf?: readonly JsonSchema[];
  readonly anyOf?: readonly JsonSchema[];
  readonly allOf?: readonly JsonSchema[];
  readonly not?: JsonSchema;
  readonly if?: JsonSchema;
  readonly then?: JsonSchema;
  readonly else?: JsonSchema;
  readonly [keyword: string]: unknown;
}

/** What is shorter is repeated: a reference would be no easier to read. */
const MIN_CHARACTERS = 250;
const COMBINED = new Set(["oneOf", "anyOf", "allOf", "if", "then", "else", "not", "items", "additionalProperties"]);

/** The same schema with `definitions`: each is named by the key where it was met first, and a number where that is taken. */
export function hoisted(schema: JsonSchema): JsonSchema {
  const counts = new Map<string, number>();
  walk(schema, (part) => {
    const text = JSON.stringify(part);
    if (text.length < MIN_CHARACTERS) return false;
    const count = (counts.get(text) ?? 0) + 1;
    counts.set(text, count);
    // What lies inside a part that was met before was counted then.
    return count === 1;
  });
  const names = new Map<string, string>();
  const definitions: Record<string, unknown> = {};
  const replaced = (value: unknown, key: string, isSchema: boolean): unknown => {
    if (Array.isArray(value)) return value.map((item) => replaced(item, key, true));
    if (typeof value !== "object" || value === null) return value;
    const text = JSON.stringify(value);
    if (!isSchema || (counts.get(text) ?? 0) < 2) return inside(value, key);
    if (!names.has(text)) {
      const name = freeName(key, new Set(names.values()));
      names.set(text, name);
      definitions[name] = inside(value, key);
    }
    return { $ref: `#/definitions/${names.get(text)}` };
  };
  const inside = (value: object, key: string): unknown =>
    Object.fromEntries(
      Object.entries(value).map(([name, inner]) => {
        if (name === "default" || name === "const" || name === "enum") return [name, inner];
        if (name !== "properties") return [name, replaced(inner, key, COMBINED.has(name))];
        const properties = Object.entries(inner as object);
        return [name, Object.fromEntries(properties.map(([each, schema]) => [each, replaced(schema, each, true)]))];
      }),
    );
  const whole = inside(schema, "schema") as JsonSchema;
  return {
    ...whole,
    definitions: Object.fromEntries(Object.entries(definitions).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
}

function freeName(key: string, taken: ReadonlySet<string>): string {
  for (let number = 1; ; number++) {
    const name = number === 1 ? key : `${key}${number}`;
    if (!taken.has(name)) return name;
  }
}

/** Calls `visit` with every part that is a schema; false: not with what lies inside. */
export function walk(schema: JsonSchema, visit: (part: JsonSchema) => boolean): void {
  if (!visit(schema)) return;
  for (const [keyword, value] of Object.entries(schema)) {
    if (keyword === "properties" || keyword === "definitions") {
      for (const property of Object.values(value as Record<string, JsonSchema>)) walk(property, visit);
    } else if (COMBINED.has(keyword)) {
      for (const part of Array.isArray(value) ? (value as JsonSchema[]) : [value as JsonSchema]) {
        if (typeof part === "object") walk(part, visit);
      }
    }
  }
}
