/** The options by which losses bound the ratio. Losses that have one of them share its schema, for in a recipe it is one key. */

import { z } from "zod";

/** How far below 1 a ratio counts. */
export const clipEpsilon = z
  .number()
  .positive()
  .max(1)
  .default(0.2)
  .describe("how far below 1 a ratio counts; at 1 nothing is clipped from below");

/** How far above 1 a ratio counts, or the bound itself. */
export const clipEpsilonHigh = z
  .number()
  .positive()
  .optional()
  .describe("how far above 1 a ratio counts; clipEpsilon if absent. Of cispo the cap itself; 5 if absent");

/** Why the keys of a clip would change nothing under a loss that has something else in its place. */
export function withoutClip(reason: string): Readonly<Record<string, string>> {
  return { clipEpsilon: reason, clipEpsilonHigh: reason, delta: reason };
}

/** The same for the keys of TRL's recipes. */
export function trlWithoutClip(lossType: string): Readonly<Record<string, string>> {
  const reason = `${lossType} has no clip`;
  return { epsilon: reason, epsilon_high: reason, delta: reason };
}
