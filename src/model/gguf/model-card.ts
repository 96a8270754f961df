/**
 * What the head of a model card (README.md beside the weights, YAML between two lines of ---) says that a GGUF file
 * repeats: license, lineage, tags, languages. People write cards for people, so a card is never a reason to fail: what
 * is missing, unreadable or of another form is left out.
 */

import { parse } from "yaml";
import { z } from "zod";
import { CheckpointError } from "../../errors.ts";
import type { Folder } from "../../folder.ts";

const MAX_CARD_BYTES = 4 * 2 ** 20;

/** The fields that were found. */
export interface ModelCard {
  /** Of the Hub's identifiers, e.g. apache-2.0; `other` has a name and a link. */
  readonly license: string | undefined;
  readonly licenseName: string | undefined;
  readonly licenseLink: string | undefined;
  /** As `organization/name`. */
  readonly baseModels: readonly string[];
  readonly tags: readonly string[];
  readonly languages: readonly string[];
}

const text = z.string().min(1).optional().catch(undefined);
const texts = z
  .union([
    z.array(z.string().min(1)),
    z
      .string()
      .min(1)
      .transform((only) => [only]),
  ])
  .default([])
  .catch([]);
const schema = z
  .looseObject({
    license: text,
    license_name: text,
    license_link: text,
    base_model: texts,
    tags: texts,
    language: texts,
  })
  .catch({ base_model: [], tags: [], language: [] });

/** The card of the model in `folder`; every field empty where there is none. */
export async function readModelCard(folder: Folder): Promise<ModelCard> {
  const fields = schema.parse(await readFrontMatter(folder));
  return {
    license: fields.license,
    licenseName: fields.license_name,
    licenseLink: fields.license_link,
    baseModels: fields.base_model,
    tags: fields.tags,
    languages: fields.language,
  };
}

async function readFrontMatter(folder: Folder): Promise<unknown> {
  try {
    const content = await folder.readText("README.md", { maxBytes: MAX_CARD_BYTES, error: CheckpointError });
    const head = /^---\r?\n([\s\S]*?)\r?\n---/.exec(content ?? "")?.[1];
    return head === undefined ? {} : parse(head);
  } catch {
    return {};
  }
}
