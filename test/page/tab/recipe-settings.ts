/** What recipes/countdown/tiny has; a test holds it against the recipe itself. */

import type { TabSettings } from "../../../src/web/protocol.ts";

export const RECIPE_SETTINGS: TabSettings = {
  groupSize: 16,
  promptsPerIteration: 16,
  learningRate: 2e-4,
  temperature: 1,
  klCoef: 0,
  formatWeight: 0.2,
  equationWeight: 1,
  seed: 1,
};
