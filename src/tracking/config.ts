/** A run's recipe as trackers show settings: one name and one value each. */

/** A setting: numbers and truth values as they are, lists and everything else as text. */
export type Setting = number | string | boolean;

/**
 * The recipe, flat: `model.init.numLayers`, `task.name`; a stage's keys under its name, `r1-zero.learningRate`. Lists are
 * JSON.
 */
export function flatConfig(recipe: Readonly<Record<string, unknown>>): Map<string, Setting> {
  const { stages, ...others } = recipe;
  const found = new Map<string, Setting>();
  add(found, [], others);
  for (const stage of Array.isArray(stages) ? (stages as { readonly name: string }[]) : []) {
    const { name, ...keys } = stage;
    add(found, [name], keys);
  }
  return found;
}

function add(found: Map<string, Setting>, path: readonly string[], value: unknown): void {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    for (const [key, item] of Object.entries(value)) add(found, [...path, key], item);
  } else if (typeof value === "number" || typeof value === "string" || typeof value === "boolean") {
    found.set(path.join("."), value);
  } else if (value !== undefined && value !== null) {
    found.set(path.join("."), JSON.stringify(value));
  }
}
