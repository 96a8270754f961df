/** Numbers and a target as somebody types them: a problem, or what is wrong with it and what was expected. */

import { whole } from "../../expression/rational.ts";
import { solve } from "../../tasks/countdown/solver.ts";
import { formatTree } from "../../tasks/countdown/tree.ts";
import type { ProblemLimits, TabProblem } from "../../web/protocol.ts";

/** Numbers that a problem may have at most: the model has not seen more than it was trained with, and solving takes time. */
const MOST_NUMBERS = 5;
/** Characters of what is typed that an error repeats. */
const SHOWN = 24;

/** What was typed. */
export type ReadProblem =
  | {
      readonly problem: TabProblem;
      /** What to know before one is disappointed; absent where there is nothing. */
      readonly note?: string;
    }
  | { readonly field: "numbers" | "target"; readonly fault: string };

/** Reads both fields. */
export function readProblem(numbersText: string, targetText: string, limits: ProblemLimits): ReadProblem {
  const example = exampleOf(limits);
  const words = numbersText.split(/[\s,;[\]]+/).filter((word) => word !== "");
  if (words.length === 0) return { field: "numbers", fault: `Type numbers, e.g. ${example}.` };
  const numbers: number[] = [];
  for (const word of words) {
    const number = readWhole(word);
    if (number === undefined || number < 1 || number > limits.largest) {
      return {
        field: "numbers",
        fault: `“${shown(word)}” is not a whole number from 1 to ${limits.largest}. Type e.g. ${example}.`,
      };
    }
    numbers.push(number);
  }
  if (numbers.length < 2 || numbers.length > MOST_NUMBERS) {
    return {
      field: "numbers",
      fault: `Type 2 to ${MOST_NUMBERS} numbers, not ${numbers.length}; the model was trained with ${limits.counts.join(" or ")}.`,
    };
  }
  const typed = targetText.trim();
  const target = readWhole(typed);
  if (target === undefined || target < 0 || target > limits.largest) {
    const expected = `a whole number from 0 to ${limits.largest}`;
    const fault = typed === "" ? `Type a target: ${expected}.` : `“${shown(typed)}” is no target. Type ${expected}.`;
    return { field: "target", fault };
  }
  const problem = { numbers, target };
  const note = noteOn(problem, limits);
  return { problem, ...(note !== undefined && { note }) };
}

function readWhole(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function shown(text: string): string {
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}

function exampleOf({ counts }: ProblemLimits): string {
  return [6, 6, 5, 3, 2].slice(0, counts[0] ?? 3).join(", ");
}

function noteOn({ numbers, target }: TabProblem, limits: ProblemLimits): string | undefined {
  if (!limits.counts.includes(numbers.length)) {
    return `It was trained with ${limits.counts.join(" or ")} numbers and has never seen ${numbers.length}.`;
  }
  if (!isSolvable({ numbers, target })) return "No equation reaches this target. See what it does.";
  const isFar = numbers.some((number) => number < limits.min || number > limits.max);
  if (isFar) return `It was trained with numbers from ${limits.min} to ${limits.max}, so this is new to it.`;
  if (target < limits.targetMin || target > limits.targetMax) {
    return `It was trained with targets from ${limits.targetMin} to ${limits.targetMax}, so this is new to it.`;
  }
  return undefined;
}

/** Whether some equation with every number once reaches the target. */
function isSolvable({ numbers, target }: TabProblem): boolean {
  return solve(numbers, whole(target), { limit: 1 }).length > 0;
}

/** A solution, for those who give up. */
export function solutionOf({ numbers, target }: TabProblem): string | undefined {
  const [tree] = solve(numbers, whole(target), { limit: 1 });
  return tree === undefined ? undefined : formatTree(tree);
}

/** Problems to try with one click: all can be solved, and their numbers are those of training. */
export const EXAMPLES: readonly TabProblem[] = [
  { numbers: [6, 6, 5], target: 17 },
  { numbers: [3, 7, 8], target: 32 },
  { numbers: [9, 2, 4], target: 34 },
  { numbers: [10, 5, 3], target: 35 },
  { numbers: [7, 4, 2], target: 30 },
  { numbers: [8, 8, 9], target: 80 },
];
