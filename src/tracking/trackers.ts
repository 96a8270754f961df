/** Trackers by name, and how a recipe names them. Those that Aha brings need Node: their lines are in `node-entries.ts`. */

import { z } from "zod";
import { ConfigError } from "../errors.ts";
import { Registry } from "../registry.ts";
import { checkOptions } from "../strict-schema.ts";
import type { TrackerKind } from "./tracker.ts";

/** Every tracker. */
export const trackers = new Registry<TrackerKind>("tracker");

/** A tracker of a recipe, its options checked. */
export type TrackerSpec = Readonly<Record<string, unknown>> & { readonly name: string };

/** A tracker by its name, its options checked and their defaults filled in. Throws ConfigError. */
export function checkedTracker({ name, ...options }: TrackerSpec): TrackerSpec {
  return { name, ...checkOptions(z.strictObject(trackers.get(name).shape()), options, `tracker ${name}`) };
}

/** An item of a recipe's `track`: a name, or a mapping with a name and the tracker's own keys. */
export const trackerSpecSchema = z
  .union([z.string().min(1), z.looseObject({ name: z.string().min(1).describe("a tracker") })])
  .transform((item, context): TrackerSpec => {
    try {
      return checkedTracker(typeof item === "string" ? { name: item } : item);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      context.addIssue({ code: "custom", path: [], message: error.message });
      return z.NEVER;
    }
  });

/** A recipe's `track`. */
export const trackSchema = z
  .array(trackerSpecSchema)
  .min(1)
  .superRefine((specs, context) => {
    for (const [index, { name }] of specs.entries()) {
      if (specs.findIndex((spec) => spec.name === name) === index) continue;
      context.addIssue({ code: "custom", path: [index], message: `the tracker ${name} is named twice; name it once` });
    }
  });
