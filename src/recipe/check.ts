/**
 * From a recipe as it is written to one that is checked, with every default filled in. Paths in it stay as they are.
 *
 * A recipe with one stage may leave `stages` out and put `trainer` and its keys at the top; it is the same recipe with
 * one stage, named after its trainer.
 */

import { ConfigError } from "../errors.ts";
import { describeIssues, isMapping, type PathNames } from "../strict-schema.ts";
import { applyOverrides } from "./overrides.ts";
import { type Recipe, recipeSchema } from "./schema.ts";
import { parseYaml } from "./yaml.ts";

/** The recipe of a YAML text with `overrides` (`a.b=c`); `where` names it in errors. Throws ConfigError listing every problem. */
export function recipeOfText(text: string, where: string, overrides: readonly string[] = []): Recipe {
  return checkedRecipe(overriddenRecipe(text, where, overrides), where);
}

/** The mapping of a YAML text with `overrides`, not yet checked. Throws ConfigError for a text that is none. */
export function overriddenRecipe(text: string, where: string, overrides: readonly string[]): Record<string, unknown> {
  const written = parseYaml(text, where);
  if (!isMapping(written)) throw new ConfigError(`${where}: a recipe is a mapping of keys to values.`);
  return applyOverrides(written, overrides) as Record<string, unknown>;
}

/** Checks a recipe at hand. Throws ConfigError listing every problem. */
export function checkedRecipe(changed: Readonly<Record<string, unknown>>, where: string): Recipe {
  const single = !("stages" in changed) && "trainer" in changed;
  const schema = recipeSchema();
  const value = single ? withStages(changed) : changed;
  const checked = schema.safeParse(value);
  if (checked.success) return checked.data;
  const issues = describeIssues(checked.error.issues, {
    value,
    schema,
    pathNames: pathNames(value, single),
    // A misspelt key at the top of a single-stage recipe was taken for one of the stage.
    furtherKeys: (path) => (single && path.length === 2 ? Object.keys(schema.shape) : []),
  });
  throw new ConfigError(`${where} cannot be run:\n${issues.map((issue) => `  ${issue}`).join("\n")}`);
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
