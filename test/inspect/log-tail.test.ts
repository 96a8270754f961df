import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { LogTail } from "../../src/inspect/log-tail.ts";

let path: string;
beforeEach(() => {
  path = join(mkdtempSync(join(tmpdir(), "aha-tail-")), "log.jsonl");
});

const poll = async (tail: LogTail) => {
  const { restarted, rows } = await tail.poll();
  return { restarted, values: rows.map(({ value }) => value.n) };
};

describe("a log that grows", () => {
  it("gives each line once, and none before its line feed", async () => {
    const tail = new LogTail(path);
    expect(await poll(tail)).toEqual({ restarted: false, values: [] });
    writeFileSync(path, '{"n":1}\n{"n":2}\n{"n":');
    expect(await poll(tail)).toEqual({ restarted: false, values: [1, 2] });
    expect(await poll(tail)).toEqual({ restarted: false, values: [] });
    appendFileSync(path, '3}\n{"n":4}\n');
    expect(await poll(tail)).toEqual({ restarted: false, values: [3, 4] });
  });

  it("says where lines stand, so that they can be read again", async () => {
    writeFileSync(path, '{"n":1}\n{"n":"ü"}\n');
    const { rows } = await new LogTail(path).poll();
    expect(rows.map(({ start, end }) => [start, end])).toEqual([
      [0, 8],
      [8, 19],
    ]);
  });

  it("leaves out damaged lines, and counts them by their numbers", async () => {
    const tail = new LogTail(path);
    writeFileSync(path, '{"n":1}\nnonsense\n[1]\nnull\n{"n":2}\n\u0000\u0000\n');
    expect(await poll(tail)).toEqual({ restarted: false, values: [1, 2] });
    expect(tail.damaged).toBe(4);
    expect(tail.damagedLines).toEqual([2, 3, 4, 6]);
  });

  it("reads lines that are longer than a chunk", async () => {
    writeFileSync(path, `{"n":1,"text":"${"x".repeat(3_000_000)}"}\n{"n":2}\n`);
    expect(await poll(new LogTail(path))).toEqual({ restarted: false, values: [1, 2] });
  });
});

describe("a log that a resume has cut back", () => {
  it("is read from its beginning where it is shorter", async () => {
    const tail = new LogTail(path);
    writeFileSync(path, '{"n":1}\n{"n":2}\n{"n":3}\n');
    await tail.poll();
    writeFileSync(path, '{"n":1}\n');
    expect(await poll(tail)).toEqual({ restarted: true, values: [1] });
  });

  it("is so too where it has grown again since, with other rows", async () => {
    const tail = new LogTail(path);
    writeFileSync(path, '{"n":1}\n{"n":2}\n');
    await tail.poll();
    writeFileSync(path, '{"n":1}\n{"n":7}\n{"n":8}\n');
    expect(await poll(tail)).toEqual({ restarted: true, values: [1, 7, 8] });
  });

  it("goes on where what was read is still there: equal runs write equal rows", async () => {
    const tail = new LogTail(path);
    writeFileSync(path, '{"n":1}\n{"n":2}\n');
    await tail.poll();
    writeFileSync(path, '{"n":1}\n{"n":2}\n{"n":3}\n');
    expect(await poll(tail)).toEqual({ restarted: false, values: [3] });
  });

  it("is nothing where it is gone, and new where another file takes its place", async () => {
    const tail = new LogTail(path);
    writeFileSync(path, '{"n":1}\n');
    await tail.poll();
    rmSync(path);
    expect(await poll(tail)).toEqual({ restarted: true, values: [] });
    writeFileSync(`${path}.new`, '{"n":5}\n{"n":6}\n');
    renameSync(`${path}.new`, path);
    expect(await poll(tail)).toEqual({ restarted: false, values: [5, 6] });
  });
});
