/**
 * The entry file of a worker thread of Aha: the built JavaScript or, where Aha runs from its sources (tests, benches),
 * the TypeScript file. Node 20 cannot start a thread from TypeScript, so there a line of JavaScript first loads tsx.
 */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Where tsx is, which lets Node read TypeScript with everything that it imports; undefined where it is not installed. */
export function tsxAddress(): string | undefined {
  try {
    const address = import.meta.resolve("tsx/esm/api");
    return existsSync(fileURLToPath(address)) ? address : undefined;
  } catch {
    return undefined;
  }
}

/** The entry of a thread: the file `name`, without its ending, beside the file that asks (its `import.meta.url`). */
export function threadEntry(name: string, asking: string): URL {
  if (!asking.endsWith(".ts")) return new URL(`./${name}.js`, asking);
  const entry = new URL(`./${name}.ts`, asking);
  const loader = tsxAddress();
  // Node 22.18 and later read TypeScript themselves.
  if (loader === undefined) return entry;
  const code = `import { register } from ${JSON.stringify(loader)};
    register();
    await import(${JSON.stringify(entry.href)});`;
  return new URL(`data:text/javascript,${encodeURIComponent(code)}`);
}
