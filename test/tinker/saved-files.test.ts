/** What a policy on a Tinker server leaves in directories here. */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { SavedFiles } from "../../src/engine/tinker/saved-files.ts";
import { CheckpointError } from "../../src/errors.ts";
import { emptyDirectory } from "../engine/models.ts";

it("a directory names its state and the reference, none where there is no state, and fails where it cannot be read", async () => {
  const directory = await emptyDirectory();
  const files = new SavedFiles(diskFolder, directory);
  expect(await files.namedBy(directory)).toEqual([]);
  expect(await files.namedBy(join(directory, "nowhere"))).toEqual([]);
  const state = { profile: "aha", baseModel: "tiny", reference: "tinker://m/weights/reference" };
  await files.writeState(directory, { uri: "tinker://m/weights/1", digest: "1" }, state);
  expect(await files.namedBy(directory)).toEqual(["tinker://m/weights/1", "tinker://m/weights/reference"]);
  const damaged = await emptyDirectory();
  await writeFile(join(damaged, "artifact.json"), "{}");
  await expect(files.namedBy(damaged)).rejects.toThrow(CheckpointError);
  const unreadable = await emptyDirectory();
  await mkdir(join(unreadable, "tinker.json"));
  await expect(files.namedBy(unreadable)).rejects.toThrow(CheckpointError);
});
