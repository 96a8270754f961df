import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { readRemoteArtifact, writeRemoteArtifact } from "../../src/engine/contract/artifact.ts";
import { CheckpointError } from "../../src/errors.ts";
import { emptyDirectory } from "./models.ts";

describe("a directory whose content is elsewhere", () => {
  it("says where, and by what digest it is known", async () => {
    const directory = await emptyDirectory();
    const artifact = { uri: "tinker://run/weights/step-3", digest: "sha256:00ff" };
    await writeRemoteArtifact(diskFolder(directory), artifact);
    expect(await readRemoteArtifact(diskFolder(directory))).toEqual(artifact);
  });

  it("is refused where it does not say: CheckpointError", async () => {
    const directory = await emptyDirectory();
    await expect(readRemoteArtifact(diskFolder(directory))).rejects.toThrow(CheckpointError);
    await writeFile(join(directory, "artifact.json"), '{"uri": ""}');
    await expect(readRemoteArtifact(diskFolder(directory))).rejects.toThrow(/does not say where its content is/);
  });
});
