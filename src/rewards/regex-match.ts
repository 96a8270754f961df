/**
 * 1 where a regular expression is found in the completion, else 0. The pattern is the recipe's, or each row's own; its
 * syntax is JavaScript's (flag u) without back references and look-around, because it is matched in linear time
 * (`pattern/matcher.ts`): no completion can make it hang, whatever the pattern.
 */

import { z } from "zod";
import { ConfigError } from "../errors.ts";
import { finalAnswerOf, summaryOf, thinkingOf } from "../expression/answer.ts";
import { compilePattern, type PatternMatcher } from "../pattern/matcher.ts";
import { parseFlags } from "../pattern/syntax.ts";
import { defineRewardEntry } from "./entry.ts";

const PARTS = {
  completion: (text: string) => text,
  answer: (text: string) => finalAnswerOf(text).trim(),
  summary: summaryOf,
  reasoning: thinkingOf,
};

/** Patterns of rows that are kept compiled; a data set may have one for each. */
const MAX_KEPT = 1000;

export const regexMatch = defineRewardEntry({
  name: "regex_match",
  title: "Pattern match",
  summary: "1 where the regular expression is found in the completion; else 0",
  citation: "Aha's own; linear-time matching after Thompson, CACM 11(6), 1968",
  columns: [],
  columnsFor: ({ pattern, column }) => (pattern === undefined ? [column] : []),
  options: z
    .strictObject({
      pattern: z.string().min(1).optional().describe("the expression; each row's own column if absent"),
      column: z.string().min(1).default("pattern").describe("the column with the expression, where pattern is absent"),
      flags: z.string().default("").describe("i (case does not matter), m (^ and $ at lines), s (. takes line feeds)"),
      part: z
        .enum(["completion", "answer", "summary", "reasoning"])
        .default("completion")
        .describe("where to look: answer is the last <answer>, summary what follows </think>"),
      negate: z.boolean().default(false).describe("score 1 where it is not found"),
    })
    .superRefine(({ pattern, flags }, context) => {
      try {
        const parsed = parseFlags(flags);
        if (pattern !== undefined) compilePattern(pattern, parsed);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        context.addIssue({
          code: "custom",
          path: [error.message.startsWith("flags") ? "flags" : "pattern"],
          message: error.message,
        });
      }
    }),
  create: ({ pattern, column, flags: flagText, part, negate }) => {
    const flags = parseFlags(flagText);
    const kept = new Map<string, PatternMatcher | ConfigError>();
    const matcherOf = (source: string) => {
      const known = kept.get(source) ?? compiled(source, flags);
      if (kept.size >= MAX_KEPT) kept.clear();
      kept.set(source, known);
      return known;
    };
    return ({ completion, columns }) => {
      const source = pattern ?? columns[column];
      if (typeof source !== "string" || source === "") {
        return { score: null, reason: `cannot judge: the column ${column} holds no pattern` };
      }
      const matcher = matcherOf(source);
      if (matcher instanceof ConfigError) {
        return { score: null, reason: `cannot judge: the column ${column} ${matcher.message}` };
      }
      const isFound = matcher(PARTS[part](completion));
      const reason = `the pattern is ${isFound ? "" : "not "}found in the ${part}`;
      return { score: isFound === negate ? 0 : 1, reason };
    };
  },
});

function compiled(source: string, flags: ReturnType<typeof parseFlags>): PatternMatcher | ConfigError {
  try {
    return compilePattern(source, flags);
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
}
