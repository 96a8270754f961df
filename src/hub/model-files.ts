/**
 * The files of a checkpoint directory that may be published: known names, and nothing else. A directory that was worked
 * in has logs, optimizer states and perhaps a `.env`; what the list below does not know stays here.
 */

import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { CheckpointError, HubError } from "../errors.ts";
import { readTextFile, systemReason } from "../files.ts";
import { parseJson } from "../json-text.ts";

/** A file that is to be pushed. */
export interface PushFile {
  /** Its name here and in the repository. */
  readonly path: string;
  readonly sizeBytes: number;
}

const WEIGHTS = /^(?:model|adapter_model)(?:-\d+-of-\d+)?\.safetensors$|^[\w.-]+\.gguf$/;
const TEXTS = new Set([
  "config.json",
  "generation_config.json",
  "model.safetensors.index.json",
  "adapter_config.json",
  "adapter_model.safetensors.index.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.json",
  "vocab.txt",
  "merges.txt",
  "chat_template.jinja",
  "chat_template.json",
  "preprocessor_config.json",
  "README.md",
]);
const LEGAL = /^(?:LICENSE|LICENCE|NOTICE)(?:\.md|\.txt)?$/;
/** Vocabularies: large, and made of fragments of words. */
const UNSEARCHED = new Set(["tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "model.safetensors.index.json"]);
const MAX_TEXT_BYTES = 64 * 2 ** 20;
/** Access tokens of the Hub, as they are made. */
const ACCESS_TOKEN = /\bhf_[A-Za-z0-9]{30,}/;

/**
 * What of `directory` is to be pushed, and what stays.
 *
 * @throws CheckpointError where it is no checkpoint, or a part of it is missing; HubError where a file holds an access
 * token
 */
export async function modelFilesOf(
  directory: string,
  token: string | undefined,
): Promise<{ readonly files: readonly PushFile[]; readonly leftOut: readonly string[] }> {
  const files: PushFile[] = [];
  const leftOut: string[] = [];
  for (const name of await namesIn(directory)) {
    const isKnown = WEIGHTS.test(name) || TEXTS.has(name) || LEGAL.test(name);
    const found = isKnown ? await stat(join(directory, name)).catch(() => undefined) : undefined;
    if (found?.isFile()) files.push({ path: name, sizeBytes: found.size });
    else leftOut.push(name);
  }
  await requireWhole(directory, new Set(files.map(({ path }) => path)));
  for (const { path } of files) {
    if (!WEIGHTS.test(path) && !UNSEARCHED.has(path)) await requireNoToken(join(directory, path), token);
  }
  return { files, leftOut };
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new CheckpointError(`Cannot read ${directory}: ${reason}. Expected the directory of a model.`);
  }
}

async function requireWhole(directory: string, names: ReadonlySet<string>): Promise<void> {
  const isModel = names.has("config.json");
  const isAdapter = names.has("adapter_config.json");
  const isGguf = [...names].some((name) => name.endsWith(".gguf"));
  if (!isModel && !isAdapter && !isGguf) {
    throw new CheckpointError(
      `${directory} is not a model: it has neither config.json nor adapter_config.json nor a .gguf file. Expected the ` +
        "directory of a checkpoint in the Hugging Face layout, or of a run that is complete.",
    );
  }
  for (const [config, weights] of [
    ["config.json", "model"],
    ["adapter_config.json", "adapter_model"],
  ] as const) {
    if (!names.has(config) || names.has(`${weights}.safetensors`) || (isGguf && config === "config.json")) continue;
    const index = `${weights}.safetensors.index.json`;
    if (!names.has(index)) {
      // An adapter's directory may have its base model's config beside it.
      if (config === "config.json" && isAdapter) continue;
      throw new CheckpointError(`${directory} has ${config} but no ${weights}.safetensors. Nothing was pushed.`);
    }
    const missing = (await shardsOf(join(directory, index))).filter((shard) => !names.has(shard));
    if (missing.length > 0) {
      throw new CheckpointError(`${directory} lacks ${missing.join(", ")}, which ${index} names. Nothing was pushed.`);
    }
  }
}

async function shardsOf(path: string): Promise<string[]> {
  const text = await readTextFile(path, { maxBytes: MAX_TEXT_BYTES, error: CheckpointError });
  const index = z
    .looseObject({ weight_map: z.record(z.string(), z.string()) })
    .safeParse(parseJson(text, path, CheckpointError));
  if (!index.success) throw new CheckpointError(`${path} has no weight_map from tensor names to file names.`);
  return [...new Set(Object.values(index.data.weight_map))].sort();
}

async function requireNoToken(path: string, token: string | undefined): Promise<void> {
  const text = await readTextFile(path, { maxBytes: MAX_TEXT_BYTES, error: CheckpointError });
  const holds = ACCESS_TOKEN.test(text) || (token !== undefined && token.length >= 8 && text.includes(token));
  if (!holds) return;
  throw new HubError(
    `${path} holds what looks like an access token of the Hub. Nothing was pushed. Remove it from the file; if it was ` +
      "ever published, revoke it.",
  );
}
