/** Trackers by name, and how a recipe names them. Aha brings none yet; a program adds its own (`extend`). */

import { z } from "zod";
import { ConfigError } from "../errors.ts";
import { Registry } from "../registry.ts";
import { checkOptions } from "../strict-schema.ts";
import type { TrackerKind } from "./tracker.ts";

/** Every tracker. */
export const trackers = new Registry<TrackerKind>("tracker");

/** A tracker of a recipe, its options checked. */
export type TrackerSpec = Readonly<Record<string, unknown>> & { readonly name: string };

/** An item of a recipe's `track`: a name, or a mapping with a name and the tracker's own keys. */
export const trackerSpecSchema = z
  .union([z.string().min(1), z.looseObject({ name: z.string().min(1).describe("a tracker") })])
  .transform((item, context): TrackerSpec => {
    const { name, ...options } = typeof item === "string" ? { name: item } : item;
    try {
      return { name, ...checkOptions(z.strictObject(trackers.get(name).shape()), options, `tracker ${name}`) };
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      context.addIssue({ code: "custom", path: [], message: error.message });
      return z.NEVER;
    }
  });
