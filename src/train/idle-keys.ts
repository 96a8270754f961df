/**
 * Keys that would change nothing: a value beside the default, of a key that the rest of the recipe leaves without
 * effect. Such a key is a misunderstanding: who sets `delta` with cispo, which never reads it, expects a bound that is
 * not there. So it is refused by name, with the reason.
 *
 * What it is not: a judgement of values that do little. A key that the code reads counts as read, even if it has no
 * effect in this run, like a clip where every step is on policy. A key that is set to its default is accepted.
 */

import type { z } from "zod";
import type { ConfigIssue } from "./config-issue.ts";

/** Keys that are read under a condition only. */
export interface ConditionalKeys<Config> {
  readonly keys: readonly (keyof Config & string)[];
  readonly isRead: (config: Config) => boolean;
  /** Why not, where they are not: a clause that ends the sentence "… would change nothing:". */
  readonly because: (config: Config) => string;
}

/** An issue for each key of `conditions` that is not read and has another value than the default in `shape`. */
export function idleKeyIssues<Config extends object>(
  config: Config,
  shape: { readonly [key in keyof Config]: z.ZodType },
  conditions: readonly ConditionalKeys<Config>[],
): ConfigIssue[] {
  return conditions
    .filter(({ isRead }) => !isRead(config))
    .flatMap(({ keys, because }) =>
      keys.flatMap((key) => {
        const [value, fallback] = [config[key], shape[key].parse(undefined)];
        if (value === fallback) return [];
        const remedy = fallback === undefined ? "leave it out" : `leave it out, or at ${fallback}`;
        return { path: [key], message: `${key} ${value} would change nothing: ${because(config)}; ${remedy}` };
      }),
    );
}
