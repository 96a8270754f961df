/**
 * The recipe of `npm start` as a tab runs it: the very file, with the values of the page's controls and a few of the tab's own.
 */

import { ConfigError } from "../errors.ts";
import { checkedRecipe, overriddenRecipe } from "../recipe/check.ts";
import type { Recipe, StageConfig } from "../recipe/schema.ts";
import type { ProblemLimits, TabSettings } from "./protocol.ts";
import { COLD_START, CONTROL_NAMES, overridesOf, R1_ZERO, RECIPE_CONTROLS } from "./recipe-controls.ts";

/**
 * What a tab does otherwise: it saves after every iteration, since a tab closes without a word, evaluates a quarter of the
 * problems, each once, so that R1-Zero begins soon, and keeps few of the sampled completions.
 */
const OF_A_TAB = [
  "evaluation.problems=100",
  "evaluation.greedy=never",
  `stages.${COLD_START}.checkpointEvery=100`,
  `stages.${R1_ZERO}.checkpointEvery=1`,
  `stages.${R1_ZERO}.evaluateEvery=20`,
  "rollouts.keepFiles=4",
];

/**
 * The recipe of a text with these values; `overrides` come last.
 *
 * @throws ConfigError for values that cannot be
 */
export function tabRecipe(text: string, settings: Partial<TabSettings>, overrides: readonly string[] = []): Recipe {
  for (const [name, value] of Object.entries(settings)) requireSetting(name, value);
  const where = "the recipe with the page's settings";
  return checkedRecipe(overriddenRecipe(text, where, [...OF_A_TAB, ...overridesOf(settings), ...overrides]), where);
}

function requireSetting(name: string, value: unknown): void {
  const control = Object.hasOwn(RECIPE_CONTROLS, name) ? RECIPE_CONTROLS[name as keyof TabSettings] : undefined;
  if (control === undefined) {
    throw new ConfigError(`There is no setting ${name}; there are ${CONTROL_NAMES.join(", ")}.`);
  }
  const { least, most, isWhole = false } = control;
  const fits = typeof value === "number" && value >= least && value <= most && (!isWhole || Number.isInteger(value));
  if (fits) return;
  const range = `${isWhole ? "a whole number" : "a number"} from ${least} to ${most}`;
  throw new ConfigError(`${name}: expected ${range}, not ${String(value)}. The setting stays as it was.`);
}

/** The stage in which the model plays. */
export function r1ZeroOf(recipe: Recipe): StageConfig {
  const stage = recipe.stages.find(({ name }) => name === R1_ZERO);
  if (stage === undefined) throw new ConfigError(`The recipe has no stage ${R1_ZERO}, which a tab shows.`);
  return stage;
}

/** The values of the controls in a recipe. */
export function tabSettingsOf(recipe: Recipe): TabSettings {
  const numbers = Object.entries(RECIPE_CONTROLS).map(([name, { key }]) => [name, numberAt(recipe, key.split("."))]);
  return Object.fromEntries(numbers) as unknown as TabSettings;
}

function numberAt(value: unknown, path: readonly string[]): number {
  const [first, ...rest] = path;
  if (first === undefined) return value as number;
  const named = (item: unknown) => (item as { readonly name?: unknown }).name === first;
  const next = Array.isArray(value) ? value.find(named) : (value as Readonly<Record<string, unknown>>)[first];
  return numberAt(next, rest);
}

/** Iterations that the stage has. */
export function iterationsOf(recipe: Recipe): number {
  return numberAt(recipe, ["stages", R1_ZERO, "iterations"]);
}

/** Optimizer steps that the cold start has. */
export function lessonsIn(recipe: Recipe): number {
  return numberAt(recipe, ["stages", COLD_START, "steps"]);
}

/** What problems the recipe trains on. */
export function limitsOf(recipe: Recipe): ProblemLimits {
  const { counts, min, max, targetMin, targetMax, values } = recipe.task as unknown as ProblemLimits & {
    readonly values: { readonly max: number };
  };
  return { largest: values.max, counts, min, max, targetMin, targetMax };
}
