/**
 * Configurations laid over each other: a pipeline's defaults, a recipe, a stage's own values.
 *
 * Mappings are merged key by key, all else is replaced. Three rules keep that from making nonsense: a mapping that names
 * its source (`from`, `path`, `init`, `file`) takes away the source below it; one with another `name` (a task, a reward)
 * replaces the one below it; and a list whose items have names is changed by a mapping of these names.
 */

import { ConfigError, nearestName } from "../errors.ts";
import { isMapping, type Mapping } from "../strict-schema.ts";

/** Keys that say where a model or data set comes from; `output` and `adapter` belong to what they name. */
export const SOURCE_KEYS = ["from", "path", "init", "file", "endpoint"] as const;
const OF_SOURCE = [...SOURCE_KEYS, "output", "adapter"] as const;

/**
 * `upper` laid over `lower`; neither is changed. `place` names it in errors.
 *
 * @throws ConfigError where a name is not in the list that it should change.
 */
export function mergeConfig(lower: Mapping, upper: Mapping, place: string): Mapping {
  const merged: Record<string, unknown> = { ...lower };
  if (SOURCE_KEYS.some((key) => key in upper)) for (const key of OF_SOURCE) delete merged[key];
  for (const [key, value] of Object.entries(upper)) merged[key] = mergeValue(merged[key], value, `${place}.${key}`);
  return merged;
}

function mergeValue(lower: unknown, upper: unknown, place: string): unknown {
  if (!isMapping(upper)) return upper;
  if (isMapping(lower)) return namesAnother(lower, upper) ? upper : mergeConfig(lower, upper, place);
  if (!Array.isArray(lower)) return upper;
  const items: readonly unknown[] = lower;
  const names = items.map((item) => (isMapping(item) && typeof item.name === "string" ? item.name : ""));
  const merged = [...items];
  for (const [name, value] of Object.entries(upper)) {
    const index = names.indexOf(name);
    if (index < 0) {
      const nearest = nearestName(name, names);
      const hint = nearest === undefined || nearest === "" ? `there are ${names.join(", ")}` : `is ${nearest} meant?`;
      throw new ConfigError(`${place} has no item "${name}": ${hint}`);
    }
    merged[index] = mergeValue(items[index], value, `${place}.${name}`);
  }
  return merged;
}

function namesAnother(lower: Mapping, upper: Mapping): boolean {
  return upper.name !== undefined && lower.name !== undefined && upper.name !== lower.name;
}
