import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parquetWriteBuffer, type SchemaElement } from "hyparquet-writer";
import { describe, expect, test } from "vitest";
import { type ParquetBytes, parquetRowCount, readParquet } from "../../src/data/parquet.ts";
import type { DataRow } from "../../src/data/row.ts";
import { AhaError, DataError } from "../../src/errors.ts";
import { numberText, parseExactJson, stringifyExactJson } from "../../src/exact-json.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { parquetBytes } from "./write-parquet.ts";

const makeFiles = temporaryFolder();
const GOLDEN = fileURLToPath(new URL("../golden", import.meta.url));
const LIMITS = { maxFooterBytes: 2 ** 20, maxRowGroupBytes: 2 ** 24, maxRowGroupRows: 1e6, maxColumnValues: 1e6 };

/** The same value with the digits of a number in its place. */
function digitsOf(value: unknown): unknown {
  const text = numberText(value);
  if (text !== undefined) return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(digitsOf);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, digitsOf(inner)]));
}

function fileOf(bytes: Uint8Array): string {
  return join(makeFiles({ "data.parquet": bytes }), "data.parquet");
}

async function readAll(file: string): Promise<DataRow[]> {
  const rows: DataRow[] = [];
  for await (const row of readParquet(file)) rows.push(row);
  return rows;
}

async function failure(bytes: Uint8Array, limits = LIMITS): Promise<string> {
  const file = fileOf(bytes);
  try {
    for await (const _ of readParquet(file, limits));
  } catch (error) {
    expect(error).toBeInstanceOf(DataError);
    return (error as DataError).message.replaceAll(file, "FILE");
  }
  return "nothing was wrong";
}

const rowsOf = (count: number) => Array.from({ length: count }, (_, i) => ({ id: i, text: `row ${i}` }));
const TYPES = { id: "INT64", text: "STRING" } as const;

describe("values", () => {
  test.each(["snappy", "zstd-v2", "gzip-plain", "none-small-pages", "brotli", "lz4"])(
    "of pyarrow's %s file are those that pyarrow reads",
    async (name) => {
      const expected = parseExactJson(readFileSync(join(GOLDEN, "parquet.json"), "utf8"));
      const rows = await readAll(join(GOLDEN, "parquet", `${name}.parquet`));
      expect(rows.map(({ fields }) => fields)).toEqual(expected);
    },
  );

  test.each(["types-dictionary", "types-plain", "types-delta"])(
    "of every type in pyarrow's %s file have all their digits",
    async (name) => {
      const rows = await readAll(join(GOLDEN, "parquet", `${name}.parquet`));
      const golden = parseExactJson(readFileSync(join(GOLDEN, "parquet-types.json"), "utf8")) as object[];
      // Numbers are compared by their digits; those of decimals stand there with zeros at the end.
      expect(rows.map(({ fields }) => digitsOf(fields))).toEqual(golden.map(digitsOf));
      expect(stringifyExactJson(rows[0]!.fields)).toContain('"dec38s":1234567890.123456789012345678,');
    },
  );

  test("annotations that the decoder does not know are read all the same", async () => {
    const interval = Buffer.alloc(12);
    for (const [i, part] of [14, 3, 1500].entries()) interval.writeUInt32LE(part, 4 * i);
    const column = (name: string, more: object) => ({ name, repetition_type: "OPTIONAL", ...more }) as SchemaElement;
    const bytes = parquetWriteBuffer({
      columnData: [
        { name: "decimal", data: [9007199254740993n] },
        { name: "day", data: [59] },
        { name: "time", data: [86_399_500] },
        { name: "far", data: [2n ** 62n] },
        { name: "span", data: [new Uint8Array(interval)] },
      ],
      schema: [
        { name: "schema", num_children: 5 },
        column("decimal", { type: "INT64", logical_type: { type: "DECIMAL", precision: 18, scale: 2 } }),
        column("day", { type: "INT32", logical_type: { type: "DATE" } }),
        column("time", { type: "INT32", converted_type: "TIME_MILLIS" }),
        column("far", { type: "INT64", logical_type: { type: "TIMESTAMP", isAdjustedToUTC: true, unit: "MILLIS" } }),
        column("span", { type: "FIXED_LEN_BYTE_ARRAY", type_length: 12, converted_type: "INTERVAL" }),
      ],
    });
    const [row] = await readAll(fileOf(Buffer.from(bytes)));
    expect(stringifyExactJson(row!.fields)).toBe(
      '{"decimal":90071992547409.93,"day":"1970-03-01","time":"23:59:59.5","far":4611686018427387904,"span":"P14M3DT1.5S"}',
    );
  });

  test("rows are numbered over the row groups", async () => {
    const rows = await readAll(fileOf(parquetBytes(TYPES, rowsOf(25), { rowGroupSize: 10 })));
    expect(rows.map(({ line }) => line)).toEqual(Array.from({ length: 25 }, (_, i) => i + 1));
    expect(rows[24]).toMatchObject({ fields: { id: 24, text: "row 24" }, unit: "row" });
  });

  test("a file without rows has none", async () => {
    const file = fileOf(parquetBytes(TYPES, []));
    expect(await readAll(file)).toEqual([]);
    expect(await parquetRowCount(file)).toBe(0);
    const counts = ["zero-in-a-group", "zero-groups", "zero-around"].map(async (name) => {
      return (await readAll(join(GOLDEN, "parquet", `${name}.parquet`))).length;
    });
    expect(await Promise.all(counts)).toEqual([0, 0, 2]);
  });
});

