import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadData } from "../../src/data/load.ts";
import type { LoadedData } from "../../src/data/loaded-data.ts";
import { dataOptionsSchema } from "../../src/data/options.ts";
import { requireText } from "../../src/data/row.ts";
import { RowStore } from "../../src/data/row-store.ts";
import { permutation, Rounds, selectRows } from "../../src/data/selection.ts";
import { ConfigError, DataError } from "../../src/errors.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const makeFiles = temporaryFolder();
const jsonl = (count: number, textOf = (i: number) => `q${i}`) =>
  Array.from({ length: count }, (_, i) => `${JSON.stringify({ q: textOf(i), i })}\n`).join("");

const options = (path: string, further: object = {}) => dataOptionsSchema.parse({ path, ...further });

async function load(text: string, further: object = {}, seed = 0): Promise<LoadedData> {
  const path = join(makeFiles({ "rows.jsonl": text }), "rows.jsonl");
  return loadData(options(path, further), { seed, identify: (row) => requireText(row, "q") });
}

const trained = (data: LoadedData, from = 0, count = data.trainCount) =>
  Array.from({ length: count }, (_, index) => data.train(from + index).row.fields.i as number);
const held = (data: LoadedData) =>
  Array.from({ length: data.heldOutCount }, (_, index) => data.heldOut(index).row.fields.i as number);
const sorted = (numbers: readonly number[]) => [...numbers].sort((a, b) => a - b);

describe("shuffle, select, split", () => {
  test("0.9 of the rows are trained on and 0.1 held out, each once, none in both", async () => {
    const data = await load(jsonl(200));
    expect([data.trainCount, data.heldOutCount, data.leftOutCount]).toEqual([180, 20, 0]);
    expect(sorted([...trained(data), ...held(data)])).toEqual(Array.from({ length: 200 }, (_, i) => i));
  });

  test.each([
    [10, 0.1, 1],
    [11, 0.1, 2],
    [50_000, 0.1, 5000],
    [30, 0.1, 3],
    [7, 0.25, 2],
  ])("of %i rows at a share of %d, %i are held out, as in datasets.train_test_split", (count, testShare, expected) => {
    const { train, heldOut } = selectRows(count, options("x", { testShare }));
    expect([heldOut.length, train.length]).toEqual([expected, count - expected]);
  });

  test("depend on data.seed alone: another run seed changes the order of training only", async () => {
    const [one, other] = [await load(jsonl(100), {}, 1), await load(jsonl(100), {}, 2)];
    expect(held(one)).toEqual(held(other));
    expect(sorted(trained(one))).toEqual(sorted(trained(other)));
    expect(trained(one)).not.toEqual(trained(other));
    expect(held(await load(jsonl(100), { seed: 1 }, 1))).not.toEqual(held(one));
  });

  test("select takes the first rows of the shuffled order, of the file's own without shuffle", async () => {
    const plain = await load(jsonl(100), { select: 20, shuffle: false });
    expect(sorted([...trained(plain), ...held(plain)])).toEqual(Array.from({ length: 20 }, (_, i) => i));
    const shuffled = await load(jsonl(100), { select: 20 });
    const chosen = sorted([...trained(shuffled), ...held(shuffled)]);
    expect(chosen).toEqual(sorted([...permutation(100, 0, "data/shuffle").subarray(0, 20)]));
    expect(Math.max(...chosen)).toBeGreaterThan(20);
  });

  test("without shuffle, rows beyond select are not read: a bad one there does no harm", async () => {
    const text = `${jsonl(30)}not JSON\n`;
    expect((await load(text, { select: 30, shuffle: false })).trainCount).toBe(27);
    await expect(load(text, { select: 30 })).rejects.toThrow("rows.jsonl:31: expected one JSON object");
  });

  test("a split of the data set's own is held out whole", async () => {
    const folder = makeFiles({ "train.jsonl": jsonl(20), "test.jsonl": jsonl(5, (i) => `t${i}`) });
    const data = await loadData(options(folder, { testSplit: "test" }), {
      seed: 0,
      identify: (row) => requireText(row, "q"),
    });
    expect([data.trainCount, data.heldOutCount]).toEqual([20, 5]);
    expect(data.heldOut(2)).toMatchObject({ id: 2 ** 31 + 2, row: { fields: { q: "t2" }, line: 3 } });
  });

  test("a problem that is held out is trained on in none of its rows", async () => {
    const data = await load(jsonl(100, (i) => `q${i % 25}`));
    const heldProblems = new Set(held(data).map((i) => i % 25));
    expect(trained(data).some((i) => heldProblems.has(i % 25))).toBe(false);
    expect(data.trainCount + data.leftOutCount).toBe(90);
    expect(data.leftOutCount).toBeGreaterThan(0);
  });

  test.each([
    [{ select: 21 }, "data.select asks for 21 rows of", ConfigError],
    [{ testShare: 0.99 }, "leaves none for training", ConfigError],
    [{ split: "test" }, "has no split test; it has: train", ConfigError],
  ])("%j of 20 rows is refused", async (further, message, kind) => {
    await expect(load(jsonl(20), further)).rejects.toThrow(kind);
    await expect(load(jsonl(20), further)).rejects.toThrow(message);
  });

  test("data of one problem only, or of none, cannot be split", async () => {
    await expect(load(jsonl(10, () => "same"))).rejects.toThrow("every row's problem is held out too");
    await expect(load("")).rejects.toThrow("has no rows");
  });
});

