/** The JSON of a request's body, within limits on its nesting. */

import { parseExactJson } from "../../exact-json.ts";
import { Refusal } from "./refusal.ts";

/** Most nesting; what metadata hold is the deepest. */
const DEEPEST = 64;

/** What a body says, and its text. Throws Refusal 400 for one that is no JSON, or is nested without end. */
export function jsonBody(bytes: Uint8Array): { readonly value: unknown; readonly text: string } {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const value = text === "" ? {} : parseExactJson(text);
    requireShallow(value, DEEPEST);
    return { value, text };
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal(400, `The body is not JSON: ${(error as Error).message.slice(0, 200)}`);
  }
}

function requireShallow(value: unknown, left: number): void {
  if (typeof value !== "object" || value === null) return;
  if (left === 0) throw new Refusal(400, `The body is nested more than ${DEEPEST} levels deep.`);
  for (const inner of Object.values(value)) {
    if (typeof inner === "object") requireShallow(inner, left - 1);
  }
}
