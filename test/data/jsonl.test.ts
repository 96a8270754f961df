import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { type JsonlLimits, writeJsonl } from "../../src/data/jsonl.ts";
import { requireText } from "../../src/data/row.ts";
import { AhaError, DataError } from "../../src/errors.ts";
import { readAllJsonl } from "./read-all-jsonl.ts";

const directory = mkdtempSync(join(tmpdir(), "aha-jsonl-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function fileWith(content: string | Uint8Array): string {
  const file = join(directory, `${readdirSync(directory).length}.jsonl`);
  writeFileSync(file, content);
  return file;
}

async function failure(content: string | Uint8Array, limits?: JsonlLimits): Promise<string> {
  const file = fileWith(content);
  const error = await readAllJsonl(file, limits).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DataError);
  return (error as DataError).message.replaceAll(file, "FILE");
}

describe("reading", () => {
  test("gives each object with its file and line, blank lines counted but passed over", async () => {
    const file = fileWith('{"a":1}\n\n  \r\n{"b":"\\n"}');
    expect(await readAllJsonl(file)).toEqual([
      { fields: { a: 1 }, file, line: 1 },
      { fields: { b: "\n" }, file, line: 4 },
    ]);
  });

  test("takes CRLF line ends, a byte order mark and an empty file", async () => {
    expect((await readAllJsonl(fileWith('\uFEFF{"a":1}\r\n{"a":2}\r\n'))).map((row) => row.fields)).toEqual([
      { a: 1 },
      { a: 2 },
    ]);
    expect(await readAllJsonl(fileWith(""))).toEqual([]);
  });

  test("takes CR line ends, also one that is cut by a chunk boundary", async () => {
    const rows = (text: string) => readAllJsonl(fileWith(text));
    expect((await rows('{"a":1}\r\r{"a":"\\r"}\r')).map(({ fields, line }) => [fields.a, line])).toEqual([
      [1, 1],
      ["\r", 3],
    ]);
    const long = "x".repeat(65_536 - '{"a":""}\r'.length);
    for (const ending of ["\r", "\r\n"]) {
      const read = await rows(`{"a":"${long}"}${ending}{"a":2}${ending}`);
      expect(read.map(({ fields, line }) => [fields.a, line])).toEqual([
        [long, 1],
        [2, 2],
      ]);
    }
  });

  test("a list, whatever the file's ending, gives its objects; anything else is said to be neither", async () => {
    const file = fileWith('\uFEFF\n [{"a": 9007199254740993},\n{"a": NaN}]');
    expect(await readAllJsonl(file)).toEqual([
      { fields: { a: 9007199254740993n }, file, line: 1, unit: "row" },
      { fields: { a: null }, file, line: 2, unit: "row" },
    ]);
    expect(await readAllJsonl(fileWith("[]"))).toEqual([]);
    expect(await failure("\n[1,2]\n")).toBe("FILE, row 1: expected a JSON object with named columns, got 1.");
    expect(await failure("[1]\n[2]\n")).toMatch(/^FILE begins as a JSON list, and is not one as a whole: .*JSON Lines/);
    expect(await failure('{\n  "a": 1\n}\n')).toMatch(
      /^FILE:1: .* An object has to stand on one line; several may also/,
    );
  });

  test("numbers keep their value, in and out", async () => {
    const text = '{"id":9007199254740993,"x":[3.14159265358979323846,-18446744073709551615]}\n';
    const file = join(directory, "exact.jsonl");
    await writeJsonl(
      file,
      (await readAllJsonl(fileWith(text))).map(({ fields }) => fields),
    );
    expect(readFileSync(file, "utf8")).toBe(text);
  });

  test("joins lines and characters that are cut by a chunk boundary", async () => {
    const long = "é".repeat(100_000);
    const rows = await readAllJsonl(fileWith(`{"a":"${long}"}\n{"a":"x${long}"}\n`));
    expect(rows.map((row) => row.fields.a)).toEqual([long, `x${long}`]);
  });

  test("a line that is not JSON, or not an object, is named by file and line", async () => {
    expect(await failure('{"a":1}\n{"a":')).toMatch(/^FILE:2: expected one JSON object, the line is not JSON/);
    expect(await failure("{}\n[1,2]\n")).toBe("FILE:2: expected a JSON object with named fields, got [1,2].");
    expect(await failure(`{"a":${"[".repeat(200_000)}12345678901234567${"]".repeat(200_000)}}`)).toMatch(
      /^FILE:1: expected one JSON object, the line is nested too deeply/,
    );
    expect(await failure(`{"a":${"[".repeat(200_000)}${"]".repeat(200_000)}}`)).toMatch(
      /the line is nested too deeply/,
    );
    expect(await failure("null")).toMatch(/^FILE:1: expected a JSON object/);
  });

  test("bytes that are not UTF-8 are named by file and line", async () => {
    expect(await failure(Buffer.from([0x7b, 0x7d, 0x0a, 0xff, 0xfe]))).toMatch(/^FILE:2: expected UTF-8 text/);
  });

  test("a line or a file beyond its limit is refused", async () => {
    const limits = { maxLineBytes: 20, maxFileBytes: 40 };
    expect(await failure(`{}\n{"a":"${"x".repeat(24)}"}`, limits)).toMatch(
      /^FILE:2: expected a line of at most 20 bytes/,
    );
    expect(await failure("{}\n".repeat(20), limits)).toMatch(/^FILE: expected at most 40 bytes/);
  });

  test("a file that does not exist, or is a folder, is a DataError with its path", async () => {
    await expect(readAllJsonl(join(directory, "absent"))).rejects.toThrow(/Cannot read .*absent: it does not exist/);
    await expect(readAllJsonl(directory)).rejects.toThrow(/it is a directory/);
  });
});

describe("requireText", () => {
  const row = { fields: { promt: "x", completion: 3 }, file: "f.jsonl", line: 7 };

  test("an absent field names file, line, the fields there are and the nearest of them", () => {
    expect(() => requireText(row, "prompt")).toThrow(
      "f.jsonl:7: expected a text in the column prompt, which is not there; " +
        "the columns of this row are: promt, completion. Is promt meant?",
    );
  });

  test("a field of another type is shown", () => {
    expect(() => requireText(row, "completion")).toThrow("column completion, which is 3;");
  });
});

describe("writing", () => {
  test("what is written is what is read", async () => {
    const file = join(directory, "written.jsonl");
    const rows = Array.from({ length: 3000 }, (_, i) => ({ i, text: "ü\n" }));
    expect(await writeJsonl(file, rows)).toBe(3000);
    expect((await readAllJsonl(file)).map((row) => row.fields)).toEqual(rows);
  });

  test("where the rows fail half-way, an older file stays and nothing is left behind", async () => {
    const folder = mkdtempSync(join(directory, "half-"));
    const file = join(folder, "data.jsonl");
    writeFileSync(file, "old");
    async function* failing(): AsyncGenerator<object> {
      for (let i = 0; i < 5000; i++) yield { i };
      throw new Error("boom");
    }
    await expect(writeJsonl(file, failing())).rejects.toThrow("boom");
    expect(readFileSync(file, "utf8")).toBe("old");
    expect(readdirSync(folder)).toEqual(["data.jsonl"]);
  });

  test("a folder that does not exist is a clear error", async () => {
    await expect(writeJsonl(join(directory, "no", "such.jsonl"), [])).rejects.toThrow(AhaError);
  });
});
