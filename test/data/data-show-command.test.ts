import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { main } from "../../src/cli/main.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { parquetBytes } from "./write-parquet.ts";

const makeFiles = temporaryFolder();

async function aha(...args: string[]): Promise<{ code: number; out: string; note: string }> {
  const texts = { out: "", note: "" };
  const code = await main(["data", "show", ...args], {
    out: (text) => {
      texts.out += text;
    },
    note: (text) => {
      texts.note += text;
    },
    signal: new AbortController().signal,
    interactive: false,
  });
  return { code, ...texts };
}

const rows = Array.from({ length: 7 }, (_, i) => ({
  id: i,
  share: i / 2,
  messages: [{ role: "user", content: `q${i}` }],
}));
const bytes = (count: number) =>
  parquetBytes({ id: "INT64", share: "DOUBLE", messages: [["role", "content"]] }, rows.slice(0, count), {
    rowGroupSize: 3,
  });
const folder = makeFiles({
  "data/train-00000-of-00002.parquet": bytes(7),
  "data/train-00001-of-00002.parquet": bytes(2),
  "data/test-00000-of-00001.parquet": bytes(1),
});

describe("aha data show", () => {
  test("--json: splits with rows, columns with types, first rows", async () => {
    const { code, out } = await aha(folder, "--rows", "2", "--json");
    expect(code).toBe(0);
    const shown = JSON.parse(out);
    expect(shown).toMatchObject({ path: folder, configs: [], split: "train", rows: rows.slice(0, 2) });
    expect(shown.splits.map(({ name, rows: count }: { name: string; rows: number }) => [name, count])).toEqual([
      ["test", 1],
      ["train", 9],
    ]);
    expect(shown.columns).toEqual([
      { name: "id", type: "whole number" },
      { name: "share", type: "number" },
      { name: "messages", type: "list of mapping of role: text, content: text" },
    ]);
  });

  test("for people: the same, values shortened, each row with its place", async () => {
    const { out } = await aha(folder, "--split", "test");
    expect(out).toContain("split train: 9 rows in 2 files (parquet)");
    expect(out).toContain("columns of test");
    expect(out).toMatch(/test-00000-of-00001\.parquet, row 1\n {2}id {8}0\n/);
    const long = makeFiles({ "x.jsonl": `${JSON.stringify({ text: "y".repeat(1000) })}\n` });
    expect((await aha(join(long, "x.jsonl"))).out).toContain(`"${"y".repeat(159)}…`);
  });

  test("lineage.json beside the rows is shown: what made them, and what each filter dropped", async () => {
    const lineage = { step: "coldStart", model: "r1-zero", seed: 3, dropped: { "verdict solved": 12 } };
    const made = makeFiles({ "train.jsonl": '{"prompt": "q"}\n', "lineage.json": JSON.stringify(lineage) });
    const { code, out } = await aha(made);
    expect(code).toBe(0);
    expect(out).toContain('\nlineage\n  step     "coldStart"\n  model    "r1-zero"\n  seed     3\n');
    expect(out).toContain('  dropped  {"verdict solved":12}\n');
    expect(JSON.parse((await aha(made, "--json")).out).lineage).toEqual(lineage);
    expect(JSON.parse((await aha(folder, "--json")).out)).not.toHaveProperty("lineage");
  });

  test.each(["[]", "{"])("a lineage that is %s is an error that names the file", async (text) => {
    const { code, note } = await aha(makeFiles({ "train.jsonl": '{"prompt": "q"}\n', "lineage.json": text }));
    expect(code).toBe(1);
    expect(note).toMatch(/^aha: .*lineage\.json/);
  });

  test("columns that differ from row to row are shown as they are", async () => {
    const text = '{"a": 1, "b": null}\n{"a": "x", "b": 1.5, "c": true}\n{"a": 2, "b": 1, "c": []}\n';
    const { out } = await aha(join(makeFiles({ "x.jsonl": text }), "x.jsonl"), "--json");
    expect(JSON.parse(out).columns).toEqual([
      { name: "a", type: "whole number or text" },
      { name: "b", type: "number or null" },
      { name: "c", type: "true or false or empty list or absent" },
    ]);
  });

  test("a text file that ends in a bad line is found, with its line", async () => {
    const { code, note } = await aha(join(makeFiles({ "x.csv": `a,b\n${"1,2\n".repeat(500)}1\n` }), "x.csv"));
    expect(code).toBe(1);
    expect(note).toMatch(/^aha: .*x\.csv:502: expected 2 cells/);
  });

  test.each([
    [["/no/such"], "Cannot read /no/such: it does not exist"],
    [[folder, "--split", "validation"], "has no split validation; it has: test, train."],
    [[folder, "--config", "main"], "has no data in its folder main"],
    [[folder, "--rows", "-1"], "--rows"],
    [[folder, "--splt", "x"], "Did you mean --split?"],
    [[], "expected show PATH"],
  ])("%j says what is wrong", async (args, message) => {
    const { code, note } = await aha(...args);
    expect(code).toBe(1);
    expect(note).toContain(message);
  });
});
