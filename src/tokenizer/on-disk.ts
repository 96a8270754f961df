/** Tokenizers in directories of this machine's disk, by their paths. */

import { diskFolder } from "../disk-folder.ts";
import { type HuggingFaceTokenizer, readTokenizer } from "./huggingface.ts";
import type { TokenizerChanges } from "./tokenizer-changes.ts";

/**
 * The tokenizer in `directory`, with `changes` made to it.
 *
 * @throws CheckpointError where its files are missing, damaged or not supported, or lack the end token that is asked for.
 */
export function loadTokenizer(directory: string, changes: TokenizerChanges = {}): Promise<HuggingFaceTokenizer> {
  return readTokenizer(diskFolder(directory), changes);
}
