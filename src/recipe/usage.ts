/** What a run had computed by an engine elsewhere, over all of its sessions: sums of what the diary noted. */

import { z } from "zod";
import type { EngineUsage } from "../engine/contract/policy.ts";
import type { EventRecord } from "../run/records.ts";
import { engineUsageSchema } from "../run/summary.ts";

/** The diary's event with what was computed since the one before. */
export const USAGE_EVENT = "usage";

/** Where nothing was computed yet. */
export const NO_USAGE: EngineUsage = { promptTokens: 0, sampledTokens: 0, scoredTokens: 0, trainedTokens: 0 };

/** a + factor · b. */
export function addUsage(a: EngineUsage, b: EngineUsage, factor = 1): EngineUsage {
  return {
    promptTokens: a.promptTokens + factor * b.promptTokens,
    sampledTokens: a.sampledTokens + factor * b.sampledTokens,
    scoredTokens: a.scoredTokens + factor * b.scoredTokens,
    trainedTokens: a.trainedTokens + factor * b.trainedTokens,
  };
}

const eventSchema = z.looseObject({ event: z.literal(USAGE_EVENT), ...engineUsageSchema.shape });

/** The sum of the diary's; undefined: it has none. */
export function usageIn(events: readonly EventRecord[]): EngineUsage | undefined {
  const noted = events.flatMap((event) => {
    const parsed = eventSchema.safeParse(event);
    return parsed.success ? [parsed.data] : [];
  });
  return noted.length === 0 ? undefined : noted.reduce<EngineUsage>((sum, one) => addUsage(sum, one), NO_USAGE);
}
