/**
 * What a path holds as a data set: one file, or a folder in the Hub's layout, that is, files in any of the known formats
 * with a card (README.md) that says which of them make up which split, or with names that do:
 *
 *     data/train-00000-of-00002.parquet   the name before the shard's number, in a folder `data`
 *     test.jsonl, my-test-part.csv        a word of the name: train, validation (valid, val, dev), test (eval)
 *     validation/part-1.parquet           a folder's name
 *     rows.jsonl                          none of these: train
 *
 * These are the rules of Hugging Face's `datasets` for folders without a loading script (its documentation, "Structure
 * your repository"). Not read: its Arrow folders (`save_to_disk`), archives, and text that is compressed otherwise than
 * by gzip; such a file of rows is an error that names it, and is never skipped silently.
 */

import type { Stats } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, DataError, nearestName } from "../errors.ts";
import { systemReason } from "../files.ts";
import { type CardConfig, readCard } from "./dataset-card.ts";
import { DATA_ENDINGS, formatOf, packingFault, readRows, unpackedName } from "./formats.ts";
import { matchesPattern } from "./glob.ts";
import type { DataRow } from "./row.ts";

/** The files of one split, in the order in which their rows are numbered. */
export interface DatasetSplit {
  readonly name: string;
  readonly files: readonly string[];
}

/** What was found at a path. */
export interface Dataset {
  readonly path: string;
  /** The configuration that was taken, where the card has some. */
  readonly config: string | undefined;
  /** Those that there are. */
  readonly configs: readonly string[];
  /** At least one. */
  readonly splits: readonly DatasetSplit[];
}

/** How deep folders are searched, and how many entries are looked at. */
const MAX_DEPTH = 8;
const MAX_ENTRIES = 100_000;

/** JSON files that lie in data-set folders and hold no rows. */
const NOT_DATA = new Set([
  "dataset_infos.json",
  "dataset_info.json",
  "dataset_dict.json",
  "state.json",
  "config.json",
  "lineage.json",
]);

/** Split names by the words that stand for them, as `datasets` has them. */
const SPLIT_WORDS: ReadonlyMap<string, string> = new Map([
  ["train", "train"],
  ["training", "train"],
  ["validation", "validation"],
  ["valid", "validation"],
  ["val", "validation"],
  ["dev", "validation"],
  ["test", "test"],
  ["testing", "test"],
  ["eval", "test"],
  ["evaluation", "test"],
]);

const SHARD = /^(.*)-(\d{5})-of-(\d{5})(\.[^./]+(?:\.gz)?)$/;

/**
 * Looks at `path`, and reads nothing of its rows. A file is a data set of one split, `train`.
 *
 * @throws DataError for a path that holds no data, or lacks a shard; ConfigError where `config` is not one of those that
 * the card has, or is needed to choose among them.
 */
export async function findDataset(path: string, config?: string): Promise<Dataset> {
  const found = await statOf(path);
  if (found.isFile()) {
    if (config !== undefined) throw new ConfigError(`${path} is one file and has no configurations; leave config out.`);
    return { path, config: undefined, configs: [], splits: [{ name: "train", files: [path] }] };
  }
  if (!found.isDirectory()) throw new DataError(`Cannot read ${path}: it is neither a file nor a folder.`);
  const files = await listFiles(path);
  const cardConfigs = await readCard(path);
  const chosen = chooseConfig(path, cardConfigs, config);
  const named = chosen?.splits ? splitsByPattern(chosen, files) : splitsByName(files, chosen?.folder ?? config ?? "");
  if (named.size === 0) throw noData(path, files, chosen, config);
  const splits = [...named].map(([name, members]) => {
    requireOneFormat(path, name, members);
    requireAllShards(path, members);
    return { name, files: members.map((file) => join(path, file)) };
  });
  return { path, config: chosen?.name ?? config, configs: cardConfigs.map(({ name }) => name), splits };
}

/**
 * The split of that name; without a name `train`, or the only one.
 *
 * @throws ConfigError where there is no such split, with those that there are.
 */
export function splitOf({ path, splits }: Dataset, name?: string): DatasetSplit {
  const found = splits.find((split) => split.name === (name ?? "train"));
  if (found) return found;
  if (name === undefined && splits.length === 1) return splits[0]!;
  const names = splits.map((split) => split.name);
  const nearest = name === undefined ? undefined : nearestName(name, names);
  const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
  throw new ConfigError(`${path} has no split ${name ?? "train"}; it has: ${names.join(", ")}.${hint}`);
}

/** The rows of a split, file after file, as a stream. Errors as in `readRows`. */
export async function* splitRows({ files }: DatasetSplit): AsyncGenerator<DataRow, void, void> {
  for (const file of files) yield* readRows(file);
}

async function statOf(path: string): Promise<Stats> {
  try {
    return await stat(path);
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    throw new DataError(`Cannot read ${path}: ${reason}. Check the path.`);
  }
}

/** Files below `folder`, as relative paths, sorted; symbolic links (the Hub's cache has them) are followed to files. */
async function listFiles(folder: string): Promise<string[]> {
  const files: string[] = [];
  let entries = 0;
  const visit = async (relative: string, depth: number): Promise<void> => {
    for (const entry of await readdir(join(folder, relative), { withFileTypes: true })) {
      if (entry.name.startsWith(".")) continue;
      if (++entries > MAX_ENTRIES) {
        throw new DataError(`${folder} has more than ${MAX_ENTRIES} entries. Is it the data set's own folder?`);
      }
      const path = relative === "" ? entry.name : `${relative}/${entry.name}`;
      if (entry.isDirectory()) {
        if (depth < MAX_DEPTH) await visit(path, depth + 1);
      } else if (entry.isFile() || (await statOf(join(folder, path))).isFile()) {
        files.push(path);
      }
    }
  };
  await visit("", 0);
  return files.sort();
}

