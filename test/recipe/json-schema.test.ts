/** The JSON Schemas that editors read: current, named by every recipe, and of one mind with what checks a recipe. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { Ajv, type ValidateFunction } from "ajv";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { isPipeline } from "../../src/pipeline/extends.ts";
import { jsonSchemas } from "../../src/pipeline/json-schema.ts";
import type { JsonSchema } from "../../src/recipe/json-schema.ts";
import { walk } from "../../src/recipe/json-schema-refs.ts";
import { checkRecipe } from "../../src/recipe/load.ts";
import { applyOverrides } from "../../src/recipe/overrides.ts";

const ROOT = join(import.meta.dirname, "../..");
const RECIPES = join(ROOT, "recipes");
const SMOKE = "countdown/smoke/recipe.yaml";
type Kind = keyof ReturnType<typeof jsonSchemas>;

const schemas = jsonSchemas();
const kinds = Object.keys(schemas) as Kind[];
const validators = Object.fromEntries(kinds.map((kind) => [kind, compiled(schemas[kind])])) as Record<
  Kind,
  ValidateFunction
>;
const files = readdirSync(RECIPES, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".yaml"));
const textOf = (file: string) => readFileSync(join(RECIPES, file), "utf8");
const recipeIn = (file: string): unknown => parse(textOf(file), { schema: "core" });

function compiled(schema: JsonSchema): ValidateFunction {
  // Strict, so that no keyword is misspelt; types stand beside the conditions that use them.
  const ajv = new Ajv({
    allErrors: true,
    strict: true,
    strictTypes: false,
    strictRequired: false,
    formats: { date: true },
  });
  return ajv.compile(schema);
}

function errors(kind: Kind, value: unknown): string[] {
  validators[kind](value);
  return (validators[kind].errors ?? []).map(
    ({ instancePath, message, params }) => `${instancePath} ${message} ${JSON.stringify(params)}`,
  );
}

/** The smoke recipe with values replaced. */
const smoke = (...sets: readonly string[]) => applyOverrides(recipeIn(SMOKE), sets) as Record<string, unknown>;

describe("schema/", () => {
  it.each(kinds)("%s.schema.json is what the code makes: npm run schemas", (kind) => {
    const path = join(ROOT, "schema", `${kind}.schema.json`);
    expect(readFileSync(path, "utf8")).toBe(`${JSON.stringify(schemas[kind], undefined, 1)}\n`);
  });

  it.each(kinds)("%s: every key is described", (kind) => {
    const bare: string[] = [];
    const { definitions } = schemas[kind] as unknown as { readonly definitions: Record<string, JsonSchema> };
    const isBare = (part: JsonSchema): boolean => {
      const { $ref, description } = part as { $ref?: string; description?: string };
      if ($ref !== undefined) return isBare(definitions[$ref.split("/").at(-1)!]!);
      // A condition on a key says less than a description.
      return !["const,type", "const", "type", "anyOf", ""].includes(Object.keys(part).sort().join()) && !description;
    };
    walk(schemas[kind], (part) => {
      for (const [key, property] of Object.entries(part.properties ?? {})) if (isBare(property)) bare.push(key);
      return true;
    });
    expect(bare).toEqual([]);
  });

  it("has the defaults of the code", () => {
    const { properties } = schemas.recipe;
    expect([properties!.seed!.default, properties!.keepCheckpoints!.default]).toEqual([0, 2]);
    expect(JSON.stringify(schemas.recipe)).toContain('"groupSize":{"default":8,');
  });
});

describe("the recipes", () => {
  it.each(files)("%s names its schema, and fits it", (file) => {
    const [, named] = /^# yaml-language-server: \$schema=(\S+)\n/.exec(textOf(file))!;
    const path = resolve(dirname(join(RECIPES, file)), named!);
    expect(existsSync(path)).toBe(true);
    const kind = relative(join(ROOT, "schema"), path).replace(".schema.json", "") as Kind;
    const value = recipeIn(file);
    expect(kind === "pipeline").toBe(isPipeline(value));
    expect(errors(kind, value)).toEqual([]);
  });
});

