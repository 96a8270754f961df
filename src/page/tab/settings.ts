/**
 * The keys of the recipe that the page has controls for: which values each can take, what it is expected to do, and the
 * command that trains the same way without a browser. What is expected comes from measurements with this recipe where there
 * are some (docs/log.md), else from the papers.
 */

import { plain } from "../../number-text.ts";
import type { TabSettings } from "../../web/protocol.ts";
import { CONTROL_NAMES, overridesOf } from "../../web/recipe-controls.ts";

/** A slider. */
export interface SettingControl {
  readonly key: keyof TabSettings;
  readonly label: string;
  /** The places of the slider, rising. */
  readonly values: readonly number[];
  /** What more of it is expected to do. */
  readonly effect: string;
  /** What is known of the value it has now, where there is something to say. */
  warning?(value: number, all: TabSettings): string | undefined;
}

/** The sliders in the order of the page. */
export const CONTROLS: readonly SettingControl[] = [
  {
    key: "groupSize",
    label: "Group size",
    values: [2, 4, 8, 16, 32],
    effect: "Answers per problem. More make a better baseline and a steadier curve, and every iteration takes longer.",
    warning: (value) => (value <= 4 ? "Most groups will be all wrong, and teach nothing." : undefined),
  },
  {
    key: "learningRate",
    label: "Learning rate",
    values: [1e-5, 3e-5, 1e-4, 2e-4, 3e-4, 1e-3, 3e-3],
    effect: "How far each step goes. Low is slow; high forgets the arithmetic that the model knew.",
    warning: (value) =>
      value >= 1e-3
        ? "Measured: the model forgets its arithmetic, and with it everything."
        : value > 2e-4
          ? "Measured: it costs arithmetic; more answers call a wrong result “yes”."
          : undefined,
  },
  {
    key: "temperature",
    label: "Temperature",
    values: [0.3, 0.5, 0.7, 0.85, 1, 1.15, 1.3, 1.5],
    effect: "How much chance there is in sampling. Low makes the answers of a group alike; high makes them careless.",
    warning: (value) =>
      value <= 0.5
        ? "Answers that are alike get equal rewards, and equal rewards teach nothing."
        : value >= 1.3
          ? "Expect slips in the arithmetic."
          : undefined,
  },
  {
    key: "klCoef",
    label: "KL coefficient",
    values: [0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3],
    effect:
      "Holds the policy near the model that it was. 0 lets it go where the reward is; high keeps it from learning.",
    warning: (value) => (value >= 0.1 ? "Expect a solve rate that hardly moves." : undefined),
  },
  {
    key: "equationWeight",
    label: "Reward for a right answer",
    values: [0, 0.25, 0.5, 1, 2],
    effect: "What the rules pay for an equation that reaches the target. It is the only pay for being right.",
    warning: (value, { formatWeight }) =>
      value > 0
        ? undefined
        : formatWeight > 0
          ? "Only the form pays now: expect short, well-formed, wrong answers."
          : "Nothing pays now, so nothing can be learned.",
  },
  {
    key: "formatWeight",
    label: "Reward for the form",
    values: [0, 0.1, 0.2, 0.5, 1, 2],
    effect: "What the rules pay for thinking and answer in their places, right or wrong.",
    warning: (value, { equationWeight }) =>
      value > 0 && value >= equationWeight
        ? "The form is worth as much as the answer: a false “yes” pays better than a search that is cut off."
        : undefined,
  },
];

/** The place of a slider that is nearest to a value. */
export function sliderPlaceOf({ values }: SettingControl, value: number): number {
  let nearest = 0;
  for (const [place, one] of values.entries()) {
    if (Math.abs(one - value) < Math.abs(values[nearest]! - value)) nearest = place;
  }
  return nearest;
}

/** The settings of `now` that differ from `before`. */
export function changedSettings(before: TabSettings, now: TabSettings): Partial<TabSettings> {
  return Object.fromEntries(CONTROL_NAMES.filter((key) => now[key] !== before[key]).map((key) => [key, now[key]]));
}

/** The command that trains with these settings in a terminal, where the recipe has `recipe`. */
export function commandFor(recipe: TabSettings, now: TabSettings): string {
  const sets = overridesOf(changedSettings(recipe, now)).map((override) => ` --set ${override}`);
  return `npm run aha -- run recipes/countdown/tiny/recipe.yaml${sets.join("")}`;
}

/** Settings in words, e.g. `learning rate 0.001, group size 8`. */
export function settingsInWords(settings: Partial<TabSettings>): string {
  const words = CONTROLS.filter(({ key }) => settings[key] !== undefined).map(
    ({ key, label }) => `${label.toLowerCase()} ${valueInWords(settings[key]!)}`,
  );
  if (settings.promptsPerIteration !== undefined) words.push(`${settings.promptsPerIteration} problems an iteration`);
  if (settings.seed !== undefined) words.push(`seed ${settings.seed}`);
  return words.join(", ");
}

/** A value beside its slider. */
export function valueInWords(value: number): string {
  return value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(0).replace("e-", "e−") : plain(value);
}
