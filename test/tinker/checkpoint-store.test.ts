import { existsSync, readdirSync } from "node:fs";
import { mkdir, open, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { CheckpointRoom } from "../../src/serve/tinker/checkpoint-room.ts";
import { CheckpointStore } from "../../src/serve/tinker/checkpoint-store.ts";
import { TINKER_LIMITS } from "../../src/serve/tinker/limits.ts";
import { formatTinkerPath, type TinkerPath } from "../../src/tinker/tinker-path.ts";
import { emptyDirectory } from "../engine/models.ts";

const MODEL = {
  baseModel: "tiny",
  lora: { rank: 2, alpha: 4, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS },
  seed: 1,
  userMetadata: null,
  savedBy: 1,
};

it("checkpoints are listed and swept beside files that are none of theirs", async () => {
  const root = await emptyDirectory();
  await writeFile(join(root, "notes.txt"), "mine");
  const store = new CheckpointStore(root, TINKER_LIMITS);
  expect(await store.list()).toEqual([]);
  expect(await store.runs()).toEqual([]);
  await store.sweep();
});

describe("a sweep of the checkpoints", () => {
  it("removes from the disk those whose time is over, and no other", async () => {
    const store = new CheckpointStore(await emptyDirectory(), TINKER_LIMITS);
    const save = (name: string, ttlSeconds: number | null) =>
      store.save(
        { modelId: "a:train:0", kind: "weights", name },
        MODEL,
        { overwrite: false, ttlSeconds },
        (directory) => writeFile(join(directory, "state"), name),
      );
    const [later, kept, over] = [await save("later", 3600), await save("kept", null), await save("over", 0)];
    expect((await store.list()).map(({ path }) => path.name)).toEqual(["later", "kept"]);
    expect(existsSync(over.directory)).toBe(true);
    await store.sweep();
    expect([over, later, kept].map(({ directory }) => existsSync(directory))).toEqual([false, true, true]);
    expect((await store.list()).map(({ path }) => path.name)).toEqual(["later", "kept"]);
  });
});

/** A store, and what saves so many bytes in it. */
async function storeWith(limits: Partial<typeof TINKER_LIMITS>, root?: string) {
  const directory = root ?? (await emptyDirectory());
  const store = new CheckpointStore(directory, { ...TINKER_LIMITS, ...limits });
  const save = (modelId: string, name: string, bytes = 1, more: { overwrite?: boolean; ttlSeconds?: number } = {}) =>
    store.save(
      { modelId, kind: "weights", name },
      MODEL,
      { overwrite: more.overwrite === true, ttlSeconds: more.ttlSeconds ?? null },
      (into) => writeFile(join(into, "state"), new Uint8Array(bytes)),
    );
  const names = async () => (await store.list()).map(({ path }) => formatTinkerPath(path).slice("tinker://".length));
  return { root: directory, store, save, names };
}

describe("checkpoints without end", () => {
  it("count also where what was noted of one is forgotten, with the one before it, while it is written", async () => {
    const { save } = await storeWith({ mostCheckpoints: 2 });
    vi.spyOn(CheckpointRoom.prototype, "note").mockImplementationOnce(() => {});
    await save("one:train:0", "first");
    await save("other:train:0", "second");
    await expect(save("third:train:0", "third")).rejects.toThrow(/keeps 2 checkpoints/);
    vi.restoreAllMocks();
  });

  it("are refused when a session has four times as many as it leaves, and others still save", async () => {
    const { store, save, names, root } = await storeWith({ mostCheckpoints: 10 });
    // Eight and two are left; a ninth would be more than four times the one.
    for (let i = 0; i < 8; i++) await save("loop:train:0", `step-${i}`);
    const another = save("loop:train:1", "step-8");
    await expect(another).rejects.toMatchObject({ name: "RequestFailure", category: "user" });
    await expect(another).rejects.toThrow(
      /no room for tinker:\/\/loop:train:1\/weights\/step-8.*8 checkpoints of at most 10, 8 of them this session's/,
    );
    await expect(another).rejects.toThrow(/oldest one is tinker:\/\/loop:train:0\/weights\/step-0.*Delete some/);
    expect(existsSync(join(root, "loop~train~1", "weights", "step-8"))).toBe(false);
    await save("other:train:0", "one");
    await save("third:train:0", "two");
    await expect(save("fourth:train:0", "three")).rejects.toThrow(/10 checkpoints of at most 10, 0 of them/);
    // In the place of one that is there, and where one went.
    await save("loop:train:0", "step-3", 1, { overwrite: true });
    await store.remove({ modelId: "loop:train:0", kind: "weights", name: "step-0" });
    await save("fourth:train:0", "three");
    expect(await names()).toHaveLength(10);
  });

  it("count by their bytes, too, of which nothing stays where there is no room", async () => {
    const { save, names, root } = await storeWith({ mostCheckpointBytes: 2 ** 20 });
    await save("loop:train:0", "a", 500_000);
    const refused = save("loop:train:0", "b", 500_000);
    await expect(refused).rejects.toThrow(/keeps 48\d\.\d KiB of checkpoints, at most 1\.0 MiB/);
    await save("other:train:0", "c", 500_000);
    expect(await names()).toEqual(["loop:train:0/weights/a", "other:train:0/weights/c"]);
    expect(readdirSync(join(root, "loop~train~0", "weights"))).toEqual(["a"]);
    // The older one stays where the one in its place is too large, and counts as before.
    await expect(save("loop:train:0", "a", 900_000, { overwrite: true })).rejects.toThrow(/no room/);
    expect((await names())[0]).toBe("loop:train:0/weights/a");
    await save("loop:train:0", "a", 400_000, { overwrite: true });
  });

  it("that are saved at the same time do not take the same room", async () => {
    const { save, names } = await storeWith({ mostCheckpoints: 3 });
    const all = Array.from({ length: 8 }, (_, i) => save(`s${i}:train:0`, "one"));
    const outcomes = await Promise.allSettled(all);
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
    expect(await names()).toHaveLength(3);
  });

  it("count in the next server, without those whose time is over and without halves of some", async () => {
    const { root, save } = await storeWith({});
    await save("a:train:0", "kept");
    await save("a:train:0", "over", 1, { ttlSeconds: 0 });
    const half = join(root, "a~train~0", "weights", ".unfinished-half-1");
    await mkdir(half);
    const { save: next, store } = await storeWith({ mostCheckpoints: 2 }, root);
    await next("b:train:0", "one");
    expect(existsSync(half)).toBe(false);
    await expect(next("c:train:0", "one")).rejects.toThrow(/2 checkpoints of at most 2/);
    // The one whose time was over went for the first of these; who samples from it is told by the sweep.
    expect((await store.sweep()).map(({ name }) => name)).toEqual(["over"]);
  });
});

describe("a disk", () => {
  it("of which too little is free takes no checkpoint", async () => {
    const { save, names } = await storeWith({ leastFreeDiskBytes: Number.MAX_SAFE_INTEGER });
    const refused = save("a:train:0", "one");
    await expect(refused).rejects.toMatchObject({ category: "server" });
    await expect(refused).rejects.toThrow(/disk has .* free, of which .* stay free.*Delete some/);
    expect(await names()).toEqual([]);
  });

  it("gives a session four fifths of what is free of it", () => {
    const path: TinkerPath = { modelId: "a:train:0", kind: "weights", name: "next" };
    const room = new CheckpointRoom({ ...TINKER_LIMITS, leastFreeDiskBytes: 100 });
    const [savedAt, expiresAt] = ["2026-01-01", null];
    room.note("there", { path: { ...path, name: "there" }, savedAt, expiresAt, bytes: 700 });
    // Of 1,000 bytes 100 stay free and 700 are taken; four fifths of 900 are 720.
    expect(() => room.require(path, "next", 0, 300)).not.toThrow();
    expect(() => room.require(path, "next", 20, 280)).not.toThrow();
    expect(() => room.require(path, "next", 21, 279)).toThrow(/no room/);
    expect(() => room.require({ ...path, modelId: "b:train:0" }, "next", 150, 150)).not.toThrow();
    expect(() => room.require({ ...path, modelId: "b:train:0" }, "next", 250, 50)).toThrow(/no room/);
  });

  it("that is full is told so, and nothing of what was begun stays", async () => {
    const { store, names, root } = await storeWith({});
    const path: TinkerPath = { modelId: "a:train:0", kind: "weights", name: "one" };
    const options = { overwrite: false, ttlSeconds: null };
    const write = async (directory: string) => {
      await writeFile(join(directory, "first"), "whole");
      // Linux refuses what is written to this device as a disk that is full does.
      const device = existsSync("/dev/full") ? await open("/dev/full", "w") : undefined;
      try {
        await device?.writeFile("second");
      } finally {
        await device?.close();
      }
      throw Object.assign(new Error("no space left"), { code: "ENOSPC", syscall: "write" });
    };
    const refused = store.save(path, MODEL, options, write);
    await expect(refused).rejects.toMatchObject({ name: "RequestFailure", category: "server" });
    await expect(refused).rejects.toThrow(/disk is full, and nothing was saved\. Delete some/);
    expect(await names()).toEqual([]);
    expect(readdirSync(join(root, "a~train~0", "weights"))).toEqual([]);
  });
});
