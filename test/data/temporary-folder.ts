/** A folder of a test file's own, removed when it is done. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll } from "vitest";

/** Makes files by relative path below a fresh folder and returns its path. */
export type MakeFiles = (files: Readonly<Record<string, string | Uint8Array>>) => string;

export function temporaryFolder(): MakeFiles {
  const root = mkdtempSync(join(tmpdir(), "aha-data-"));
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  return (files) => {
    const folder = mkdtempSync(join(root, "set-"));
    for (const [path, content] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), content);
    }
    return folder;
  };
}
