/**
 * The cache on disk, in the layout of Python's huggingface_hub, which reads what is here and whose files are read:
 *
 *     models--org--name/
 *       blobs/HASH               contents, by the Hub's entity tag: SHA-256, or git's hash of a small file
 *       snapshots/COMMIT/PATH    links to them: a checkout of that commit, perhaps of some files only
 *       refs/REVISION            the commit that a branch or tag pointed to when it was last looked up
 *       trees/COMMIT.json        the list of all files of that commit (huggingface_hub ≥ 2)
 *
 * A file in blobs/ is whole and checked; one that is being downloaded has another name (`partial-file.ts`). What it is
 * not: it never asks the network, and it removes nothing but what is damaged.
 */

import { copyFile, link, lstat, mkdir, readdir, rm, stat, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { z } from "zod";
import { HubError } from "../errors.ts";
import { readTextFileIfPresent, writeFailure, writeWhole } from "../files.ts";
import { parseJson } from "../json-text.ts";
import { type HubReference, isCommitHash } from "./reference.ts";
import { blobName, isSafePath, type RemoteFile } from "./remote-file.ts";

const TREE_FORMAT = 1;
const MAX_TREE_BYTES = 64 * 2 ** 20;
const MAX_REF_BYTES = 1024;
const GIT_HASH = /^[0-9a-f]{40}$/;
const SHA256 = /^[0-9a-f]{64}$/;

const treeSchema = z.looseObject({
  format_version: z.literal(TREE_FORMAT),
  files: z.record(
    z.string().refine(isSafePath),
    z.looseObject({
      size: z.int().min(0),
      blob_id: z.string().regex(GIT_HASH),
      lfs_sha256: z.string().regex(SHA256).nullish(),
      xet_hash: z.string().nullish(),
    }),
  ),
});

/** The part of the cache that belongs to one repository. */
export class RepositoryCache {
  readonly folder: string;

  constructor(cacheDirectory: string, { kind, name }: Pick<HubReference, "kind" | "name">) {
    this.folder = join(cacheDirectory, [`${kind}s`, ...name.split("/")].join("--"));
  }

  get blobs(): string {
    return join(this.folder, "blobs");
  }

  /** Where the files of a commit are. */
  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  /** The commit that a branch or tag pointed to when it was last looked up. */
  async readRef(revision: string): Promise<string | undefined> {
    const limit = { maxBytes: MAX_REF_BYTES, error: HubError };
    const path = join(this.folder, "refs", revision);
    const found = await stat(path).catch(() => undefined);
    // A branch "a" and one "a/b" cannot both be there: a folder is no reference.
    if (!found?.isFile()) return undefined;
    const commit = (await readTextFileIfPresent(path, limit))?.trim();
    return isCommitHash(commit) ? commit : undefined;
  }

  async writeRef(revision: string, commit: string): Promise<void> {
    if ((await this.readRef(revision)) === commit) return;
    const path = join(this.folder, "refs", revision);
    await makeFolder(dirname(path));
    await writeWhole(path, commit);
  }

  /** The list of files of a commit, or undefined where it is not here or not readable. */
  async readTree(commit: string): Promise<RemoteFile[] | undefined> {
    const path = this.treePath(commit);
    try {
      const text = await readTextFileIfPresent(path, { maxBytes: MAX_TREE_BYTES, error: HubError });
      if (text === undefined) return undefined;
      const tree = treeSchema.safeParse(parseJson(text, path, HubError));
      if (!tree.success) return undefined;
      return Object.entries(tree.data.files).map(([filePath, file]) => ({
        path: filePath,
        sizeBytes: file.size,
        gitHash: file.blob_id,
        sha256: file.lfs_sha256 ?? undefined,
        xetHash: file.xet_hash ?? undefined,
      }));
    } catch (error) {
      // The list can be downloaded again, so a damaged one counts as missing.
      if (error instanceof HubError) return undefined;
      throw error;
    }
  }

  async writeTree(commit: string, files: readonly RemoteFile[]): Promise<void> {
    const path = this.treePath(commit);
    const entries = [...files]
      .sort((a, b) => (a.path < b.path ? -1 : 1))
      .map(({ path: filePath, sizeBytes, gitHash, sha256, xetHash }) => [
        filePath,
        {
          size: sizeBytes,
          blob_id: gitHash,
          ...(sha256 === undefined ? {} : { lfs_sha256: sha256, lfs_size: sizeBytes }),
          ...(xetHash === undefined ? {} : { xet_hash: xetHash }),
        },
      ]);
    await makeFolder(dirname(path));
    await writeWhole(
      path,
      JSON.stringify({ format_version: TREE_FORMAT, files: Object.fromEntries(entries) }, null, 1),
    );
  }

  /** Whether the file is in the snapshot, whole. A content that another commit has brought already is linked to. */
  async has(commit: string, file: RemoteFile): Promise<boolean> {
    if ((await sizeOf(join(this.snapshot(commit), file.path))) === file.sizeBytes) return true;
    if ((await sizeOf(this.blobPath(file))) !== file.sizeBytes) return false;
    await this.link(commit, file);
    return true;
  }

  /** Puts the file's content, which is in blobs/, into the snapshot. */
  async link(commit: string, file: RemoteFile): Promise<void> {
    const target = this.blobPath(file);
    const path = join(this.snapshot(commit), file.path);
    await makeFolder(dirname(path));
    await rm(path, { force: true });
    try {
      await symlink(relative(dirname(path), target), path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return;
      // Windows allows links only to some users, and some file systems have none.
      await link(target, path).catch(() => copyFile(target, path));
    }
  }

  /** Removes a content that is not what its name says, so that nothing uses it again. */
  async removeBlob(file: RemoteFile): Promise<void> {
    await rm(this.blobPath(file), { force: true });
  }

  blobPath(file: RemoteFile): string {
    return join(this.blobs, blobName(file));
  }

  /** Paths in the snapshot of a commit, links that lead nowhere left out; empty where there is none. */
  async snapshotPaths(commit: string): Promise<string[]> {
    const root = this.snapshot(commit);
    const paths: string[] = [];
    const visit = async (folder: string, prefix: string): Promise<void> => {
      const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
      for (const entry of entries) {
        if (entry.isDirectory()) await visit(join(folder, entry.name), `${prefix}${entry.name}/`);
        else if ((await sizeOf(join(folder, entry.name))) !== undefined) paths.push(`${prefix}${entry.name}`);
      }
    };
    await visit(root, "");
    return paths.sort();
  }

  /** Revisions that have been looked up, for messages. */
  async knownRevisions(): Promise<string[]> {
    const refs = await readdir(join(this.folder, "refs")).catch(() => []);
    const commits = await readdir(join(this.folder, "snapshots")).catch(() => []);
    return [...refs, ...commits];
  }

  private treePath(commit: string): string {
    return join(this.folder, "trees", `${commit}.json`);
  }
}

/** Makes a folder and those above it; a refusal of the system is an AhaError that names it. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (error) {
    throw writeFailure(path, error);
  }
}

/** Bytes of a regular file, links followed; undefined where there is none. */
async function sizeOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found !== undefined) return found.isFile() ? found.size : undefined;
  // A link that leads nowhere is in the way of a new one.
  if ((await lstat(path).catch(() => undefined))?.isSymbolicLink()) await rm(path, { force: true });
  return undefined;
}
