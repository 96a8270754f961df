/** Which keys of the recipe the page has controls for, and how far each may go; the page and its worker both read it. */

import type { TabSettings } from "./protocol.ts";

/** Name of the stage that learns from demonstrations. */
export const COLD_START = "cold-start";
/** Name of the stage in which the model plays. */
export const R1_ZERO = "r1-zero";

/** What a control sets. */
export interface RecipeControl {
  /** The key of the recipe. */
  readonly key: string;
  readonly least: number;
  readonly most: number;
  readonly isWhole?: boolean;
}

/** What the page may set, and how far: a tab has 4 GiB of memory at most, and a group of one teaches nothing. */
export const RECIPE_CONTROLS: Readonly<Record<keyof TabSettings, RecipeControl>> = {
  groupSize: { key: `stages.${R1_ZERO}.groupSize`, least: 2, most: 64, isWhole: true },
  promptsPerIteration: { key: `stages.${R1_ZERO}.promptsPerIteration`, least: 1, most: 64, isWhole: true },
  learningRate: { key: `stages.${R1_ZERO}.learningRate`, least: 0, most: 0.1 },
  temperature: { key: `stages.${R1_ZERO}.temperature`, least: 0.1, most: 2 },
  klCoef: { key: `stages.${R1_ZERO}.klCoef`, least: 0, most: 10 },
  formatWeight: { key: `stages.${R1_ZERO}.rewards.format.weight`, least: -10, most: 10 },
  equationWeight: { key: `stages.${R1_ZERO}.rewards.equation.weight`, least: -10, most: 10 },
  seed: { key: "seed", least: 0, most: 0xffffffff, isWhole: true },
};

/** The names of the controls. */
export const CONTROL_NAMES = Object.keys(RECIPE_CONTROLS) as readonly (keyof TabSettings)[];

/** Settings as overrides of the recipe, which is what `aha run --set` takes. */
export function overridesOf(settings: Partial<TabSettings>): string[] {
  return CONTROL_NAMES.filter((name) => settings[name] !== undefined).map(
    (name) => `${RECIPE_CONTROLS[name].key}=${settings[name]}`,
  );
}
