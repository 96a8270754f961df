/**
 * Writes the tokenizers that `src/tokenizer/build.ts` makes to test/golden/tokenizers/, for Python to read:
 * `npx tsx test/golden/write-built-tokenizers.ts`, then make_tokenizer_golden.py. A test keeps these files current.
 */

import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { diskFolder } from "../../src/disk-folder.ts";
import { BUILT_TOKENIZERS, buildTokenizer } from "../../src/tokenizer/build.ts";

for (const name of BUILT_TOKENIZERS) {
  const directory = fileURLToPath(new URL(`./tokenizers/${name}/`, import.meta.url));
  await mkdir(directory, { recursive: true });
  await buildTokenizer(name).save(diskFolder(directory));
}