function chooseConfig(path: string, configs: readonly CardConfig[], wanted?: string): CardConfig | undefined {
  if (configs.length === 0) return undefined;
  const names = configs.map(({ name }) => name);
  if (wanted !== undefined) {
    const found = configs.find(({ name }) => name === wanted);
    if (found) return found;
    const nearest = nearestName(wanted, names);
    const hint = nearest === undefined ? "" : ` Did you mean ${nearest}?`;
    throw new ConfigError(`${path} has no configuration ${wanted}; it has: ${names.join(", ")}.${hint}`);
  }
  const fallback = configs.find(({ isDefault }) => isDefault) ?? configs.find(({ name }) => name === "default");
  if (fallback) return fallback;
  if (configs.length === 1) return configs[0];
  throw new ConfigError(`${path} has several configurations; choose one with config: ${names.join(", ")}.`);
}

function isData(file: string): boolean {
  return (formatOf(file) !== undefined || packingFault(file) !== undefined) && !NOT_DATA.has(nameOf(file));
}

function splitsByPattern({ splits, folder }: CardConfig, files: readonly string[]): Map<string, string[]> {
  const prefix = folder === "" ? "" : `${folder}/`;
  const found = new Map<string, string[]>();
  for (const [split, patterns] of splits!) {
    const members = files.filter((file) => patterns.some((pattern) => matchesPattern(file, prefix + pattern)));
    if (members.length > 0) found.set(split, members);
  }
  return found;
}

function splitsByName(files: readonly string[], folder: string): Map<string, string[]> {
  const prefix = folder === "" ? "" : `${folder}/`;
  const found = new Map<string, string[]>();
  for (const file of files) {
    if (!file.startsWith(prefix) || !isData(file)) continue;
    const split = splitOfName(file.slice(prefix.length));
    found.set(split, [...(found.get(split) ?? []), file]);
  }
  return found;
}

function splitOfName(file: string): string {
  const folders = file.split("/");
  const name = folders.pop()!;
  const shard = SHARD.exec(name);
  if (shard?.[1] && folders.at(-1) === "data") return shard[1];
  const plainName = unpackedName(name);
  for (const text of [plainName.slice(0, plainName.lastIndexOf(".")), ...folders.reverse()]) {
    const words = text.toLowerCase().split(/[^a-z]+/);
    const word = words.find((candidate) => SPLIT_WORDS.has(candidate));
    if (word !== undefined) return SPLIT_WORDS.get(word)!;
  }
  return "train";
}

function requireOneFormat(path: string, split: string, files: readonly string[]): void {
  const strange = files.find((file) => formatOf(file) === undefined);
  if (strange !== undefined) {
    const fault =
      packingFault(strange) ?? `${strange} is of no known format; files that can be read end in ${DATA_ENDINGS}`;
    throw new DataError(`${path}: of the split ${split}, ${fault}.`);
  }
  const there = new Set(files);
  const twin = files.find((file) => unpackedName(file) !== file && there.has(unpackedName(file)));
  const other = files.find((file) => formatOf(file) !== formatOf(files[0]!));
  if (twin === undefined && other === undefined) return;
  const [what, two] = twin
    ? ["a file packed and unpacked", `${unpackedName(twin)} and ${twin}`]
    : ["files of several formats", `${files[0]} and ${other}`];
  throw new DataError(
    `${path}: the split ${split} has ${what}, ${two}, perhaps the same rows twice. Name one file, or keep one of them there.`,
  );
}

/** Otherwise a missing shard, for example after an interrupted download, would not be noticed. */
function requireAllShards(path: string, files: readonly string[]): void {
  const present = new Set(files);
  const checked = new Set<string>();
  for (const file of files) {
    const shard = SHARD.exec(file);
    if (shard === null) continue;
    const [, base, , count, ending] = shard;
    if (checked.has(`${base}/${count}`)) continue;
    checked.add(`${base}/${count}`);
    for (let i = 0; i < Number(count); i++) {
      const expected = `${base}-${String(i).padStart(5, "0")}-of-${count}${ending}`;
      if (!present.has(expected)) {
        throw new DataError(`${path}: the shard ${expected} is missing, ${file} is there. Get the data set whole.`);
      }
    }
  }
}

function noData(path: string, files: readonly string[], chosen: CardConfig | undefined, config?: string): DataError {
  if (files.some((file) => file.endsWith(".arrow"))) {
    return new DataError(`${path} holds Arrow files, which are not read. Save the data set with to_parquet() instead.`);
  }
  if (chosen?.splits) {
    const patterns = [...chosen.splits.values()].flat().join(", ");
    return new DataError(`${path}: none of the files that its README.md names (${patterns}) is there. Get it whole.`);
  }
  const where = chosen?.folder || config;
  const inside = where ? ` in its folder ${where}` : "";
  return new DataError(`${path} has no data${inside}: expected files that end in ${DATA_ENDINGS}.`);
}

function nameOf(file: string): string {
  return file.slice(file.lastIndexOf("/") + 1);
}
