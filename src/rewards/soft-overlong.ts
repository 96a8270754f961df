/**
 * DAPO's soft punishment of completions that come near the length limit (arXiv:2503.14476, eq. 13): 0 up to L − C tokens,
 * then (L − C − length) / C, which falls to −1 at L, and −1 beyond.
 *
 * L is `maxTokens`, or what the sampler allowed; C is `cacheTokens`, or a fifth of L, the paper's proportion (4,096 of
 * 20,480). Lengths include the end token, as in TRL. With a C of 0 nothing is punished but what is longer than L.
 */

import { z } from "zod";
import { defineRewardEntry, type TrlRewardKey } from "./entry.ts";

/** The paper's C / L. */
const CACHE_SHARE = 0.2;

export const softOverlong = defineRewardEntry({
  name: "soft_overlong",
  title: "Soft overlong punishment",
  summary: "0 up to maxTokens − cacheTokens, from there down to −1 at maxTokens",
  citation: "DAPO, arXiv:2503.14476, eq. 13; TRL get_soft_overlong_punishment",
  columns: [],
  trl: [
    { aliases: ["soft_overlong_punishment"], keys: trlKeys(16384, 4096) },
    // TRL's own script calls the function itself, with numbers of its own.
    { aliases: ["get_soft_overlong_punishment"], onlyAliases: true, keys: trlKeys(1280, 256) },
  ],
  options: z.strictObject({
    maxTokens: z
      .int()
      .min(1)
      .optional()
      .describe("the length that scores −1; the stage's maxCompletionTokens if absent"),
    cacheTokens: z.int().min(0).optional().describe("how far below it the punishment begins; a fifth of it if absent"),
  }),
  create: ({ maxTokens, cacheTokens }) => {
    return ({ completionTokens, maxCompletionTokens }) => {
      const limit = maxTokens ?? maxCompletionTokens;
      if (limit === undefined) return { score: null, reason: "the length limit is not known: set maxTokens" };
      if (completionTokens === undefined) {
        return { score: null, reason: "the completion's length in tokens is not known (column completionTokens)" };
      }
      const cache = Math.min(limit, cacheTokens ?? Math.round(limit * CACHE_SHARE));
      const reason = `${completionTokens} of ${limit} tokens, free up to ${limit - cache}`;
      if (completionTokens <= limit - cache) return { score: 0, reason };
      if (completionTokens > limit) return { score: -1, reason };
      return { score: (limit - cache - completionTokens) / cache, reason };
    };
  },
});

/** The keys of a TRL recipe, with the defaults of its script. */
function trlKeys(limit: number, cache: number): TrlRewardKey[] {
  return [
    { key: "max_completion_len", option: "maxTokens", fallback: limit, kind: "whole" },
    { key: "soft_punish_cache", option: "cacheTokens", fallback: cache, kind: "whole" },
  ];
}
