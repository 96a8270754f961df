/**
 * Problems of keys that each have the right type but do not fit together. A trainer finds them, and zod reports them
 * with its own.
 */

import type { z } from "zod";

/** An impossible combination of keys: where to look, and why. */
export interface ConfigIssue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** Hands the issues that `find` sees in a parsed value to zod; for `schema.superRefine`. */
export function refineWith<Config>(find: (config: Config) => readonly ConfigIssue[]) {
  return (config: Config, refinement: z.core.$RefinementCtx<Config>): void => {
    for (const { path, message } of find(config)) {
      refinement.addIssue({ code: "custom", path: [...path], message, input: config });
    }
  };
}
