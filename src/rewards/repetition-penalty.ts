/**
 * A penalty for saying the same again: (1 − different n-grams / all n-grams) · maxPenalty, 0 where there is no n-gram. So
 * scores go from 0 (nothing twice) towards `maxPenalty`, which is negative.
 *
 * Yeo et al., arXiv:2502.03373, appendix C.2; in the form of open-r1 and TRL. The n-grams are of words in lower case, and of
 * characters where a script sets no spaces; TRL's are of tokens. train-deepseek-r1 takes a maxPenalty of −0.1.
 */

import { z } from "zod";
import { defineRewardEntry } from "./entry.ts";
import { characters, words, wordsAndCharacters } from "./text-units.ts";

const UNITS = { auto: wordsAndCharacters, words, characters };

export const repetitionPenalty = defineRewardEntry({
  name: "repetition_penalty",
  title: "Repetition penalty",
  summary: "maxPenalty times the share of n-grams that came before; 0 where none did",
  citation: "Yeo et al., arXiv:2502.03373, appendix C.2; open-r1, TRL get_repetition_penalty_reward",
  columns: [],
  trl: [
    {
      aliases: ["get_repetition_penalty_reward"],
      keys: [
        { key: "repetition_n_grams", option: "ngramSize", fallback: 3, kind: "whole" },
        { key: "repetition_max_penalty", option: "maxPenalty", fallback: -1, kind: "number" },
      ],
      // open-r1 splits at white space, whatever the script.
      fixed: { unit: "words" },
    },
  ],
  options: z.strictObject({
    ngramSize: z.int().min(1).max(64).default(3).describe("units of an n-gram"),
    maxPenalty: z.number().max(0).default(-1).describe("the score of a text that only repeats; not positive"),
    unit: z
      .enum(["auto", "words", "characters"])
      .default("auto")
      .describe("auto: words, but characters of scripts without spaces (Chinese, Japanese, Thai …)"),
  }),
  create: ({ ngramSize, maxPenalty, unit }) => {
    return ({ completion }) => {
      const units = UNITS[unit](completion);
      const total = units.length - ngramSize + 1;
      if (total < 1) return { score: 0, reason: `shorter than ${ngramSize} units` };
      const different = new Set<string>();
      for (let i = 0; i < total; i++) different.add(units.slice(i, i + ngramSize).join(" "));
      const repeated = total - different.size;
      // Not −0: it would be shown as such.
      const score = repeated === 0 || maxPenalty === 0 ? 0 : (1 - different.size / total) * maxPenalty;
      return { score, reason: `${repeated} of ${total} ${ngramSize}-grams came before` };
    };
  },
});
