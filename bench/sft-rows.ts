/**
 * Demonstrations of mixed lengths for the SFT bench and its peer: a task whose row i is a function of (seed, i).
 *
 * Lengths are those of instruction data in kind, a log-normal with a long tail: for 32 rows from 21 to 434 tokens, 121 on
 * average, a third of a row its prompt. Every step has the same lengths in another order, so every step has the same number
 * of tokens, and a trainer that counts rows takes the very steps that one which counts tokens does.
 */

import { AhaError } from "../src/errors.ts";
import { Random } from "../src/random.ts";
import type { Demonstration, Problem, Task } from "../src/tasks/task.ts";

const MEDIAN_TOKENS = 96;
const LOG_DEVIATION = 0.7;
const PROMPT_SHARE = 1 / 3;
const LETTERS = "abcdefghijklmnopqrstuvwxyz ";

/** Lengths of a step's rows in tokens, prompt, completion and end token together, shortest first. Throws AhaError. */
export function stepLengths(rows: number): number[] {
  if (!Number.isSafeInteger(rows) || rows < 1)
    throw new AhaError(`--rows takes a whole number of at least 1, not ${rows}`);
  return Array.from({ length: rows }, (_, i) => {
    const quantile = normalQuantile((i + 0.5) / rows);
    return Math.round(MEDIAN_TOKENS * Math.exp(LOG_DEVIATION * quantile));
  });
}

/** The rows as a task of the trainer; texts have one token for each character (tokenizer `characters`). */
export function mixedRows(rows: number, seed: number): Task {
  const lengths = stepLengths(rows);
  const text = (length: number, at: number, stream: string) => {
    const random = new Random(seed, `bench/sft ${stream} ${at}`);
    return Array.from({ length }, () => LETTERS[random.integer(LETTERS.length)]!).join("");
  };
  const lengthOf = (id: number) => {
    const step = Math.floor(id / rows);
    return new Random(seed, `bench/sft order ${step}`).shuffle([...lengths])[id % rows]!;
  };
  const promptLength = (id: number) => Math.max(1, Math.round(PROMPT_SHARE * lengthOf(id)));
  return {
    name: "bench",
    trainCount: Number.POSITIVE_INFINITY,
    trainProblem: (id): Problem => ({ id, prompt: text(promptLength(id), id, "prompt"), columns: {} }),
    heldOut: () => [],
    demonstrate: ({ id }): Demonstration => {
      const length = lengthOf(id) - promptLength(id) - 1; // and the end token
      return { completion: text(length, id, "completion"), weightedSpans: [] };
    },
    judge: () => ({ solved: false, wellFormed: false, tries: 0, statistics: {} }),
  };
}

/** z with Φ(z) = p, by bisection on the series of Φ: exact enough for a length. */
function normalQuantile(p: number): number {
  let [low, high] = [-6, 6];
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (normalShare(middle) < p) low = middle;
    else high = middle;
  }
  return low;
}

/** Φ(z) = ½ + φ(z)·(z + z³/3 + z⁵/15 + …). */
function normalShare(z: number): number {
  let [term, sum] = [z, z];
  for (let n = 1; n < 200; n++) {
    term *= (z * z) / (2 * n + 1);
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI);
}
