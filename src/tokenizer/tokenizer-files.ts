/**
 * The files that make a Hugging Face tokenizer, as text: read with limits, kept verbatim, written back.
 *
 * A tokenizer that was only read is saved byte for byte as it came, so that no information is lost that Aha does not
 * understand. What it is not: an interpreter of these files; `huggingface.ts` is.
 */

import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { readTextFileIfPresent, writeWhole } from "../files.ts";

const MIB = 2 ** 20;

/** File names and the most bytes of each that are read. The largest tokenizer.json in use are about 35 MiB. */
const LIMITS = {
  "tokenizer.json": 256 * MIB,
  "tokenizer_config.json": 16 * MIB,
  "special_tokens_map.json": 4 * MIB,
  "added_tokens.json": 4 * MIB,
  "chat_template.jinja": 4 * MIB,
} as const;

/** The name of one of a tokenizer's files. */
export type TokenizerFileName = keyof typeof LIMITS;

/** The files that are there, by name; `tokenizer.json` always is. */
export type TokenizerFiles = Readonly<Partial<Record<TokenizerFileName, string>>> & {
  readonly "tokenizer.json": string;
};

const FILE_NAMES = Object.keys(LIMITS) as TokenizerFileName[];

/** Reads the tokenizer's files from a directory. Throws CheckpointError where tokenizer.json is missing or unreadable. */
export async function readTokenizerFiles(directory: string): Promise<TokenizerFiles> {
  const texts: Partial<Record<TokenizerFileName, string>> = {};
  for (const name of FILE_NAMES) {
    const limit = { maxBytes: LIMITS[name], error: CheckpointError };
    const text = await readTextFileIfPresent(join(directory, name), limit);
    if (text !== undefined) texts[name] = text;
  }
  const tokenizerJson = texts["tokenizer.json"];
  if (tokenizerJson === undefined) {
    throw new CheckpointError(
      `${directory} has no tokenizer.json. Expected a Hugging Face tokenizer; where only a slow tokenizer's files are ` +
        "there (vocab.json, tokenizer.model), convert it once with transformers' AutoTokenizer and save_pretrained.",
    );
  }
  return { ...texts, "tokenizer.json": tokenizerJson };
}

/** Writes the files into an existing directory, each whole; tokenizer.json last, since it makes the rest a tokenizer. */
export async function writeTokenizerFiles(directory: string, files: TokenizerFiles): Promise<void> {
  for (const name of [...FILE_NAMES].reverse()) {
    const text = files[name];
    if (text !== undefined) await writeWhole(join(directory, name), text);
  }
}
