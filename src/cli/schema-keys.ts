/**
 * Keys of a schema for people and for programs: their types in a few words, defaults and descriptions, all read off the zod
 * schema that checks them, so that no list can fall behind. `aha reward --list` writes a reward's options so, `aha run
 * --keys` those of a recipe.
 */

import { z } from "zod";
import { recipeSchema } from "../recipe/schema.ts";

/** One key. */
export interface KeyDescription {
  readonly name: string;
  readonly description: string;
  readonly type: string;
  readonly required: boolean;
  readonly default?: unknown;
  /** The values that it may have, where they can be listed. */
  readonly values?: readonly unknown[];
}

/** A key of recipes, as `--keys --json` prints it. */
export interface RecipeKey extends Omit<KeyDescription, "name"> {
  /** Whose it is: `recipe`, or a task's or a trainer's: `task.NAME`, `stages.NAME`. */
  readonly section: string;
  /** Its path below the section. */
  readonly key: string;
}

type Schema = z.core.JSONSchema.BaseSchema;

/** The keys of an object schema, not of what lies below them. */
export function schemaKeys(schema: z.ZodType): KeyDescription[] {
  return Object.entries(propertiesOf(jsonSchema(schema))).map(([name, { schema: property, required }]) =>
    described(name, property, required),
  );
}

/** Every key of recipes, those of all tasks and trainers one after another. */
export function recipeKeys(): RecipeKey[] {
  return keysBelow(jsonSchema(recipeSchema()), "recipe", []);
}

/** The keys of recipes for people. */
export function recipeKeysText(keys: readonly RecipeKey[]): string {
  const sections = [...new Set(keys.map(({ section }) => section))];
  return sections
    .map((section) => {
      const own = keys.filter((key) => key.section === section);
      return `${section}\n${own.map(({ key, ...rest }) => `  ${keyText({ name: key, ...rest })}\n`).join("")}`;
    })
    .join("\n");
}

/** A key in a line: its name, type, default and description. */
export function keyText(key: KeyDescription): string {
  const value = key.required ? "required" : "default" in key ? JSON.stringify(key.default) : "optional";
  return `${key.name} (${key.type}, ${value})  ${key.description}`.trimEnd();
}

/** Keys of an object, each followed by those below it. One that is of several kinds begins a section for each of them; a
 * mixture's own tasks, one level further down, are described by these. */
function keysBelow(schema: Schema, section: string, path: readonly string[]): RecipeKey[] {
  return Object.entries(propertiesOf(schema)).flatMap(([name, { schema: property, required }]) => {
    // What names the kind is the section's name.
    if (property.const !== undefined) return [];
    const { name: key, ...rest } = described([...path, name].join("."), property, required);
    const inner = property.type === "array" ? (property.items as Schema) : property;
    const kinds = kindsOf(inner);
    const below =
      kinds === undefined
        ? keysBelow(inner, section, [...path, name])
        : section === "recipe"
          ? kinds.flatMap(([kind, member]) => keysBelow(member, `${name}.${kind}`, []))
          : [];
    return [{ section, key, ...rest }, ...below];
  });
}

function jsonSchema(schema: z.ZodType): Schema {
  return z.toJSONSchema(schema, { io: "input", unrepresentable: "any" });
}

function propertiesOf(schema: Schema): Record<string, { readonly schema: Schema; readonly required: boolean }> {
  const required = new Set(schema.required ?? []);
  const entries = Object.entries(schema.properties ?? {}).flatMap(([name, property]) =>
    typeof property === "object" ? [[name, { schema: property, required: required.has(name) }] as const] : [],
  );
  return Object.fromEntries(entries);
}

/** Members of a union of objects, by the constant that tells them apart; undefined of anything else. */
function kindsOf({ oneOf, anyOf }: Schema): (readonly [kind: string, member: Schema])[] | undefined {
  const members = (oneOf ?? anyOf ?? []) as readonly Schema[];
  const kinds = members.flatMap((member) => {
    const constant = Object.values(propertiesOf(member)).find(({ schema }) => schema.const !== undefined);
    return constant === undefined ? [] : [[String(constant.schema.const), member] as const];
  });
  return kinds.length > 0 && kinds.length === members.length ? kinds : undefined;
}

function described(name: string, property: Schema, required: boolean): KeyDescription {
  const { description = "", default: fallback, ...rest } = property;
  return {
    ...{ name, description, type: typeText(rest), required },
    ...(fallback !== undefined && { default: fallback }),
    ...(property.enum && { values: property.enum }),
  };
}

/** A JSON Schema in a few words. */
function typeText(schema: Schema): string {
  if (schema.enum) return schema.enum.map(String).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const kinds = kindsOf(schema);
  if (kinds) return kinds.map(([kind]) => kind).join(" | ");
  const members = (schema.oneOf ?? schema.anyOf) as readonly Schema[] | undefined;
  if (members) return members.map(typeText).join(" | ");
  if (schema.type === "array") return schema.items ? `list of ${typeText(schema.items as Schema)}` : "list";
  return schema.type === "object" ? "mapping" : String(schema.type ?? "any");
}
