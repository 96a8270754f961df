/** What a policy on a Tinker server leaves in directories here. */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { removeCheckpoint, SavedFiles } from "../../src/engine/tinker/saved-files.ts";
import { Transport, type WireResponse } from "../../src/engine/tinker/transport.ts";
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

it.each<[string, () => Promise<WireResponse>]>([
  ["is gone", () => Promise.reject(new Error("refused"))],
  ["is busy", () => Promise.resolve({ status: 429, header: () => null, body: new Uint8Array() })],
])("a checkpoint is asked to be removed once: a server that %s does not hold up the training", async (_, answer) => {
  const paths: string[] = [];
  const sleeps: number[] = [];
  const transport = new Transport({
    wire: ({ path }) => {
      paths.push(path);
      return answer();
    },
    clock: { now: () => 0, sleep: async (milliseconds) => void sleeps.push(milliseconds) },
    ...{ url: "http://there", apiKey: undefined, patienceMs: 300_000 },
  });
  await removeCheckpoint(transport, "tinker://m/weights/1");
  expect(paths).toEqual(["/api/v1/training_runs/m/checkpoints/weights/1"]);
  expect(sleeps).toEqual([]);
});
