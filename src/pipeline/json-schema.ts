/** Pipelines as JSON Schema, for editors: the keys around the stages, and inside a stage those of a recipe or data step. */

import "../node-entries.ts"; // for its devices
import { dataSteps } from "../data-steps/steps.ts";
import {
  document,
  type JsonSchema,
  jsonSchemaOf,
  recipeJsonSchema,
  relaxedRecipe,
  stageRecipeJsonSchema,
} from "../recipe/json-schema.ts";
import { relaxed } from "../recipe/json-schema-shapes.ts";
import { pipelineSchema, stageKinds, TRAIN } from "./schema.ts";

/** What a pipeline file may hold, also one that extends another. */
function pipelineJsonSchema(): JsonSchema {
  const { properties, required } = jsonSchemaOf(pipelineSchema());
  const { pipeline, defaults, ...around } = properties!;
  const { items, ...list } = pipeline!;
  const recipe = relaxedRecipe();
  const stage = stageSchema(items!, recipe);
  const { required: _, oneOf: __, dependencies: ___, ...changed } = stage;
  const stages = { type: "array", description: "the stages, one after another", items: stage };
  return document("A pipeline of Aha", "Stages that train or make data sets, each with what earlier ones made.", {
    type: "object",
    properties: {
      ...around,
      defaults: { ...recipe, description: defaults!.description },
      pipeline: {
        description:
          "the stages; in a file that extends another, also a mapping of that one's stages to what they change",
        anyOf: [
          { ...list, ...stages },
          { type: "object", additionalProperties: changed },
        ],
      },
      extends: { type: "string", description: "a pipeline below this one, whose keys these are laid over" },
      append: { ...stages, description: "further stages after those of the pipeline that this one extends" },
    },
    additionalProperties: false,
    if: { not: { required: ["extends"] } },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { required: required!, properties: { pipeline: { type: "array" } }, not: { required: ["append"] } },
  });
}

/** A stage: exactly one of `train` and the data steps, each with its keys. */
function stageSchema(stage: JsonSchema, recipe: JsonSchema): JsonSchema {
  const { train, with: over, ...around } = stage.properties!;
  const steps = dataSteps.all.map((step) => {
    const schema = relaxed(jsonSchemaOf(step.schema()));
    return [step.name, { ...schema, description: `makes a data set: ${step.name} in docs/pipelines.md` }] as const;
  });
  const file = { type: "string", minLength: 1 };
  return {
    type: "object",
    properties: {
      ...around,
      ...Object.fromEntries(steps),
      [TRAIN]: { description: train!.description, anyOf: [file, recipe] },
      with: { ...recipe, description: over!.description },
    },
    required: ["name"],
    additionalProperties: false,
    oneOf: stageKinds().map((kind) => ({ required: [kind] })),
    dependencies: { with: [TRAIN] },
  };
}

/** The schemas of the files that people write, with what the registries hold now: `schema/NAME.schema.json`. */
export function jsonSchemas(): Readonly<Record<"recipe" | "stage" | "pipeline", JsonSchema>> {
  return { recipe: recipeJsonSchema(), stage: stageRecipeJsonSchema(), pipeline: pipelineJsonSchema() };
}