describe("a recipe that aha run refuses for a key or a type", () => {
  it.each([
    ["an unknown key", "sede=2", /sede/],
    ["an unknown key of the trainer", "stages.r1-zero.groupsize=4", /groupsize/],
    ["a key of another trainer", "stages.cold-start.groupSize=4", /groupSize/],
    ["an unknown key of the task", "task.cuonts=[3]", /cuonts/],
    ["an unknown task", "task.name=countdwon", /\/task\/name/],
    ["an unknown trainer", "stages.cold-start.trainer=sfd", /trainer/],
    ["an unknown reward", "stages.r1-zero.rewards=[{name: formt}]", /rewards\/0\/name/],
    ["an unknown option of a reward", "stages.r1-zero.rewards=[{name: equation, options: {wrong: 1}}]", /wrong/],
    ["text for a number", "stages.r1-zero.iterations=many", /iterations must be integer/],
    ["a number out of its range", "stages.r1-zero.topP=2", /topP must be <= 1/],
    ["a broken number", "seed=1.5", /seed must be integer/],
    ["an unknown value", "model.saveDtype=float8", /saveDtype/],
    ["a name that cannot be one", "name=a.b", /name must match pattern/],
    ["an unknown engine", "engine.kind=remote", /engine\/kind/],
    ["an unknown device", "engine.device=gpx", /device/],
    ["an unknown key of the engine", "engine.thread=1", /thread/],
    ["a trainer beside stages", "trainer=sft", /stages/],
  ])("has %s, and the schema refuses it too", (_, set, message) => {
    const value = smoke(set);
    expect(() => checkRecipe(value, "recipe.yaml")).toThrow();
    expect(errors("recipe", value).join("\n")).toMatch(message);
  });

  it.each(["name", "model", "task", "stages"])("lacks %s, and the schema says so too", (key) => {
    const { [key]: _, ...value } = smoke();
    expect(() => checkRecipe(value, "recipe.yaml")).toThrow();
    expect(errors("recipe", value).join("\n")).toContain(`must have required property '${key}'`);
  });
});

describe("one trainer at the top", () => {
  const { stages: _, ...around } = smoke();
  const single = { ...around, trainer: "sft", steps: 3, learningRate: 1e-3 };

  it("fits, with a reward file of one's own too", () => {
    expect(errors("recipe", single)).toEqual([]);
    expect(errors("recipe", smoke("stages.r1-zero.rewards=[{name: ./mine.ts#good}]"))).toEqual([]);
  });

  it("has that trainer's keys and no others", () => {
    expect(errors("recipe", { ...single, groupSize: 4 }).join("\n")).toMatch(/groupSize/);
    expect(errors("recipe", { ...around, trainer: "grpo" }).join("\n")).toContain("'iterations'");
  });
});

describe("a pipeline", () => {
  const pipeline = (stage: object) => ({ name: "p", pipeline: [{ name: "s", ...stage }] });

  it.each([
    ["an unknown key of a stage", pipeline({ train: "./a.yaml", wiht: {} }), /wiht/],
    ["a stage that is two things", pipeline({ train: "./a.yaml", combine: { data: [] } }), /exactly one schema/],
    ["a stage that is nothing", pipeline({ note: "x" }), /exactly one schema/],
    ["an unknown key in with", pipeline({ train: "./a.yaml", with: { learningrate: 1 } }), /learningrate/],
    ["an unknown key of a data step", pipeline({ coldStart: { prompt: 3 } }), /prompt/],
    ["an unknown key at the top", { ...pipeline({ train: "./a.yaml" }), treads: 1 }, /treads/],
    ["append without extends", { ...pipeline({ train: "./a.yaml" }), append: [] }, /NOT/i],
    ["no name", { pipeline: [{ name: "s", train: "./a.yaml" }] }, /'name'/],
  ])("with %s is refused", (_, value, message) => {
    expect(errors("pipeline", value).join("\n")).toMatch(message);
  });

  it("may lay a part of a recipe over another, and name an earlier stage's output", () => {
    const over = { model: { from: "base" }, learningRate: 1e-3, rewards: { format: { weight: 2 } } };
    expect(errors("pipeline", pipeline({ train: "./a.yaml", with: over }))).toEqual([]);
    expect(errors("stage", { model: { from: "base" }, trainer: "sft" })).toEqual([]);
    expect(errors("recipe", { ...smoke(), model: { from: "base" } })).not.toEqual([]);
  });
});
