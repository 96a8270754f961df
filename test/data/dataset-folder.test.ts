import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { findDataset, splitOf, splitRows } from "../../src/data/dataset-folder.ts";
import { matchesPattern } from "../../src/data/glob.ts";
import { ConfigError, DataError } from "../../src/errors.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { parquetBytes } from "./write-parquet.ts";

const makeFiles = temporaryFolder();
const ROW = '{"a": 1}\n';

/** Splits with their files, relative to the folder. */
async function splitsOf(files: Readonly<Record<string, string | Uint8Array>>, config?: string) {
  const folder = makeFiles(files);
  const { splits } = await findDataset(folder, config);
  return Object.fromEntries(
    splits.map(({ name, files }) => [name, files.map((file) => file.slice(folder.length + 1))]),
  );
}

const names = (...paths: string[]) => Object.fromEntries(paths.map((path) => [path, ROW]));

describe("splits by the names of files", () => {
  test("shards in a folder data are joined, in order, under the name before the number", async () => {
    const files = names(
      "data/train_sft-00001-of-00002.jsonl",
      "data/train_sft-00000-of-00002.jsonl",
      "data/test-00000-of-00001.jsonl",
    );
    expect(await splitsOf({ ...files, "README.md": "# No front matter" })).toEqual({
      test: ["data/test-00000-of-00001.jsonl"],
      train_sft: ["data/train_sft-00000-of-00002.jsonl", "data/train_sft-00001-of-00002.jsonl"],
    });
  });

  test.each([
    ["train.jsonl", "train"],
    ["my-training-part.csv", "train"],
    ["valid.jsonl", "validation"],
    ["dev_set.jsonl", "validation"],
    ["test/part1.jsonl", "test"],
    ["evaluation.json", "test"],
    ["rows.jsonl", "train"],
    ["contested.jsonl", "train"],
    ["main/train-00000-of-00001.jsonl", "train"],
  ])("%s is of the split %s", async (file, split) => {
    expect(Object.keys(await splitsOf({ [file]: file.endsWith("csv") ? "a\n1\n" : ROW }))).toEqual([split]);
  });

  test("gzipped files are data by the same names", async () => {
    const files = names(
      "data/train-00000-of-00002.jsonl.gz",
      "data/train-00001-of-00002.jsonl.gz",
      "validation.csv.gz",
      "part-of-test.json.gz",
    );
    expect(await splitsOf(files)).toEqual({
      test: ["part-of-test.json.gz"],
      train: ["data/train-00000-of-00002.jsonl.gz", "data/train-00001-of-00002.jsonl.gz"],
      validation: ["validation.csv.gz"],
    });
    await expect(splitsOf(names("data/train-00000-of-00002.jsonl.gz"))).rejects.toThrow(
      "the shard data/train-00001-of-00002.jsonl.gz is missing",
    );
    await expect(splitsOf(names("train.jsonl", "train.jsonl.gz"))).rejects.toThrow(
      "the split train has a file packed and unpacked, train.jsonl and train.jsonl.gz, perhaps the same rows twice",
    );
    await expect(splitsOf(names("train.jsonl", "test.jsonl.zst"))).rejects.toThrow(
      "of the split test, test.jsonl.zst is packed as .zst, which is not read for such files: unpack it first (zstd -d",
    );
  });

  test("hidden files, other files and the Hub's own JSON files are no data", async () => {
    const files = names("train.jsonl", ".cache/train.jsonl", "dataset_infos.json", "state.json");
    expect(await splitsOf({ ...files, "picture.png": "", "notes.txt": "" })).toEqual({ train: ["train.jsonl"] });
  });

  test("links, as the Hub's cache has them, are followed to files", async () => {
    const folder = makeFiles({ "blobs/abc": ROW, "snapshot/README.md": "" });
    symlinkSync("../blobs/abc", join(folder, "snapshot/train.jsonl"));
    const { splits } = await findDataset(join(folder, "snapshot"));
    expect(splits).toEqual([{ name: "train", files: [join(folder, "snapshot/train.jsonl")] }]);
  });
});

