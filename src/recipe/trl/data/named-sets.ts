/**
 * Which data sets a TRL recipe names, in the several ways of the scripts:
 *
 *     dataset_name, dataset_id_or_path   one, with dataset_config and a split               TRL, open-r1, the seeds
 *     dataset_mixture                    several, each with config, split and weight        open-r1, Alignment Handbook
 *     datasets                           several, each with name, split and fraction        TRL since 0.22
 *     dataset_mixer, dataset_splits      shares by name, of every split named like train    Alignment Handbook, 2024
 *
 * Several data sets are one whose rows are joined and shuffled, as `datasets.concatenate_datasets` does.
 *
 * What it is not: a search for them. `survey.ts` looks at what is there.
 */

import { ConfigError } from "../../../errors.ts";
import { isMapping } from "../../../strict-schema.ts";
import { shown, type TrlSettings } from "../settings.ts";

/** One of the data sets of which rows are trained on. */
export interface NamedSet {
  readonly name: string;
  /** undefined: the data set's own default. */
  readonly config: string | undefined;
  readonly split: string | undefined;
  /** Share of the split's rows. */
  readonly share: number;
  /** `train[:1000]`, `train[:10%]`: the first so many rows, or so many of a hundred. */
  readonly first: { readonly rows: number } | { readonly percent: number } | undefined;
}

/** What is held out, as far as the file says it. */
export type NamedTest =
  | { readonly split: string; readonly key: string }
  /** Rows, or a share of them where it is below 1. */
  | { readonly size: number; readonly key: string };

export interface NamedSets {
  /** The key that names them. */
  readonly key: string;
  /** At least one. */
  readonly sets: readonly NamedSet[];
  readonly test: NamedTest | undefined;
  /** Of the mixture's shuffles. */
  readonly seed: number | undefined;
  /** TRL's `fraction`: shares are of the mixture, of which the scarcest data set is in it whole. */
  readonly sharesOfMixture: boolean;
}

/** Every key by which files name data sets, or say something about them. */
export const DATA_KEYS = [
  "dataset_id_or_path",
  "dataset_name",
  "dataset_config",
  "dataset_configs",
  "dataset_split",
  "dataset_splits",
  "dataset_train_split",
  "dataset_test_split",
  "dataset_mixture",
  "dataset_mixer",
  "datasets",
  "test_split_size",
] as const;

/**
 * The data sets that the file names; undefined where it names none.
 *
 * @throws ConfigError where two keys contradict each other, or an entry cannot be read
 */
export function namedSets(settings: TrlSettings): NamedSets | undefined {
  const mixture = settings.mapping("dataset_mixture");
  if (mixture !== undefined) return ofMixture(mixture);
  const list = settings.mappings("datasets");
  if (list !== undefined) return ofList(list, settings);
  const mixer = settings.mapping("dataset_mixer");
  if (mixer !== undefined) return ofMixer(mixer, settings);
  return ofName(settings);
}

function ofName(settings: TrlSettings): NamedSets | undefined {
  const given = ["dataset_id_or_path", "dataset_name"].filter((key) => settings.has(key));
  const [key, other] = given;
  if (key === undefined) return undefined;
  const name = settings.text(key)!;
  if (other !== undefined && settings.text(other) !== name) {
    throw new ConfigError(`${key} is ${shown(name)}, ${other} ${shown(settings.text(other))}; give one.`);
  }
  const configs = settings.texts("dataset_configs") ?? [];
  const splits = settings.texts("dataset_splits") ?? [];
  for (const [several, values] of [
    ["dataset_configs", configs],
    ["dataset_splits", splits.filter((split) => !/test|val/.test(split))],
  ] as const) {
    if (values.length > 1) {
      throw new ConfigError(
        `${several}: expected one for the one data set ${name}, got ${values.join(", ")}. Several make a dataset_mixture.`,
      );
    }
  }
  const config = settings.text("dataset_config") ?? configs[0];
  const split =
    splits.find((one) => !/test|val/.test(one)) ??
    settings.text("dataset_train_split") ??
    settings.text("dataset_split");
  const test = splits.find((one) => /test|val/.test(one));
  return {
    ...{ key, sets: [{ name, config, share: 1, ...sliceOf(split) }], seed: undefined, sharesOfMixture: false },
    test: test === undefined ? testSplitOf(settings) : { split: test, key: "dataset_splits" },
  };
}

function testSplitOf(settings: TrlSettings): NamedTest | undefined {
  const split = settings.text("dataset_test_split");
  return split === undefined ? undefined : { split, key: "dataset_test_split" };
}

/** open-r1's: `{ datasets: [{ id, config, split, columns, weight }], seed, test_split_size }`. */
function ofMixture(mixture: Readonly<Record<string, unknown>>): NamedSets {
  const key = "dataset_mixture";
  requireKeys(mixture, key, ["datasets", "seed", "test_split_size"]);
  const { datasets, test_split_size: size } = mixture;
  if (!Array.isArray(datasets) || datasets.length === 0) {
    throw new ConfigError(`${key}.datasets: expected a list of data sets, got ${shown(datasets)}.`);
  }
  const sets = datasets.map((item: unknown, i): NamedSet => {
    const where = `${key}.datasets.${i}`;
    const set = requireMapping(item, where, ["id", "config", "split", "columns", "weight"]);
    const weight = numberAt(set, "weight", where) ?? 1;
    if (!(weight > 0 && weight <= 1)) {
      throw new ConfigError(`${where}.weight: expected a share above 0 of at most 1, got ${shown(weight)}.`);
    }
    return {
      name: requireText(set, "id", where),
      config: textAt(set, "config", where),
      share: weight,
      ...sliceOf(textAt(set, "split", where) ?? "train"),
    };
  });
  const test = testSizeOf(size, `${key}.test_split_size`);
  return {
    key,
    sets,
    test: test === undefined ? undefined : { size: test, key },
    seed: numberAt(mixture, "seed", key) ?? 0,
    sharesOfMixture: false,
  };
}

