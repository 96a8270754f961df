/** What an address asks for, checked: numbers, ranges and names out of a query string. */

import { z } from "zod";
import type { RolloutFilter, RolloutOrder } from "../inspect/rollout-query.ts";
import { HttpError } from "./http-error.ts";

const number = z.coerce.number().refine(Number.isFinite);
const flag = z.enum(["true", "false"]).transform((text) => text === "true");

const rolloutsSchema = z.object({
  stage: z.string().optional(),
  iterationMin: number.optional(),
  iterationMax: number.optional(),
  promptId: number.optional(),
  solved: flag.optional(),
  finishReason: z.enum(["stop", "length"]).optional(),
  rewardMin: number.optional(),
  rewardMax: number.optional(),
  advantageMin: number.optional(),
  advantageMax: number.optional(),
  lengthMin: number.optional(),
  lengthMax: number.optional(),
  part: z.string().optional(),
  partMin: number.optional(),
  partMax: number.optional(),
  text: z.string().max(10_000).optional(),
  isPattern: flag.optional(),
  by: z.string().default("row"),
  descending: flag.default(false),
  offset: number.default(0),
  limit: number.default(100),
});

/** A page of rollouts that is asked for. */
export interface RolloutsQuery {
  readonly filter: RolloutFilter;
  readonly order: RolloutOrder;
  readonly offset: number;
  readonly limit: number;
}

/** Reads it from an address. Throws HttpError 400 for values that cannot be. */
export function rolloutsQuery(parameters: URLSearchParams): RolloutsQuery {
  // An empty field of the form asks for nothing.
  const given = Object.fromEntries([...parameters].filter(([, value]) => value !== ""));
  const parsed = rolloutsSchema.safeParse(given);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new HttpError(400, `${issue.path.join(".")}: ${issue.message}.`);
  }
  const { stage, promptId, solved, finishReason, part, text, isPattern, by, descending, ...rest } = parsed.data;
  return {
    filter: {
      ...{ stage, promptId, solved, finishReason, text, isPattern },
      iteration: { min: rest.iterationMin, max: rest.iterationMax },
      reward: { min: rest.rewardMin, max: rest.rewardMax },
      advantage: { min: rest.advantageMin, max: rest.advantageMax },
      length: { min: rest.lengthMin, max: rest.lengthMax },
      part: part === undefined ? undefined : { name: part, min: rest.partMin, max: rest.partMax },
    },
    order: { by, descending },
    offset: Math.max(0, Math.floor(rest.offset)),
    limit: Math.max(0, Math.floor(rest.limit)),
  };
}

/** A whole number of the query. Throws HttpError 400. */
export function wholeNumberIn(parameters: URLSearchParams, name: string): number {
  const text = parameters.get(name);
  const value = text === null || text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new HttpError(400, `${name} must be a whole number, not ${JSON.stringify(text)}.`);
}

/** A text of the query. Throws HttpError 400. */
export function requiredText(parameters: URLSearchParams, name: string): string {
  const text = parameters.get(name);
  if (text !== null && text !== "") return text;
  throw new HttpError(400, `The address lacks ${name}=….`);
}