describe("a file of many row groups", () => {
  const GROUPS = 50;
  const bytes = parquetBytes(TYPES, rowsOf(GROUPS * 1000), { rowGroupSize: 1000, codec: "UNCOMPRESSED" });

  /** Reads rows until `enough`, and says how many bytes of the file that took. */
  async function bytesReadFor(enough: number): Promise<{ rows: number; bytesRead: number; largest: number }> {
    const parts = { bytesRead: 0, largest: 0 };
    const inspect = (source: ParquetBytes): ParquetBytes => ({
      byteLength: source.byteLength,
      slice: (start, end = source.byteLength) => {
        parts.bytesRead += end - start;
        parts.largest = Math.max(parts.largest, end - start);
        return source.slice(start, end);
      },
    });
    let rows = 0;
    for await (const _ of readParquet(fileOf(bytes), LIMITS, inspect)) if (++rows >= enough) break;
    return { rows, ...parts };
  }

  test("is read only as far as rows are taken: the footer and one group for the first rows", async () => {
    const first = await bytesReadFor(5);
    expect(first.rows).toBe(5);
    expect(first.bytesRead).toBeLessThan(bytes.length / 10);
    expect((await bytesReadFor(25_000)).bytesRead).toBeGreaterThan(bytes.length / 3);
  });

  test("is never in memory whole: no read is larger than the footer or a row group", async () => {
    const all = await bytesReadFor(Number.POSITIVE_INFINITY);
    expect(all.rows).toBe(GROUPS * 1000);
    expect(all.largest).toBeLessThan(bytes.length / 10);
  });

  test("is counted by its footer", async () => {
    expect(await parquetRowCount(fileOf(bytes))).toBe(GROUPS * 1000);
  });
});

describe("bad files", () => {
  const good = parquetBytes(TYPES, rowsOf(100), { rowGroupSize: 40 });

  test("what is no Parquet, or cut off, is refused by name", async () => {
    expect(await failure(Buffer.from("nums,target\n1,2\n"))).toMatch(/^FILE is not a whole Parquet file/);
    expect(await failure(Buffer.alloc(0))).toMatch(/^FILE is not a whole Parquet file/);
    expect(await failure(good.subarray(0, good.length - 20))).toMatch(/cut off/);
    await expect(readAll("/no/such.parquet")).rejects.toThrow("Cannot read /no/such.parquet: it does not exist.");
  });

  test("a footer length beyond the file, or beyond the limit, is refused before it is read", async () => {
    const lying = Buffer.from(good);
    lying.writeUInt32LE(0x7fffffff, good.length - 8);
    expect(await failure(lying)).toMatch(/^FILE: the footer is said to have 2147483647 bytes/);
    expect(await failure(good, { ...LIMITS, maxFooterBytes: 10 })).toMatch(/at most 10 are read/);
  });

  test("a row group beyond the limits is refused with the advice to write smaller ones", async () => {
    expect(await failure(good, { ...LIMITS, maxRowGroupRows: 39 })).toMatch(
      /^FILE: row group 1 has 40 rows .* Write the file again with smaller row groups\.$/,
    );
    expect(await failure(good, { ...LIMITS, maxRowGroupBytes: 100 })).toMatch(/at most .* 100 bytes are decoded/);
    expect(await failure(good, { ...LIMITS, maxColumnValues: 39 })).toMatch(/40 values of id; at most 39/);
  });

  test("a page header that lies about sizes or values is refused, with file, rows and column", async () => {
    // Zigzag numbers of the first page's header: each one damaged in turn must be found out or be harmless.
    const found = new Set<string>();
    for (let at = 5; at < 30; at++) {
      const damaged = Buffer.from(good);
      damaged[at] = damaged[at]! ^ 0x7f;
      found.add((await failure(damaged)).replace(/\d+/g, "N"));
    }
    expect([...found].some((message) => message.startsWith("FILE, rows N to N: the column id is damaged"))).toBe(true);
  });

  test("a footer that is damaged anywhere gives a DataError or rows, and nothing else", async () => {
    const footerStart = good.length - 8 - good.readUInt32LE(good.length - 8);
    let refused = 0;
    for (let at = footerStart; at < good.length; at += 3) {
      const damaged = Buffer.from(good);
      damaged[at] = damaged[at]! ^ 0xff;
      try {
        for await (const _ of readParquet(fileOf(damaged), LIMITS));
      } catch (error) {
        expect(error).toBeInstanceOf(AhaError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(20);
  });

  test("text that is not UTF-8 is refused, not replaced", async () => {
    const file = parquetBytes({ text: "STRING" }, [{ text: "abcdefgh" }], { codec: "UNCOMPRESSED" });
    const at = file.indexOf("abcdefgh");
    file[at + 2] = 0xff;
    expect(await failure(file)).toMatch(/^FILE, rows 1 to 1: cannot be decoded as Parquet \(.*utf-8.*\)/);
  });
});
