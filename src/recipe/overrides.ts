/**
 * `--set a.b=c`: one value of a recipe replaced from the command line, before the recipe is checked. The value is YAML,
 * so `true`, `0.5`, `[1, 2]` and plain text are what they look like. An item of a list is addressed by its number or,
 * where the items have one, by its `name`: `stages.r1-zero.iterations=10`.
 *
 * A key that does not exist is not refused here: the strict schema does that, and names the nearest one.
 */

import { ConfigError, nearestName } from "../errors.ts";
import { isMapping } from "../strict-schema.ts";
import { parseYaml } from "./yaml.ts";

/** Returns a copy of `recipe` with every override applied, in order. Throws ConfigError for one that leads nowhere. */
export function applyOverrides(recipe: unknown, overrides: readonly string[]): unknown {
  const changed: unknown = structuredClone(recipe);
  for (const override of overrides) applyOverride(changed, override);
  return changed;
}

function applyOverride(recipe: unknown, override: string): void {
  const equals = override.indexOf("=");
  const path = override.slice(0, equals).trim().split(".");
  if (equals < 1 || path.some((part) => part === "" || part === "__proto__")) {
    throw new ConfigError(
      `--set expects key=value, e.g. --set seed=2 or --set task.name=countdown, not "${override}".`,
    );
  }
  const value = parseYaml(override.slice(equals + 1), `--set ${override}`);
  let branch = recipe;
  for (const [depth, part] of path.entries()) {
    const here = path.slice(0, depth).join(".") || "the recipe";
    if (Array.isArray(branch)) {
      const index = itemIndex(branch, part, here);
      if (depth === path.length - 1) branch[index] = value;
      else branch = branch[index];
    } else if (isMapping(branch)) {
      if (depth === path.length - 1) branch[part] = value;
      else branch = branch[part] ??= {};
    } else {
      throw new ConfigError(`--set ${override}: ${here} is ${JSON.stringify(branch)}, which has no key "${part}".`);
    }
  }
}

function itemIndex(items: readonly unknown[], part: string, here: string): number {
  const names = items.map((item) => (isMapping(item) && typeof item.name === "string" ? item.name : undefined));
  const byName = names.indexOf(part);
  if (byName >= 0) return byName;
  const index = /^\d+$/.test(part) ? Number(part) : -1;
  if (index >= 0 && index < items.length) return index;
  const known = names.filter((name) => name !== undefined);
  const nearest = nearestName(part, known);
  throw new ConfigError(
    `${here} has no item "${part}"; it has 0 to ${items.length - 1}` +
      (known.length > 0 ? `, named ${known.join(", ")}` : "") +
      (nearest ? `. Did you mean "${nearest}"?` : "."),
  );
}
