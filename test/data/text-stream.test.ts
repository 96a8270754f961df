import { readdirSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test, vi } from "vitest";
import { readAllRows, readRows } from "../../src/data/formats.ts";
import { DataError } from "../../src/errors.ts";
import { readAllJsonl } from "./read-all-jsonl.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const makeFiles = temporaryFolder();

function fileOf(content: string | Uint8Array, name: string): string {
  return join(makeFiles({ [name]: content }), name);
}

async function fieldsOf(content: string | Uint8Array, name: string) {
  return (await readAllRows(fileOf(content, name))).map(({ fields }) => fields);
}

async function failure(content: string | Uint8Array, name = "data.jsonl"): Promise<string> {
  const file = fileOf(content, name);
  const error = await Promise.resolve()
    .then(() => readAllRows(file))
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  expect(error).toBeInstanceOf(DataError);
  return (error as DataError).message.replaceAll(file, "FILE");
}

const LINES = '{"a":"é"}\n{"a":"思"}\n';
const ROWS = [{ a: "é" }, { a: "思" }];

describe("gzip", () => {
  test.each([
    ["data.jsonl.gz", LINES],
    ["data.JSONL.GZ", LINES],
    ["data.json.gz", '[{"a":"é"},{"a":"思"}]'],
    ["data.csv.gz", "a\né\n思\n"],
    ["data.tsv.gz", "a\né\n思\n"],
    // Some tools keep the name of what they pack.
    ["data.jsonl", LINES],
  ])("%s is unpacked while it is read", async (name, text) => {
    expect(await fieldsOf(gzipSync(text), name)).toEqual(ROWS);
  });

  test("several members are one text, cut anywhere", async () => {
    const bytes = Buffer.from(LINES);
    const members = [bytes.subarray(0, 7), bytes.subarray(7, 8), bytes.subarray(8)].map((part) => gzipSync(part));
    expect(await fieldsOf(Buffer.concat(members), "data.jsonl.gz")).toEqual(ROWS);
  });

  test("zeros behind the last member are padding, other bytes are not", async () => {
    const packed = gzipSync(LINES);
    expect(await fieldsOf(Buffer.concat([packed, Buffer.alloc(512)]), "data.jsonl.gz")).toEqual(ROWS);
    expect(await failure(Buffer.concat([packed, Buffer.from("more")]), "data.jsonl.gz")).toMatch(
      /^FILE is gzipped and damaged/,
    );
  });

  test("what is cut off or damaged is refused, and nothing of it is taken for all", async () => {
    const packed = gzipSync(LINES.repeat(10_000));
    expect(await failure(packed.subarray(0, packed.length - 30), "data.jsonl.gz")).toBe(
      "FILE is gzipped and ends too early: it was cut off. Get it again.",
    );
    const damaged = Buffer.from(packed);
    damaged[packed.length - 6]! ^= 0xff;
    expect(await failure(damaged, "data.jsonl.gz")).toMatch(/^FILE is gzipped and damaged \(.*\)\. Get it again\.$/);
    expect(await failure(gzipSync(packed), "data.jsonl.gz")).toBe("FILE is gzipped twice. Unpack it once.");
  });

  test("what unpacks to more than the limits is refused after so much of it", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 2 ** 20, "x"));
    expect(bomb.length).toBeLessThan(2 ** 20);
    expect(await failure(bomb, "data.jsonl.gz")).toMatch(/^FILE:1: expected a line of at most 16777216 bytes/);
    expect(await failure(bomb, "data.csv.gz")).toMatch(/longer than 16777216 bytes/);
    const file = fileOf(gzipSync("\n".repeat(100_000)), "data.jsonl.gz");
    await expect(readAllJsonl(file, { maxLineBytes: 100, maxFileBytes: 50_000 })).rejects.toThrow(
      `${file}: expected at most 50000 bytes, the file unpacks to more. Split it.`,
    );
  });
});

test.runIf(process.platform === "linux")("a file that is refused, or read in part, is closed", async () => {
  const open = () => readdirSync("/proc/self/fd").length;
  const [page, packed] = [fileOf("<html>", "page.jsonl"), fileOf(gzipSync(LINES.repeat(100_000)), "rows.jsonl.gz")];
  const before = open();
  for (let i = 0; i < 10; i++) {
    await expect(readAllRows(page)).rejects.toThrow("web page");
    for await (const _ of readRows(packed)) break;
  }
  await vi.waitFor(() => expect(open()).toBeLessThanOrEqual(before + 1));
});

describe("encodings", () => {
  const utf16 = (text: string, isBigEndian: boolean) => {
    const bytes = Buffer.from(`\uFEFF${text}`, "utf16le");
    return isBigEndian ? bytes.swap16() : bytes;
  };

  test.each([false, true])("UTF-16 with a byte order mark is read (big-endian: %s)", async (isBigEndian) => {
    expect(await fieldsOf(utf16("a,b\r\né,思\r\n", isBigEndian), "data.csv")).toEqual([{ a: "é", b: "思" }]);
    expect(await fieldsOf(utf16(LINES, isBigEndian), "data.jsonl")).toEqual(ROWS);
    expect(await fieldsOf(utf16("a\tb\r\n1\t2\r\n", isBigEndian), "data.tsv")).toEqual([{ a: "1", b: "2" }]);
  });

  test("UTF-16 without one, and half a character, are refused", async () => {
    expect(await failure(utf16(LINES, false).subarray(2))).toMatch(
      /^FILE: expected UTF-8 text, the file has zero bytes/,
    );
    expect(await failure(Buffer.concat([utf16(LINES, false), Buffer.from([0x20])]))).toMatch(
      /^FILE begins as UTF-16 text/,
    );
  });
});

describe("what is no text is named, whatever its ending", () => {
  test.each([
    [
      "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
      /^FILE is a Git LFS pointer.*"git lfs pull" in /,
    ],
    [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x00]), /^FILE is compressed with zstd, which is not read/],
    [Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]), /^FILE is compressed with xz/],
    ["PK\x03\x04....", /^FILE is a zip archive/],
    ["PAR1\x15\x04", /^FILE is a Parquet file/],
    ["ARROW1\0\0", /^FILE is an Arrow file/],
    ["SQLite format 3\0", /^FILE is an SQLite database/],
    ["<!DOCTYPE html>\n<html>", /^FILE is a web page/],
  ])("%j", async (content, message) => {
    const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
    expect(await failure(bytes)).toMatch(message);
    expect(await failure(bytes, "data.csv")).toMatch(message);
    expect(await failure(gzipSync(bytes), "data.csv.gz")).toMatch(message);
  });

  test.each(["data.jsonl.zst", "data.csv.bz2", "data.json.xz", "data.csv.zip", "data.parquet.gz"])(
    "%s",
    async (name) => {
      expect(await failure("{}", name)).toMatch(
        /^FILE is packed as \.\w+, which is not read for such files: unpack it first/,
      );
    },
  );

  test("a pointer in place of a Parquet file", async () => {
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    expect(await failure(pointer, "data.parquet")).toMatch(/^FILE is a Git LFS pointer/);
  });
});
