/** The short variant of `npm start` that docs/gpu.md shows. */

import { readFileSync } from "node:fs";
import { join } from "node:path";

export const TINY_RECIPE = join(import.meta.dirname, "../../recipes/countdown/tiny/recipe.yaml");

/** Its `--set` keys and values, as the document has them. */
export function shortStartOverrides(): string[] {
  const text = readFileSync(join(import.meta.dirname, "../../docs/gpu.md"), "utf8");
  const command = /^ {4}npm start -- (?:.*\\\n)*.*$/m.exec(text)?.[0] ?? "";
  return [...command.matchAll(/--set (\S+)/g)].map(([, override]) => override!);
}
