/** A file of a repository at a commit, as the Hub lists it: where it lies and how to know that it is the right one. */

/** One listed file. */
export interface RemoteFile {
  /** Relative to the repository, with forward slashes; never leads out of a folder. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Git's hash of the file, or, where the file is in large-file storage, of the pointer to it. */
  readonly gitHash: string;
  /** SHA-256 of a file in large-file storage. */
  readonly sha256: string | undefined;
  /** The Hub's newer storage has a hash of its own. Kept for the cache alone: content is checked by SHA-256. */
  readonly xetHash: string | undefined;
}

/** The name of the file's content in the cache: the entity tag that the Hub gives it. */
export function blobName({ sha256, gitHash }: RemoteFile): string {
  return sha256 ?? gitHash;
}

/**
 * Whether a path of a repository stays within the folder that it is joined to, on any system: relative, no `..`, no
 * backslash, no drive, nothing that a terminal would obey.
 */
export function isSafePath(path: string): boolean {
  if (path === "" || path.length > 1024) return false;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\\:\u0000-\u001f\u007f-\u009f]/.test(path)) return false;
  return path.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}