describe("splits by the card", () => {
  const card = (configs: string) => `---\nlicense: mit\nconfigs:\n${configs}---\n\n# Data\n`;

  test("data_files are patterns by split", async () => {
    const configs =
      "- config_name: default\n  data_files:\n  - split: train\n    path: parts/*-a.jsonl\n  - split: extra\n    path: ['**/x?.jsonl']\n";
    const files = names("parts/1-a.jsonl", "parts/2-a.jsonl", "parts/3-b.jsonl", "deep/er/x1.jsonl");
    expect(await splitsOf({ ...files, "README.md": card(configs) })).toEqual({
      extra: ["deep/er/x1.jsonl"],
      train: ["parts/1-a.jsonl", "parts/2-a.jsonl"],
    });
  });

  test("of several configurations the default one is taken, or the one that is named", async () => {
    const configs =
      "- config_name: main\n  data_files: main/*.jsonl\n  default: true\n- config_name: socratic\n  data_dir: socratic\n";
    const files = { ...names("main/rows.jsonl", "socratic/test.jsonl"), "README.md": card(configs) };
    expect(await splitsOf(files)).toEqual({ train: ["main/rows.jsonl"] });
    expect(await splitsOf(files, "socratic")).toEqual({ test: ["socratic/test.jsonl"] });
    await expect(splitsOf(files, "mian")).rejects.toThrow(
      /has no configuration mian; it has: main, socratic. Did you mean main\?/,
    );
  });

  test("several without a default must be chosen from", async () => {
    const configs = "- config_name: a\n  data_dir: a\n- config_name: b\n  data_dir: b\n";
    const files = { ...names("a/x.jsonl", "b/x.jsonl"), "README.md": card(configs) };
    await expect(splitsOf(files)).rejects.toThrow(/several configurations; choose one with config: a, b/);
  });

  test("files that it names and that are not there are missed", async () => {
    const configs = "- config_name: default\n  data_files: data/train-*\n";
    await expect(splitsOf({ "README.md": card(configs), ...names("other.jsonl") })).rejects.toThrow(
      /none of the files that its README.md names \(data\/train-\*\) is there/,
    );
  });

  test("one that is not valid is refused by name", async () => {
    await expect(splitsOf({ "README.md": "---\na: [\n---\n", ...names("x.jsonl") })).rejects.toThrow(
      /README.md: the YAML/,
    );
    await expect(splitsOf({ "README.md": card("- data_files: x\n"), ...names("x.jsonl") })).rejects.toThrow(
      /README.md: expected configs as the Hub documents them .* at configs\.0\.config_name/,
    );
  });
});

describe("what is refused", () => {
  test("a missing shard", async () => {
    await expect(splitsOf(names("data/train-00000-of-00002.jsonl", "data/test-00000-of-00001.jsonl"))).rejects.toThrow(
      /the shard data\/train-00001-of-00002.jsonl is missing/,
    );
  });

  test("one split in several formats, a folder without data, Arrow files, a path that is not there", async () => {
    await expect(splitsOf({ "train.jsonl": ROW, "train.csv": "a\n1\n" })).rejects.toThrow(/files of several formats/);
    await expect(splitsOf({ "notes.txt": "" })).rejects.toThrow(/has no data: expected files that end in .jsonl/);
    await expect(splitsOf({ "data-00000-of-00001.arrow": "" })).rejects.toThrow(/holds Arrow files/);
    await expect(findDataset("/no/such/data")).rejects.toThrow(DataError);
  });

  test("a split that is not there, with those that are", async () => {
    const dataset = await findDataset(makeFiles(names("train.jsonl", "test.jsonl")));
    expect(splitOf(dataset).name).toBe("train");
    expect(() => splitOf(dataset, "tset")).toThrow(/has no split tset; it has: test, train. Did you mean test\?/);
    const onlyTest = await findDataset(makeFiles(names("test.jsonl")));
    expect(splitOf(onlyTest).name).toBe("test");
    expect(() => splitOf(onlyTest, "train")).toThrow(ConfigError);
  });
});

test("a split of several files is read file after file, rows placed in theirs", async () => {
  const bytes = (from: number) => parquetBytes({ n: "INT64" }, [{ n: from }, { n: from + 1 }]);
  const folder = makeFiles({
    "data/train-00000-of-00002.parquet": bytes(0),
    "data/train-00001-of-00002.parquet": bytes(2),
  });
  const rows = [];
  for await (const row of splitRows(splitOf(await findDataset(folder)))) rows.push([row.fields.n, row.line]);
  expect(rows).toEqual([
    [0, 1],
    [1, 2],
    [2, 1],
    [3, 2],
  ]);
});

describe("patterns", () => {
  test.each([
    ["data/train-00000-of-00001.parquet", "data/train-*", true],
    ["data/train-00000-of-00001.parquet", "./data/train-*.parquet", true],
    ["data/deep/train.jsonl", "data/*", false],
    ["data/deep/train.jsonl", "data/**", true],
    ["data/deep/train.jsonl", "**/*.jsonl", true],
    ["train.jsonl", "**/*.jsonl", true],
    ["a.b", "a?b", true],
    ["a1.csv", "a[0-3].csv", true],
    ["a7.csv", "a[!0-3].csv", true],
    ["a7.csv", "a[0-3].csv", false],
    ["b.csv", "{a,b}.{csv,json}", true],
    ["c.csv", "{a,b}.csv", false],
  ])("%s, %s: %s", (path, pattern, expected) => {
    expect(matchesPattern(path, pattern)).toBe(expected);
  });

  test("many stars take no exponential time", () => {
    expect(matchesPattern(`${"a".repeat(250)}b`, `${"*a".repeat(60)}c`)).toBe(false);
  });
});