/** TRL's: `[{ path, name, split, columns, fraction }]`, and beside it `test_split_size`. */
function ofList(list: readonly Readonly<Record<string, unknown>>[], settings: TrlSettings): NamedSets {
  const key = "datasets";
  const fractions = list.map((item, i) => numberAt(item, "fraction", `${key}.${i}`));
  const sharesOfMixture = fractions.some((fraction) => fraction !== undefined);
  if (sharesOfMixture && fractions.some((fraction) => fraction === undefined || fraction <= 0)) {
    throw new ConfigError(`${key}: fraction is given for every data set, above 0, or for none.`);
  }
  const sets = list.map((item, i): NamedSet => {
    const where = `${key}.${i}`;
    requireKeys(item, where, ["path", "name", "data_dir", "data_files", "split", "columns", "fraction"]);
    const files = item.data_files;
    if (files !== undefined && files !== null && typeof files !== "string") {
      throw new ConfigError(`${where}.data_files: expected one file, got ${shown(files)}. Make a data set of each.`);
    }
    return {
      // `path: json, data_files: rows.jsonl` is the loader's name and the file.
      name: typeof files === "string" ? files : requireText(item, "path", where),
      config: textAt(item, "name", where) ?? textAt(item, "data_dir", where),
      share: fractions[i] ?? 1,
      ...sliceOf(textAt(item, "split", where) ?? "train"),
    };
  });
  const size = settings.number("test_split_size");
  const test = size === undefined ? undefined : { size, key: "test_split_size" };
  return { key, sets, test, seed: undefined, sharesOfMixture };
}

/** The Alignment Handbook's of 2024: shares by name, of every split whose name has `train`. */
function ofMixer(mixer: Readonly<Record<string, unknown>>, settings: TrlSettings): NamedSets {
  const key = "dataset_mixer";
  const splits = settings.texts("dataset_splits") ?? ["train", "test"];
  const configs = settings.texts("dataset_configs") ?? [];
  const training = splits.filter((split) => split.includes("train"));
  const test = splits.find((split) => split.includes("test"));
  const sets = Object.entries(mixer).flatMap(([name, share], i) => {
    const value = typeof share === "number" ? share : Number(share);
    if (!(value > 0 && value <= 1)) {
      throw new ConfigError(`${key}.${name}: expected a share above 0 of at most 1, got ${shown(share)}.`);
    }
    return training.map((split): NamedSet => ({ name, config: configs[i], share: value, ...sliceOf(split) }));
  });
  if (sets.length === 0) {
    throw new ConfigError(`${key}: expected data sets, and a split whose name has "train" in dataset_splits.`);
  }
  return {
    ...{ key, sets, seed: 42, sharesOfMixture: false },
    test: test === undefined ? undefined : { split: test, key: "dataset_splits" },
  };
}

/** A split, or its beginning. Throws ConfigError for any other slice. */
function sliceOf(split: string | undefined): Pick<NamedSet, "split" | "first"> {
  if (split === undefined || !/[[\]+]/.test(split)) return { split, first: undefined };
  const [, name, count, percent] = /^([\w.-]+)\[:(\d+)(%?)\]$/.exec(split) ?? [];
  if (name === undefined || Number(count) < 1 || (percent === "%" && Number(count) > 100)) {
    throw new ConfigError(
      `A split such as ${shown(split)} cannot be taken apart here; make a file of it and give --data.`,
    );
  }
  return { split: name, first: percent === "%" ? { percent: Number(count) } : { rows: Number(count) } };
}

function testSizeOf(size: unknown, where: string): number | undefined {
  if (size === undefined || size === null) return undefined;
  if (typeof size === "number" && size > 0 && (size < 1 || Number.isInteger(size))) return size;
  throw new ConfigError(`${where}: expected a share below 1 or a number of rows, got ${shown(size)}.`);
}

function requireMapping(value: unknown, where: string, keys: readonly string[]): Readonly<Record<string, unknown>> {
  if (!isMapping(value)) throw new ConfigError(`${where}: expected a data set with id, got ${shown(value)}.`);
  requireKeys(value, where, keys);
  return value;
}

function requireKeys(value: Readonly<Record<string, unknown>>, where: string, keys: readonly string[]): void {
  const strange = Object.keys(value).find((key) => !keys.includes(key));
  if (strange === undefined) return;
  throw new ConfigError(`${where}.${strange}: not a key of a mixture's; there are ${keys.join(", ")}.`);
}

function requireText(value: Readonly<Record<string, unknown>>, key: string, where: string): string {
  const text = textAt(value, key, where);
  if (text !== undefined) return text;
  throw new ConfigError(`${where}: expected ${key}, the name or path of a data set.`);
}

function textAt(value: Readonly<Record<string, unknown>>, key: string, where: string): string | undefined {
  const text = value[key];
  if (text === undefined || text === null) return undefined;
  if (typeof text === "string" && text !== "") return text;
  throw new ConfigError(`${where}.${key}: expected text, got ${shown(text)}.`);
}

function numberAt(value: Readonly<Record<string, unknown>>, key: string, where: string): number | undefined {
  const number = value[key];
  if (number === undefined || number === null) return undefined;
  if (typeof number === "number") return number;
  throw new ConfigError(`${where}.${key}: expected a number, got ${shown(number)}.`);
}
