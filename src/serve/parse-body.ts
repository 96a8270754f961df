/**
 * A request's body as JSON, with two things that JSON.parse does not give: a limit of nesting, so that nothing behind it
 * that walks through a value runs out of stack, and whole numbers beyond 2⁵³, such as seeds of 64 bits, as they are
 * written.
 */

import { ApiError } from "./api-error.ts";

/** Deeper than any request that makes sense. */
const DEEPEST = 100;

/** A body that was read. */
export interface ParsedBody {
  readonly value: unknown;
  /** The digits of a number that stands at the top of the body, as they are written; undefined where there is none. */
  readonly numberText: (key: string) => string | undefined;
}

/** Throws ApiError 400 for what is not JSON in UTF-8, or nested too deeply. */
export function parseBody(bytes: Uint8Array): ParsedBody {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw notJson("it is not UTF-8");
  }
  requireShallow(text);
  try {
    return { value: JSON.parse(text), numberText: (key) => topLevelNumber(text, key) };
  } catch (error) {
    throw notJson((error as Error).message.slice(0, 200));
  }
}

function notJson(reason: string): ApiError {
  return new ApiError(400, `The request's body is not JSON: ${reason}.`, { code: "invalid_json" });
}

function requireShallow(text: string): void {
  for (const { depth } of brackets(text)) {
    if (depth <= DEEPEST) continue;
    throw new ApiError(400, `The request's body is nested more than ${DEEPEST} levels deep.`, { code: "invalid_json" });
  }
}

/** Every bracket and brace outside of strings, with the depth after it. */
function* brackets(text: string): Generator<{ readonly at: number; readonly depth: number }> {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '"') i = endOfString(text, i);
    else if (character === "{" || character === "[") yield { at: i, depth: ++depth };
    else if (character === "}" || character === "]") yield { at: i, depth: --depth };
  }
}

/** Where the string ends that begins at `start`. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text[end - 1 - slashes] === "\\") slashes++;
    if (slashes % 2 === 0) return end;
  }
  return text.length;
}

/** The number of the last member of this name in an object, as JSON.parse takes the last one, too. */
function topLevelNumber(text: string, key: string): string | undefined {
  let found: string | undefined;
  let outside = 0;
  let depth = 0;
  const look = (part: string) => {
    const name = JSON.stringify(key).replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&");
    for (const [, digits] of part.matchAll(new RegExp(`${name}\\s*:\\s*(-?\\d+)(?=\\s*[,}])`, "g"))) found = digits;
  };
  for (const bracket of brackets(text)) {
    if (depth === 1) look(text.slice(outside, bracket.at + 1));
    depth = bracket.depth;
    outside = bracket.at;
  }
  return found;
}
