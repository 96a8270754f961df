/**
 * Recipes as JSON Schema (draft 7), for editors: they show what a key means as it is typed, complete keys and names, and
 * mark what does not fit. Everything is read off the zod schemas that check a recipe, so no list can fall behind.
 *
 * Two things are not zod's own translation. A union that is told apart by a name (a task, a trainer) becomes a condition on
 * that name, so that an editor says "no such key" instead of "fits none of six". And names of registries bring their own
 * keys where zod knows a mapping only: a reward its options, a tracker its keys.
 *
 * What depends on several keys at once (`superRefine`) no JSON Schema says: `aha doctor` does.
 */

import { z } from "zod";
import { devices } from "../compute/devices.ts";
import { rewards } from "../rewards/registry.ts";
import { rewardSpecSchema } from "../rewards/spec.ts";
import { trackerSpecSchema, trackers } from "../tracking/trackers.ts";
import { hoisted, type JsonSchema } from "./json-schema-refs.ts";
import { relaxed, tagged, withoutNoise } from "./json-schema-shapes.ts";
import { recipeSchema } from "./schema.ts";

export type { JsonSchema } from "./json-schema-refs.ts";

const DRAFT = "http://json-schema.org/draft-07/schema#";

/** What a recipe file may hold: `stages`, or the keys of one trainer at the top. */
export function recipeJsonSchema(): JsonSchema {
  const { recipe, stage } = parts();
  const { stages, ...around } = recipe.properties!;
  const required = recipe.required!.filter((key) => key !== "stages");
  return document("A recipe of Aha", "What `aha run` trains: a model, a task, and one trainer's stage or several.", {
    type: "object",
    properties: { ...around, stages: { ...stages!, items: tagged(stage, "trainer") }, trainer: trainerName(stage) },
    required,
    if: { required: ["trainer"] },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: tagged(
      stage.map((member) => beside(around, member)),
      "trainer",
    ),
    else: { required: ["stages"], properties: anyOf(recipe.properties!), additionalProperties: false },
  });
}

/** The recipe of a pipeline's stage: keys may be left to the pipeline, and `{ from: STAGE }` may stand for a path. */
export function stageRecipeJsonSchema(): JsonSchema {
  return document(
    "A recipe that a pipeline of Aha trains with",
    "Keys that are not here come from the pipeline: its defaults, and the stage's `with`.",
    relaxedRecipe(),
  );
}

/** A recipe whose keys may all be absent, as pipelines lay several over each other. */
export function relaxedRecipe(): JsonSchema {
  const { recipe, stage } = parts();
  const { stages, ...around } = recipe.properties!;
  const members = stage.map((member) => beside(around, member));
  const relaxedStage = relaxed(tagged(stage, "trainer"));
  const byName = { type: "object", description: stages!.description, additionalProperties: relaxedStage };
  const list = { type: "array", items: relaxedStage, description: stages!.description };
  const { properties, ...schema } = relaxed(tagged(members, "trainer"), { stages: { anyOf: [list, byName] } });
  return { ...schema, properties: { ...relaxed({ type: "object", properties: around }).properties, ...properties } };
}

/** A zod schema as JSON Schema. */
export function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  const made = z.toJSONSchema(schema, { io: "input", target: "draft-7", unrepresentable: "any", override: registered });
  const { $schema: _, ...rest } = made as JsonSchema;
  return withoutNoise(rest);
}

/** A whole file: what stands in it more than once is defined once. */
export function document(title: string, description: string, schema: JsonSchema): JsonSchema {
  return { $schema: DRAFT, title, description, ...hoisted(schema) };
}

/** The keys around the stages, and the stages that there are. */
function parts(): { readonly recipe: JsonSchema; readonly stage: readonly JsonSchema[] } {
  const recipe = withDevices(jsonSchemaOf(recipeSchema()));
  const { oneOf, anyOf } = recipe.properties!.stages!.items!;
  return { recipe, stage: (oneOf ?? anyOf)! };
}

/** Devices are names of a registry, which zod asks in a refinement. */
function withDevices(recipe: JsonSchema): JsonSchema {
  const { engine } = recipe.properties!;
  const kinds = engine!.allOf!.map(({ if: condition, then: kind }) => {
    const { device } = kind!.properties!;
    const properties = { ...kind!.properties, ...(device && { device: { ...device, enum: devices.names } }) };
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    return { if: condition!, then: { ...kind, properties } };
  });
  return { ...recipe, properties: { ...recipe.properties, engine: { ...engine, allOf: kinds } } };
}

/** A stage's keys where those around the stages stand beside them, which are described there. */
function beside(around: Readonly<Record<string, JsonSchema>>, stage: JsonSchema): JsonSchema {
  const { name: _, ...own } = stage.properties!;
  const required = stage.required!.filter((key) => key !== "name");
  return { ...stage, properties: { ...anyOf(around), ...own }, required };
}

const anyOf = (properties: Readonly<Record<string, JsonSchema>>): Record<string, JsonSchema> =>
  Object.fromEntries(Object.keys(properties).map((key) => [key, {}]));

function trainerName(stage: readonly JsonSchema[]): JsonSchema {
  const names = stage.map(({ properties }) => properties!.trainer!.const!);
  return { description: "what trains, where the recipe has one stage: its keys stand at the top", enum: names };
}

/** Names of registries, and the keys that each brings. */
function registered({ zodSchema, jsonSchema }: { zodSchema: unknown; jsonSchema: object }): void {
  if (zodSchema === rewardSpecSchema) {
    const json = jsonSchema as JsonSchema;
    const name = json.properties!.name!;
    const own = { pattern: "\\.[cm]?[jt]s#", description: "a reward of your own: ./my-reward.ts#name" };
    Object.assign(name, { anyOf: [{ enum: rewards.names }, own] });
    const options = rewards.all.map((entry) => {
      const schema = jsonSchemaOf(entry.options);
      return named(entry.name, { options: { ...schema, description: `of ${entry.name}: ${entry.summary}` } });
    });
    Object.assign(json, { allOf: options });
  }
  if (zodSchema === trackerSpecSchema && trackers.names.length > 0) {
    const kinds = trackers.all.map(({ name, shape }) =>
      jsonSchemaOf(z.strictObject({ name: z.literal(name).describe("a tracker"), ...shape() })),
    );
    for (const key of Object.keys(jsonSchema)) delete (jsonSchema as Record<string, unknown>)[key];
    Object.assign(jsonSchema, { anyOf: [{ enum: trackers.names, description: "a tracker" }, tagged(kinds, "name")] });
  }
}

/** Keys that a mapping has where its name is this one. */
function named(name: string, properties: Readonly<Record<string, JsonSchema>>): JsonSchema {
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  return { if: { properties: { name: { const: name } }, required: ["name"] }, then: { properties } };
}
