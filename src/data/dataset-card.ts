/**
 * What a data set's card says about its files: the YAML between `---` at the top of README.md, of which `configs` names
 * the configurations and, for each, which files make up which split. A card without it says nothing, and the names of the
 * files decide (`dataset-folder.ts`).
 */

import { join } from "node:path";
import { parseDocument } from "yaml";
import { z } from "zod";
import { DataError } from "../errors.ts";
import { readTextFileIfPresent } from "../files.ts";

/** A configuration of a card. */
export interface CardConfig {
  readonly name: string;
  readonly isDefault: boolean;
  /** Patterns of files by split; undefined where the card leaves it to their names. */
  readonly splits: ReadonlyMap<string, readonly string[]> | undefined;
  /** The folder that the patterns, or the names, are relative to; "" for the data set's own. */
  readonly folder: string;
}

const MAX_CARD_BYTES = 8 * 2 ** 20;

const patternsSchema = z.union([z.string(), z.array(z.string())]);

const configSchema = z.object({
  config_name: z.coerce.string(),
  default: z.boolean().optional(),
  data_dir: z.string().optional(),
  data_files: z
    .union([patternsSchema, z.array(z.object({ split: z.coerce.string(), path: patternsSchema }))])
    .optional(),
});

const cardSchema = z.object({ configs: z.array(configSchema).optional() });

/**
 * The configurations that the card in `folder` lists; none where there is no card, or it lists none.
 *
 * @throws DataError for a card that cannot be read as such.
 */
export async function readCard(folder: string): Promise<CardConfig[]> {
  const file = join(folder, "README.md");
  const text = await readTextFileIfPresent(file, { maxBytes: MAX_CARD_BYTES, error: DataError });
  const front = text === undefined ? null : /^\uFEFF?---\r?\n([\s\S]*?)\r?\n---\s*(?:\r?\n|$)/.exec(text);
  if (front === null) return [];
  const document = parseDocument(front[1]!, { prettyErrors: true });
  const fault = document.errors[0];
  if (fault)
    throw new DataError(`${file}: the YAML between the first two --- lines is not valid: ${fault.message.trim()}`);
  const card = cardSchema.safeParse(document.toJS({ maxAliasCount: 100 }) ?? {});
  if (!card.success) {
    const issue = card.error.issues[0]!;
    throw new DataError(
      `${file}: expected configs as the Hub documents them (config_name, data_files, data_dir), but at ` +
        `${issue.path.join(".")}: ${issue.message}.`,
    );
  }
  return (card.data.configs ?? []).map((config) => ({
    name: config.config_name,
    isDefault: config.default ?? false,
    splits: patternsBySplit(config.data_files),
    folder: (config.data_dir ?? "").replace(/^\.?\/+|\/+$/g, ""),
  }));
}

function patternsBySplit(files: z.infer<typeof configSchema>["data_files"]): CardConfig["splits"] {
  if (files === undefined) return undefined;
  const list = typeof files === "string" ? [files] : files;
  const splits = new Map<string, string[]>();
  for (const entry of list) {
    const [split, paths] = typeof entry === "string" ? ["train", [entry]] : [entry.split, [entry.path].flat()];
    splits.set(split, [...(splits.get(split) ?? []), ...paths]);
  }
  return splits;
}
