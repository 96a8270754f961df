/**
 * JSON.stringify of an answer, in pieces, so that other requests are served in between: the log-probabilities of many
 * long prompts are megabytes, and writing them in one piece would delay the next tokens of other streams.
 */

import { setImmediate } from "node:timers/promises";

/** An answer's choices, each of them with lists of its tokens: the levels that are written piece by piece. */
const LEVELS = 5;
/** Elements of a list that are written at once. */
const ELEMENTS = 512;
/** How long other requests may have to wait. */
const PIECE_MS = 10;

/** The same text as JSON.stringify's. What can be iterated is an array, and its elements are made one after another. */
export async function jsonInPieces(value: object): Promise<string> {
  let since = performance.now();
  const write = async (part: unknown, levels: number): Promise<string> => {
    if (performance.now() - since > PIECE_MS) {
      await setImmediate();
      since = performance.now();
    }
    if (typeof part !== "object" || part === null || levels === 0) return JSON.stringify(part);
    const texts: string[] = [];
    if (Array.isArray(part) && levels === 1) {
      for (let i = 0; i < part.length; i += ELEMENTS) {
        texts.push((await write(part.slice(i, i + ELEMENTS), 0)).slice(1, -1));
      }
      return `[${texts.join(",")}]`;
    }
    if (Symbol.iterator in part) {
      for (const element of part as Iterable<unknown>) texts.push(await write(element, levels - 1));
      return `[${texts.join(",")}]`;
    }
    for (const [key, member] of Object.entries(part)) {
      if (member !== undefined) texts.push(`${JSON.stringify(key)}:${await write(member, levels - 1)}`);
    }
    return `{${texts.join(",")}}`;
  };
  return write(value, LEVELS);
}

/** A list that is made while it is written. */
export function* lazily<T, R>(items: readonly T[], make: (item: T, index: number) => R): Generator<R> {
  for (const [index, item] of items.entries()) yield make(item, index);
}
