import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { AhaError, CheckpointError, DataError } from "../src/errors.ts";
import { readTextFile, readTextFileIfPresent, writeWhole, writeWholeFile } from "../src/files.ts";

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aha-files-"));
});
afterAll(() => rm(scratch, { recursive: true }));

const limit = { maxBytes: 10, error: DataError };

describe("writeWhole", () => {
  it("creates and replaces a file and leaves nothing else behind", async () => {
    const directory = await mkdtemp(join(scratch, "whole-"));
    await writeWhole(join(directory, "a.txt"), "one");
    await writeWhole(join(directory, "a.txt"), "two");
    expect(await readFile(join(directory, "a.txt"), "utf8")).toBe("two");
    expect(await readdir(directory)).toEqual(["a.txt"]);
  });

  it("changes nothing where the writer throws half-way", async () => {
    const directory = await mkdtemp(join(scratch, "throws-"));
    await writeWhole(join(directory, "a.txt"), "old");
    const failing = writeWholeFile(join(directory, "a.txt"), async (file) => {
      await file.write("half of the ne");
      throw new Error("stopped");
    });
    await expect(failing).rejects.toThrow("stopped");
    expect(await readFile(join(directory, "a.txt"), "utf8")).toBe("old");
    expect(await readdir(directory)).toEqual(["a.txt"]);
  });

  it("keeps parallel writers of one file apart", async () => {
    const path = join(await mkdtemp(join(scratch, "parallel-")), "a.txt");
    await Promise.all(Array.from({ length: 8 }, (_, i) => writeWhole(path, String(i).repeat(1000))));
    expect(await readFile(path, "utf8")).toMatch(/^(\d)\1{999}$/);
  });

  it("reports a folder that is not there as an AhaError with the path", async () => {
    const path = join(scratch, "absent", "a.txt");
    await expect(writeWhole(path, "x")).rejects.toThrow(AhaError);
    await expect(writeWhole(path, "x")).rejects.toThrow(`Cannot write ${path}: it does not exist`);
  });

  it.skipIf(process.getuid?.() === 0 || process.platform === "win32")(
    "reports a folder without permission",
    async () => {
      const directory = join(scratch, "locked");
      await mkdir(directory);
      await chmod(directory, 0o500);
      await expect(writeWhole(join(directory, "a.txt"), "x")).rejects.toThrow(/permission denied/);
      await chmod(directory, 0o700);
    },
  );
});

describe("readTextFile", () => {
  it("reads up to the limit and refuses one byte more, with the error class that was asked for", async () => {
    await writeFile(join(scratch, "ten"), "0123456789");
    await writeFile(join(scratch, "eleven"), "0123456789a");
    expect(await readTextFile(join(scratch, "ten"), limit)).toBe("0123456789");
    await expect(readTextFile(join(scratch, "eleven"), limit)).rejects.toThrow(DataError);
    await expect(readTextFile(join(scratch, "eleven"), { ...limit, error: CheckpointError })).rejects.toThrow(
      CheckpointError,
    );
  });

  it("refuses what is not UTF-8, a directory, and a file that is not there", async () => {
    await writeFile(join(scratch, "latin1"), Buffer.from([0x63, 0xe9]));
    await expect(readTextFile(join(scratch, "latin1"), limit)).rejects.toThrow(/not UTF-8/);
    await expect(readTextFile(scratch, limit)).rejects.toThrow(/not a regular file/);
    await expect(readTextFile(join(scratch, "absent"), limit)).rejects.toThrow(/does not exist/);
  });

  it.skipIf(process.platform === "win32")("refuses a device, which would never end", async () => {
    await symlink("/dev/zero", join(scratch, "endless"));
    await expect(readTextFile(join(scratch, "endless"), limit)).rejects.toThrow(/not a regular file/);
  });

  it("if present: undefined where there is none, an error where there is a bad one", async () => {
    expect(await readTextFileIfPresent(join(scratch, "absent"), limit)).toBeUndefined();
    await expect(readTextFileIfPresent(join(scratch, "eleven"), limit)).rejects.toThrow(DataError);
  });
});
