/**
 * States and weights of an engine that runs elsewhere. They are not in the directory that the engine was told to write
 * into; a small file in that directory says where they are. The directory then stands for them everywhere: it is
 * checked, copied and hashed like any other, and the hash covers the digest in the file.
 */

import { z } from "zod";
import { CheckpointError } from "../../errors.ts";
import { type Folder, writeJson } from "../../folder.ts";
import { parseJson } from "../../json-text.ts";

/** The file's name. */
export const ARTIFACT_FILE = "artifact.json";
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

/** Writes into an existing folder where its content is. */
export function writeRemoteArtifact(folder: Folder, { uri, digest }: RemoteArtifact): Promise<void> {
  return writeJson(folder, ARTIFACT_FILE, { uri, digest });
}

/** Where the content of a folder is. Throws CheckpointError for a folder that does not say so. */
export async function readRemoteArtifact(folder: Folder): Promise<RemoteArtifact> {
  const path = folder.pathOf(ARTIFACT_FILE);
  const text = await folder.readText(ARTIFACT_FILE, { maxBytes: MAX_BYTES, error: CheckpointError });
  if (text === undefined) throw new CheckpointError(`Cannot read ${path}: it does not exist.`);
  const parsed = schema.safeParse(parseJson(text, path, CheckpointError));
  if (parsed.success) return parsed.data;
  throw new CheckpointError(`${path} does not say where its content is: ${z.prettifyError(parsed.error)}`);
}
