import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readAllRows } from "../../src/data/formats.ts";
import { DataError } from "../../src/errors.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const makeFiles = temporaryFolder();

async function read(text: string | Uint8Array, name = "data.csv") {
  const file = join(makeFiles({ [name]: text }), name);
  const rows = await readAllRows(file);
  return rows.map(({ fields, line }) => ({ ...fields, line }));
}

async function failure(text: string | Uint8Array): Promise<string> {
  const folder = makeFiles({ "data.csv": text });
  const error = await readAllRows(join(folder, "data.csv")).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(DataError);
  return (error as DataError).message.replaceAll(`${folder}/`, "");
}

describe("CSV", () => {
  test("cells are text, by the names of the first line; quoted ones hold commas, quotes and line feeds", async () => {
    expect(await read('nums,target\n"[6, 3, 3]",54\n"say ""hi""\nthere",\n')).toEqual([
      { nums: "[6, 3, 3]", target: "54", line: 2 },
      { nums: 'say "hi"\nthere', target: "", line: 3 },
    ]);
  });

  test("a byte order mark, \\r\\n, empty lines and a missing last line feed are nothing special", async () => {
    expect(await read('\uFEFFa,b\r\n1,"x\r\ny"\r\n\r\n3,4')).toEqual([
      { a: "1", b: "x\r\ny", line: 2 },
      { a: "3", b: "4", line: 5 },
    ]);
  });

  test("records may end with CR alone, quoted cells hold any line end, and lines are counted by either", async () => {
    expect(await read('a,b\r1,"x\ry"\r3,"p\r\nq"\r\r5,6')).toEqual([
      { a: "1", b: "x\ry", line: 2 },
      { a: "3", b: "p\r\nq", line: 4 },
      { a: "5", b: "6", line: 7 },
    ]);
    expect(await read("a,b\n1,2\r\n3,4\r5,6\n")).toEqual([
      { a: "1", b: "2", line: 2 },
      { a: "3", b: "4", line: 3 },
      { a: "5", b: "6", line: 4 },
    ]);
  });

  test("a line end that is cut by the end of a piece of the file is one", async () => {
    const cells = "x".repeat(65_532);
    // CR is byte 65,535 of the file, the last one of its first piece.
    const rows = await read(`a\r\n${cells}\r\ny\r\n`);
    expect(rows).toEqual([
      { a: cells, line: 2 },
      { a: "y", line: 3 },
    ]);
    expect(await read(`a\r${cells}x\ry\r`)).toEqual([
      { a: `${cells}x`, line: 2 },
      { a: "y", line: 3 },
    ]);
  });

  test("a file without a line has no rows", async () => {
    expect(await read("")).toEqual([]);
    expect(await read("a,b\n")).toEqual([]);
  });

  test("a first column without a name is the index that pandas writes", async () => {
    expect(await read(",a\n0,x\n")).toEqual([{ "Unnamed: 0": "0", a: "x", line: 2 }]);
  });

  test("tabs separate the cells of a .tsv file", async () => {
    expect(await read("a\tb\n1,5\t2\n", "data.tsv")).toEqual([{ a: "1,5", b: "2", line: 2 }]);
  });

  test("characters that are cut by the end of a piece of the file arrive whole", async () => {
    const text = `a\n${Array.from({ length: 9000 }, (_, i) => `${"é思".repeat(3)}${i}`).join("\n")}\n`;
    const rows = await read(text);
    expect(rows).toHaveLength(9000);
    expect(rows.every((row, i) => (row as { a?: string }).a === `é思é思é思${i}`)).toBe(true);
  });

  test.each([
    ["a,b\n1,2\n3\n", "data.csv:3: expected 2 cells, one for each column (a, b), the row has 1."],
    ['a,b\n"x\ny",2\n\n3,4,5\n', "data.csv:5: expected 2 cells, one for each column (a, b), the row has 3."],
    ['a,b\n1,2\n3,"x\n4,5\n', "data.csv:3: a quote that opens in the row which begins here is never closed."],
    ['a,b\n1,2\n3,"x"y\n', "data.csv:3: the row which begins here breaks CSV's rules"],
    [
      "a,a\n1,2\n",
      'data.csv:1: expected a first line that names every column, each differently, but "a" stands there twice.',
    ],
    [
      "a,\n1,2\n",
      "data.csv:1: expected a first line that names every column, each differently, but column 2 has no name.",
    ],
    ["a;b\n1;2\n", "data.csv:1: expected cells with commas between them, but the first line has semicolons: a;b."],
    ["a\tb\n1\t2\n", "data.csv:1: expected cells with commas between them, but the first line has tabs"],
    [Buffer.from([0x61, 0x0a, 0xff, 0x0a]), "data.csv: expected UTF-8 text, which it is not at line 1 or soon after."],
  ])("%j is refused with file and line", async (text, message) => {
    expect(await failure(text)).toContain(message);
  });

  test("a quote left open in a large file is refused before the file is in memory", async () => {
    const text = `a,b\n1,"${"x".repeat(17 * 2 ** 20)}\n`;
    expect(await failure(text)).toContain("data.csv:2: the row which begins here is longer than");
  });
});
