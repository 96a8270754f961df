/** The file with a reward of one's own that `aha init` writes: a rule to begin with, and what it is given. */

import { tsxAddress } from "../../thread-entry.ts";
import type { OwnData } from "./own-data.ts";

/** Where the rule is, as a recipe names it: JavaScript where this Node reads no TypeScript. */
export function rewardFile(): string {
  const readsTypeScript =
    tsxAddress() !== undefined || ("typescript" in process.features && process.features.typescript);
  return readsTypeScript ? "reward.ts" : "reward.mjs";
}

/** The name of the rule in the file. */
export function rewardName(data: OwnData): string {
  return data.answer === undefined ? "good" : "correct";
}

const HEAD = `/**
 * Your reward: how good an answer is, as a number. The recipe names it (rewards), and training asks it for every answer
 * that the model writes. Try it on answers of your own without training: aha reward --help.
 *
 * \`completion\` is what the model wrote, \`columns\` is the row of your data. Return a score, true or false, or null where
 * you cannot judge. Of GRPO only differences count: if all answers to a question score the same, nothing is learned from
 * them. It runs in a thread of its own with a time limit; whatever it throws is reported and never ends a run.
 */

import { defineReward } from "aha-rl";
`;

const CORRECT = `
/** 1 for the right answer, a little for one that mentions it. */
export const correct = defineReward({
  judge: ({ completion, columns }) => {
    const expected = String(columns.answer).trim().toLowerCase();
    // The answer is what stands between <answer> and </answer>, else the last line.
    const marked = /<answer>([\\s\\S]*?)<\\/answer>/.exec(completion)?.[1];
    const given = (marked ?? completion.trim().split("\\n").at(-1) ?? "").trim().toLowerCase();
    if (given === expected) return { score: 1, reason: "the right answer" };
    // A little for being near, so that a model which never hits can find the way.
    if (completion.toLowerCase().includes(expected)) return { score: 0.3, reason: "it mentions the right answer" };
    return { score: 0, reason: \`expected \${expected}, got \${given.slice(0, 80)}\` };
  },
});
`;

const GOOD = `
/** Whole, short sentences. */
export const good = defineReward({
  judge: ({ completion }) => {
    // Put your own rule here. This one wants a whole sentence, and a short one.
    const text = completion.trim();
    const ends = /[.!?]$/.test(text) ? 0.5 : 0;
    const brief = text.length === 0 ? 0 : 0.5 * Math.min(1, 200 / text.length);
    return { score: ends + brief, reason: \`\${text.length} characters, \${ends > 0 ? "ends" : "does not end"} as a sentence\` };
  },
});
`;

/** The whole file. */
export function rewardText(data: OwnData): string {
  return HEAD + (data.answer === undefined ? GOOD : CORRECT);
}
