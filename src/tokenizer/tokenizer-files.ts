/**
 * The files that make a Hugging Face tokenizer, as text: read with limits, kept verbatim, written back.
 *
 * A tokenizer that was only read is saved byte for byte as it came, so that no information is lost that Aha does not
 * understand. What it is not: an interpreter of these files; `huggingface.ts` is.
 */

import { CheckpointError } from "../errors.ts";
import { type Folder, writeText } from "../folder.ts";

const MIB = 2 ** 20;

/** File names and the most bytes of each that are read. The largest tokenizer.json in use are about 35 MiB. */
const LIMITS = {
  "tokenizer.json": 256 * MIB,
  "tokenizer_config.json": 16 * MIB,
  "special_tokens_map.json": 4 * MIB,
  "added_tokens.json": 4 * MIB,
  "chat_template.jinja": 4 * MIB,
  "chat_template.json": 4 * MIB,
} as const;

/** Further chat templates, one file each: `additional_chat_templates/tool_use.jinja` is the one named `tool_use`. */
const TEMPLATE_DIRECTORY = "additional_chat_templates";
const MAX_TEMPLATES = 64;

/** The name of one of a tokenizer's files. */
export type TokenizerFileName = keyof typeof LIMITS | `${typeof TEMPLATE_DIRECTORY}/${string}.jinja`;

/** The files that are there, by name; `tokenizer.json` always is. */
export type TokenizerFiles = Readonly<Partial<Record<TokenizerFileName, string>>> & {
  readonly "tokenizer.json": string;
};

const FILE_NAMES = Object.keys(LIMITS) as (keyof typeof LIMITS)[];

/** Reads the tokenizer's files from a folder. Throws CheckpointError where tokenizer.json is missing or unreadable. */
export async function readTokenizerFiles(folder: Folder): Promise<TokenizerFiles> {
  const texts: Partial<Record<TokenizerFileName, string>> = {};
  for (const name of FILE_NAMES) {
    const limit = { maxBytes: LIMITS[name], error: CheckpointError };
    const text = await folder.readText(name, limit);
    if (text !== undefined) texts[name] = text;
  }
  for (const name of await additionalTemplates(folder)) {
    const limit = { maxBytes: LIMITS["chat_template.jinja"], error: CheckpointError };
    const text = await folder.readText(name, limit);
    if (text !== undefined) texts[name] = text;
  }
  const tokenizerJson = texts["tokenizer.json"];
  if (tokenizerJson === undefined) {
    throw new CheckpointError(
      `${folder.path} has no tokenizer.json. Expected a Hugging Face tokenizer; where only a slow tokenizer's files are ` +
        "there (vocab.json, tokenizer.model), convert it once with transformers' AutoTokenizer and save_pretrained.",
    );
  }
  return { ...texts, "tokenizer.json": tokenizerJson };
}

/** Writes the files into a folder, each whole; tokenizer.json last, since it makes the rest a tokenizer. */
export async function writeTokenizerFiles(folder: Folder, files: TokenizerFiles): Promise<void> {
  const names = (Object.keys(files) as TokenizerFileName[]).filter((name) => name !== "tokenizer.json");
  for (const name of [...names, "tokenizer.json"] as const) {
    const text = files[name];
    if (text !== undefined) await writeText(folder, name, text);
  }
}

/** The chat templates that are files of their own, by name; `default` is `chat_template.jinja`. */
export function namedTemplates(files: TokenizerFiles): Map<string, string> {
  const templates = new Map<string, string>();
  const main = files["chat_template.jinja"];
  if (main !== undefined) templates.set("default", main);
  for (const [path, text] of Object.entries(files)) {
    const name = /^additional_chat_templates\/(.+)\.jinja$/.exec(path)?.[1];
    if (name !== undefined && text !== undefined) templates.set(name, text);
  }
  return templates;
}

async function additionalTemplates(folder: Folder): Promise<TokenizerFileName[]> {
  const directory = folder.folder(TEMPLATE_DIRECTORY);
  const templates = (await directory.names()).filter((name) => /^[\w-]+\.jinja$/.test(name)).sort();
  if (templates.length > MAX_TEMPLATES) {
    throw new CheckpointError(
      `${directory.path} has ${templates.length} templates; at most ${MAX_TEMPLATES} are read.`,
    );
  }
  return templates.map((name) => `${TEMPLATE_DIRECTORY}/${name}` as TokenizerFileName);
}
