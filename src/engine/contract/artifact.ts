/**
 * States and weights of an engine that runs elsewhere. They are not in the directory that the engine was told to write
 * into; a small file in that directory says where they are. The directory then stands for them everywhere: it is
 * checked, copied and hashed like any other, and the hash covers the digest in the file.
 */

import { join } from "node:path";
import { z } from "zod";
import { CheckpointError } from "../../errors.ts";
import { readTextFile, writeWhole } from "../../files.ts";
import { parseJson } from "../../json-text.ts";

const FILE = "artifact.json";
const MAX_BYTES = 1 << 16;

const schema = z.strictObject({
  uri: z.string().min(1),
  digest: z.string().min(1),
});

/** Something that an engine keeps elsewhere. */
export interface RemoteArtifact {
  /** Where it is, in the engine's own terms. */
  readonly uri: string;
  /** The digest of its content: equal digests mean equal bytes. */
  readonly digest: string;
}

/** Writes into an existing directory a file that says where the content is. */
export async function writeRemoteArtifact(directory: string, { uri, digest }: RemoteArtifact): Promise<void> {
  await writeWhole(join(directory, FILE), `${JSON.stringify({ uri, digest }, null, 2)}\n`);
}

/** Reads where the content of a directory is kept. Throws CheckpointError for a directory without that file. */
export async function readRemoteArtifact(directory: string): Promise<RemoteArtifact> {
  const path = join(directory, FILE);
  const text = await readTextFile(path, { maxBytes: MAX_BYTES, error: CheckpointError });
  const parsed = schema.safeParse(parseJson(text, path, CheckpointError));
  if (parsed.success) return parsed.data;
  throw new CheckpointError(`${path} does not say where its content is: ${z.prettifyError(parsed.error)}`);
}
