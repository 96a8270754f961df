/**
 * From a recipe file and overrides to a checked recipe with every default filled in.
 *
 * A recipe with one stage may leave `stages` out and put `trainer` and its keys at the top; it is the same recipe with
 * one stage, named after its trainer.
 */

import { dirname } from "node:path";
import { ConfigError } from "../errors.ts";
import { readTextFile } from "../files.ts";
import { describeIssues, isMapping, type PathNames } from "../strict-schema.ts";
import { applyOverrides } from "./overrides.ts";
import { anchoredPaths, recipePaths } from "./recipe-paths.ts";
import { type Recipe, recipeSchema } from "./schema.ts";
import { MAX_RECIPE_BYTES, parseYaml } from "./yaml.ts";

/**
 * Reads `path`, applies `overrides` (`a.b=c`), and checks the result. Paths in it become absolute; names on the Hub stay.
 *
 * @throws ConfigError listing every problem
 */
export async function loadRecipe(path: string, overrides: readonly string[] = []): Promise<Recipe> {
  const text = await readTextFile(path, { maxBytes: MAX_RECIPE_BYTES, error: ConfigError });
  return parseRecipe(text, path, overrides);
}

/** `loadRecipe` for text at hand; `path` names it in errors, and paths in it are relative to its folder. */
export function parseRecipe(text: string, path: string, overrides: readonly string[] = []): Recipe {
  const written = parseYaml(text, path);
  if (!isMapping(written)) throw new ConfigError(`${path}: a recipe is a mapping of keys to values.`);
  return checkRecipe(applyOverrides(written, overrides) as Record<string, unknown>, path);
}

/** Checks a recipe at hand; errors as in `loadRecipe`. */
export function checkRecipe(changed: Readonly<Record<string, unknown>>, path: string): Recipe {
  const single = !("stages" in changed) && "trainer" in changed;
  const schema = recipeSchema();
  const value = single ? withStages(changed) : changed;
  const checked = schema.safeParse(value);
  if (!checked.success) {
    const issues = describeIssues(checked.error.issues, {
      value,
      schema,
      pathNames: pathNames(value, single),
      // A misspelt key at the top of a single-stage recipe was taken for one of the stage.
      furtherKeys: (path) => (single && path.length === 2 ? Object.keys(schema.shape) : []),
    });
    throw new ConfigError(`${path} cannot be run:\n${issues.map((issue) => `  ${issue}`).join("\n")}`);
  }
  const recipe = checked.data;
  return anchoredPaths(recipe, recipePaths(recipe), dirname(path));
}

function withStages(recipe: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const top: Record<string, unknown> = {};
  const stage: Record<string, unknown> = { name: String(recipe.trainer) };
  for (const [key, value] of Object.entries(recipe))
    (Object.hasOwn(recipeSchema().shape, key) ? top : stage)[key] = value;
  return { ...top, stages: [stage] };
}

/** Paths as the user wrote them: stages by name, and none where the recipe has a single one at the top. */
function pathNames(value: Readonly<Record<string, unknown>>, single: boolean): PathNames {
  const stages = Array.isArray(value.stages) ? (value.stages as unknown[]) : [];
  return (path) => {
    const parts = path.map(String);
    if (parts[0] === "stages" && parts[1] !== undefined) {
      if (single) return parts.slice(2).join(".");
      const stage = stages[Number(parts[1])];
      if (isMapping(stage) && typeof stage.name === "string") parts[1] = stage.name;
    }
    return parts.join(".");
  };
}
