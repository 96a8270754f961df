/**
 * A checkpoint's tokenizer with another chat template or another end token, as fine-tuning often wants it: a base model
 * gets the template of the data that it is to learn, and ends its turns with that template's token. The change is made to
 * the files, so that what is saved with the trained model is what it was trained with.
 *
 * What it is not: a way to add new tokens. The end token has to be in the vocabulary; rows for the embedding are not
 * added.
 */

import { CheckpointError } from "../errors.ts";
import { parseJson } from "../json-text.ts";
import type { TokenizerFiles } from "./tokenizer-files.ts";

/** What is put in the place of the checkpoint's own; what is absent stays. */
export interface TokenizerChanges {
  /** A Jinja program; it replaces all templates that there are. */
  readonly chatTemplate?: string | undefined;
  /** The text of a token of the vocabulary. */
  readonly eosToken?: string | undefined;
}

/** The files with `changes` made; `source` names the tokenizer in messages. Throws CheckpointError for damaged files. */
export function withTokenizerChanges(files: TokenizerFiles, changes: TokenizerChanges, source: string): TokenizerFiles {
  const { chatTemplate, eosToken } = changes;
  if (chatTemplate === undefined && eosToken === undefined) return files;
  const kept = Object.entries(files).filter(([name]) => chatTemplate === undefined || !isTemplateFile(name));
  const changed = { ...(Object.fromEntries(kept) as typeof files) };
  const config = mapping(files["tokenizer_config.json"] ?? "{}", `${source}: tokenizer_config.json`);
  if (chatTemplate !== undefined) delete config.chat_template;
  if (eosToken !== undefined) config.eos_token = eosToken;
  const older = files["special_tokens_map.json"];
  return {
    ...changed,
    "tokenizer_config.json": written(config),
    ...(chatTemplate !== undefined && { "chat_template.jinja": chatTemplate }),
    ...(older !== undefined &&
      eosToken !== undefined && {
        "special_tokens_map.json": written({
          ...mapping(older, `${source}: special_tokens_map.json`),
          eos_token: eosToken,
        }),
      }),
  };
}

function isTemplateFile(name: string): boolean {
  return /^chat_template\.(jinja|json)$|^additional_chat_templates\//.test(name);
}

function mapping(text: string, where: string): Record<string, unknown> {
  const value = parseJson(text, where, CheckpointError);
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw new CheckpointError(`${where}: expected a JSON object.`);
}

function written(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
