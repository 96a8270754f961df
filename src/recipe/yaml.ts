/**
 * YAML as recipes use it: plain data in one document. Anchors and aliases (which can grow a small file into an endless
 * value), custom tags and duplicate keys are refused, as is a file that is too large to be a recipe.
 */

import { isMap, parseDocument, visit } from "yaml";
import { ConfigError } from "../errors.ts";

/** The longest text that is read: recipes are a page or two. */
export const MAX_RECIPE_BYTES = 256 * 1024;

/**
 * Parses one YAML document into JSON-like data. `source` names the text in errors; `repeatedKeys`: a key may stand twice, and
 * then the last one counts, as in PyYAML.
 *
 * @throws ConfigError with line and column
 */
export function parseYaml(
  text: string,
  source: string,
  { repeatedKeys = false }: { readonly repeatedKeys?: boolean } = {},
): unknown {
  const sizeBytes = new TextEncoder().encode(text).length;
  if (sizeBytes > MAX_RECIPE_BYTES) {
    throw new ConfigError(
      `${source} has ${sizeBytes} bytes; a recipe has at most ${MAX_RECIPE_BYTES}. Is it the right file?`,
    );
  }
  const document = parseDocument(text, {
    ...({ version: "1.2", schema: "core", prettyErrors: true } as const),
    uniqueKeys: !repeatedKeys,
  });
  // A tag that the core schema does not know is only a warning to the parser: to a recipe it is an error.
  const problem = document.errors[0] ?? document.warnings[0];
  if (problem) throw new ConfigError(`${source} is not YAML that a recipe may hold: ${problem.message.trim()}`);
  visit(document, {
    Alias() {
      throw new ConfigError(`${source}: aliases (*name) are not allowed in a recipe; write the value out.`);
    },
    Pair(_, pair) {
      const key = (pair.key as { value?: unknown } | null)?.value;
      if (key === "__proto__") throw new ConfigError(`${source}: "__proto__" is not a key that a recipe may hold.`);
    },
  });
  return document.toJS() as unknown;
}

/** The keys at the top of a document that stand there more than once. */
export function repeatedKeysOf(text: string): string[] {
  const { contents } = parseDocument(text, { uniqueKeys: false });
  const keys = isMap(contents) ? contents.items.map(({ key }) => String(key)) : [];
  return [...new Set(keys.filter((key, i) => keys.indexOf(key) !== i))];
}