describe("the walk of training", () => {
  test("visits every row once a round, in a new order, and place i is a function of i alone", async () => {
    const data = await load(jsonl(50));
    const rounds = [0, 1, 2].map((round) => trained(data, round * data.trainCount));
    for (const round of rounds) expect(sorted(round)).toEqual(sorted(rounds[0]!));
    expect(rounds[1]).not.toEqual(rounds[0]);
    const resumed = await load(jsonl(50));
    expect(trained(resumed, 60, 40)).toEqual(trained(data, 60, 40));
    expect(trained(data)).toEqual(rounds[0]);
  });

  test("goes on across the end of a round", () => {
    const rounds = new Rounds(3, 9);
    const walk = Array.from({ length: 9 }, (_, i) => rounds.at(i));
    for (const start of [0, 3, 6]) expect([...walk.slice(start, start + 3)].sort()).toEqual([0, 1, 2]);
  });
});

describe("columns", () => {
  test("are mapped to the names that are wanted, and stay under their own", async () => {
    const path = join(makeFiles({ "rows.jsonl": '{"question": "a"}\n{"question": "b"}\n' }), "rows.jsonl");
    const identify = (row: Parameters<typeof requireText>[0]) => requireText(row, "q");
    const data = await loadData(options(path, { columns: { q: "question" }, testShare: 0.5 }), { seed: 0, identify });
    expect(Object.keys(data.train(0).row.fields)).toEqual(["question", "q"]);
  });

  test("a mapped column that is missing in a late row is found before training: file, row, columns, the nearest", async () => {
    const text = `${jsonl(40)}{"question": "x", "i": 3}\n`;
    const failing = load(text, { columns: { q: "q" } });
    await expect(failing).rejects.toThrow(DataError);
    await expect(failing).rejects.toThrow(
      /rows\.jsonl:41: expected the column q, which data.columns names for q, but it is not there; the columns of this row are: question, i\./,
    );
    await expect(load(text, { columns: { problem: "qq" } })).rejects.toThrow(/are: q, i\. Is q meant\?/);
  });

  test("a column that the task needs is missed in the same way", async () => {
    await expect(load(`${jsonl(3)}{"p": 1}\n`)).rejects.toThrow(
      /rows\.jsonl:4: expected a text in the column q, which is not there; the columns of this row are: p\./,
    );
  });
});

describe("RowStore", () => {
  const row = (i: number) => ({
    fields: { i, text: `思 ${"x".repeat(i)}` },
    file: i < 30 ? "a" : "b",
    line: (i % 30) + 1,
  });

  test("gives back what was added, from memory and, beyond its budget, from the disk", () => {
    const inMemory = new RowStore();
    const spilling = new RowStore(500);
    for (let i = 0; i < 60; i++) for (const store of [inMemory, spilling]) store.add(row(i));
    expect([inMemory.isSpilled, spilling.isSpilled]).toEqual([false, true]);
    for (const i of [59, 0, 29, 30, 7, 31, 58]) {
      expect(spilling.at(i)).toEqual(row(i));
      expect(inMemory.at(i)).toEqual(row(i));
    }
    expect(() => spilling.at(60)).toThrow(RangeError);
  });

  test("the file beyond memory has no name that could be left behind", () => {
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith("aha-rows-"));
    const store = new RowStore(0);
    store.add(row(1));
    expect(store.at(0)).toEqual(row(1));
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith("aha-rows-"))).toEqual(before);
  });

  test("of Parquet's rows it keeps that they are rows", () => {
    const store = new RowStore();
    store.add({ ...row(1), unit: "row" });
    expect(store.at(0).unit).toBe("row");
  });
});
