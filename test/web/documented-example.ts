/** The program of docs/browser.md, "As a library", as somebody copies it. */

import { readFileSync } from "node:fs";

/** Its lines; they are indented in the document. */
export function documentedExample(): string {
  const text = readFileSync(new URL("../../docs/browser.md", import.meta.url), "utf8");
  const [, section] = text.split("## As a library\n");
  const program = /^ {4}import \{[\s\S]*?(?=^\S)/m.exec(section ?? "");
  if (program === null) throw new Error('docs/browser.md has no program in its section "As a library".');
  return `${program[0].replaceAll(/^ {4}/gm, "").trimEnd()}\n`;
}
