import { describe, expect, it } from "vitest";
import { CheckpointError } from "../src/errors.ts";
import { writeText } from "../src/folder.ts";
import { OpfsFolder, StorageFullError } from "../src/opfs-folder.ts";
import { FakeDirectory } from "./web/fake-opfs.ts";

const LIMIT = { maxBytes: 100, error: CheckpointError };

describe("a folder of the private file system", () => {
  it("keeps files and folders, replaces and removes them", async () => {
    const root = new FakeDirectory();
    const folder = new OpfsFolder(root);
    await writeText(folder.folder("run").folder("model"), "config.json", "{}");
    await writeText(folder.folder("run"), "recipe.json", "one");
    await writeText(folder.folder("run"), "recipe.json", "two");
    const again = new OpfsFolder(root).at("opfs:/run");
    expect([...(await again.names())].sort()).toEqual(["model", "recipe.json"]);
    expect(await again.readText("recipe.json", LIMIT)).toBe("two");
    expect(again.pathOf("recipe.json")).toBe("opfs:/run/recipe.json");
    await again.remove("model");
    await again.remove("what is not there");
    expect(await again.names()).toEqual(["recipe.json"]);
  });

  it("has nothing in a folder that does not exist, and says so of a file that is opened", async () => {
    const folder = new OpfsFolder(new FakeDirectory()).folder("nowhere");
    expect(await folder.names()).toEqual([]);
    expect(await folder.readText("a", LIMIT)).toBeUndefined();
    await folder.remove("a");
    await expect(folder.open("a")).rejects.toThrow("Cannot read opfs:/nowhere/a: it does not exist.");
    expect(() => folder.at("opfs:/elsewhere")).toThrow("opfs:/elsewhere is not in opfs:/nowhere.");
  });

  it("reads parts of a file, and no text that is too long or none", async () => {
    const folder = new OpfsFolder(new FakeDirectory());
    await folder.write("numbers", async (sink) => {
      const bytes = Uint8Array.of(1, 2, 3);
      await sink.write(bytes);
      bytes.fill(9);
      await sink.write(Uint8Array.of(4, 5));
    });
    const file = await folder.open("numbers");
    const part = new Uint8Array(3);
    expect([file.sizeBytes, await file.read(part, 3), ...part]).toEqual([5, 2, 4, 5, 0]);
    expect(await file.read(part, 5)).toBe(0);
    await writeText(folder, "long", "x".repeat(101));
    await expect(folder.readText("long", LIMIT)).rejects.toThrow("opfs:/long has 101 bytes; at most 100 are read");
    await folder.write("bad", (sink) => sink.write(Uint8Array.of(0xff)));
    await expect(folder.readText("bad", LIMIT)).rejects.toThrow("is not UTF-8 text");
  });

  it("leaves a file as it was where writing it fails, and nothing else behind", async () => {
    const root = new FakeDirectory();
    const folder = new OpfsFolder(root);
    await writeText(folder, "state", "whole");
    const failing = folder.write("state", async (sink) => {
      await sink.write(Uint8Array.of(1));
      throw new Error("no more numbers");
    });
    await expect(failing).rejects.toThrow("no more numbers");
    expect(await folder.readText("state", LIMIT)).toBe("whole");
    expect([...root.entries.keys()]).toEqual(["state"]);
  });

  it("does not see what a tab that was closed left half written, and replaces it", async () => {
    const root = new FakeDirectory();
    const folder = new OpfsFolder(root);
    await root.getFileHandle("state.partial", { create: true });
    expect(await folder.names()).toEqual([]);
    await writeText(folder, "state", "whole");
    expect([...root.entries.keys()]).toEqual(["state"]);
  });

  it("says that storage is full, and loses nothing", async () => {
    const quota = { bytes: 20, used: 0 };
    const folder = new OpfsFolder(new FakeDirectory(quota));
    await writeText(folder, "state", "x".repeat(8));
    const tooMuch = writeText(folder, "state", "y".repeat(15));
    await expect(tooMuch).rejects.toThrow(StorageFullError);
    await expect(tooMuch).rejects.toThrow(/no room for opfs:\/state .* What was saved before is untouched/);
    expect(await folder.readText("state", LIMIT)).toBe("x".repeat(8));
    expect(quota.used).toBe(8);
    quota.bytes = 100;
    await writeText(folder, "state", "y".repeat(15));
    expect(await folder.readText("state", LIMIT)).toBe("y".repeat(15));
  });
});
