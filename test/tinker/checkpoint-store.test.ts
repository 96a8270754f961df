import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { CheckpointStore } from "../../src/serve/tinker/checkpoint-store.ts";
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
  const store = new CheckpointStore(root);
  expect(await store.list()).toEqual([]);
  expect(await store.runs()).toEqual([]);
  await store.sweep();
});

describe("a sweep of the checkpoints", () => {
  it("removes from the disk those whose time is over, and no other", async () => {
    const store = new CheckpointStore(await emptyDirectory());
    const save = (name: string, ttlSeconds: number | null) =>
      store.save(
        { modelId: "a:train:0", kind: "weights", name },
        MODEL,
        { overwrite: false, ttlSeconds },
        (directory) => writeFile(join(directory, "state"), name),
      );
    const [over, later, kept] = [await save("over", 0), await save("later", 3600), await save("kept", null)];
    expect((await store.list()).map(({ path }) => path.name)).toEqual(["later", "kept"]);
    expect(existsSync(over.directory)).toBe(true);
    await store.sweep();
    expect([over, later, kept].map(({ directory }) => existsSync(directory))).toEqual([false, true, true]);
    expect((await store.list()).map(({ path }) => path.name)).toEqual(["later", "kept"]);
  });
});
