/** Shapes of JSON Schema: unions by a name, and what is only a part of a configuration. */

import type { JsonSchema } from "./json-schema-refs.ts";

/** In place of a path: what an earlier stage of the pipeline made. */
const REFERENCE_KEYS: Readonly<Record<string, JsonSchema>> = {
  from: { type: "string", description: "an earlier stage of the pipeline, whose output is taken" },
  output: { enum: ["model", "dataset", "rewardModel"], description: "what that stage makes, to be sure" },
};

/** Without the bounds that only say that a double holds the number, and unions by a name as conditions. */
export function withoutNoise(schema: JsonSchema): JsonSchema {
  const { maximum, minimum, ...rest } = mapped(schema, withoutNoise);
  const bounded = {
    ...rest,
    ...(minimum !== undefined && minimum !== -Number.MAX_SAFE_INTEGER && { minimum }),
    ...(maximum !== undefined && maximum !== Number.MAX_SAFE_INTEGER && { maximum }),
  };
  const { oneOf, ...others } = bounded;
  const tag = oneOf === undefined ? undefined : tagOf(oneOf);
  // Stages are taken apart by whoever asks for them.
  if (tag === undefined || tag === "trainer") return bounded;
  return { ...tagged(oneOf!, tag), ...others };
}

/** The key whose constant tells the members of a union apart. */
function tagOf(members: readonly JsonSchema[]): string | undefined {
  const tags = members.map(({ properties = {} }) =>
    Object.keys(properties).find((key) => properties[key]!.const !== undefined),
  );
  return tags.every((tag) => tag !== undefined && tag === tags[0]) ? tags[0] : undefined;
}

/** A union of mappings as conditions on the key `tag`; a member whose tag may be absent is meant where it is. */
export function tagged(members: readonly JsonSchema[], tag: string): JsonSchema {
  const names = members.map(({ properties }) => properties![tag]!.const);
  const fallback = members.find(({ required = [] }) => !required.includes(tag));
  const description = members[0]!.properties![tag]!.description ?? `which ${tag === "name" ? "it is" : tag}`;
  const isAbsent = { not: { required: [tag] } };
  return {
    type: "object",
    properties: { [tag]: { description, enum: names } },
    ...(fallback === undefined && { required: [tag] }),
    allOf: [
      ...members.map((member, i) => when({ properties: { [tag]: { const: names[i] } }, required: [tag] }, member)),
      ...(fallback === undefined ? [] : [when(isAbsent, fallback)]),
    ],
  };
}

function when(condition: JsonSchema, schema: JsonSchema): JsonSchema {
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  return { if: condition, then: schema };
}

/**
 * The schema of a part of a configuration that others lie under: every key may be absent, a list of named items may be
 * changed by a mapping of their names, and an output of an earlier stage may stand for a path. `more` are further keys.
 */
export function relaxed(schema: JsonSchema, more: Readonly<Record<string, JsonSchema>> = {}): JsonSchema {
  const { required, allOf, ...rest } = schema;
  const isUnion = allOf?.every((part) => part.then !== undefined && part.if !== undefined);
  if (isUnion && required?.length === 1 && Object.keys(rest.properties ?? {}).length === 1)
    return relaxedUnion(schema, required[0]!, more);
  const inside = mapped({ ...rest, ...(allOf && { allOf }) }, (part) => relaxed(part));
  if (inside.properties !== undefined) {
    const { path, ...properties } = inside.properties;
    const source = path === undefined ? {} : { path: pathOrReference(path), ...REFERENCE_KEYS };
    return { ...inside, properties: { ...source, ...properties, ...more } };
  }
  if (inside.type === "array" && inside.items?.properties?.name !== undefined) {
    const { description, ...list } = inside;
    return { description, anyOf: [list, { type: "object", additionalProperties: inside.items }] };
  }
  return inside;
}

/** A path, or what an earlier stage made in its place. */
function pathOrReference(path: JsonSchema): JsonSchema {
  const { description, ...text } = path;
  const reference = { type: "object", properties: REFERENCE_KEYS, required: ["from"], additionalProperties: false };
  return { description, anyOf: [text, reference] };
}

/** A union whose name may be said elsewhere: without it, the keys of every member are taken. */
function relaxedUnion(schema: JsonSchema, tag: string, more: Readonly<Record<string, JsonSchema>>): JsonSchema {
  const { required: _, allOf, ...rest } = schema;
  const members = allOf!.map((part) => when(part.if!, relaxed(part.then!, more)));
  const every: Record<string, JsonSchema[]> = {};
  for (const [key, property] of members.flatMap((member) => Object.entries(member.then!.properties ?? {}))) {
    every[key] = [...(every[key] ?? []), property];
  }
  const properties = Object.fromEntries(
    Object.entries(every).map(([key, kinds]) => {
      const different = [...new Map(kinds.map((kind) => [JSON.stringify(kind), kind])).values()];
      if (key === tag) return [key, {}];
      return [key, different.length === 1 ? different[0]! : { anyOf: different }];
    }),
  );
  const whole = { type: "object", properties, additionalProperties: false };
  return { ...rest, allOf: [...members, when({ not: { required: [tag] } }, whole)] };
}

/** The schema with each part that is a schema replaced. */
function mapped(schema: JsonSchema, replace: (part: JsonSchema) => JsonSchema): JsonSchema {
  const entries = Object.entries(schema).map(([keyword, value]) => {
    switch (keyword) {
      case "properties":
      case "definitions":
        return [
          keyword,
          Object.fromEntries(
            Object.entries(value as object).map(([name, part]) => [name, replace(part as JsonSchema)]),
          ),
        ];
      case "oneOf":
      case "anyOf":
      case "allOf":
        return [keyword, (value as JsonSchema[]).map(replace)];
      case "items":
        // In draft 7 a tuple's items are a list.
        return [keyword, Array.isArray(value) ? (value as JsonSchema[]).map(replace) : replace(value as JsonSchema)];
      case "then":
      case "else":
        return [keyword, replace(value as JsonSchema)];
      case "additionalProperties":
        return [keyword, typeof value === "object" ? replace(value as JsonSchema) : value];
      default:
        return [keyword, value];
    }
  });
  return Object.fromEntries(entries) as JsonSchema;
}
