/** A repository of the Hub on this machine, and how the Hub names what is in it: hashes, entries of its listing. */

import { createHash } from "node:crypto";

/** A repository as the server holds it. */
export interface Repository {
  readonly kind: "model" | "dataset";
  readonly name: string;
  private: boolean;
  readonly gated: boolean;
  readonly commits: Map<string, Map<string, Buffer>>;
  /** Branches and tags. */
  readonly refs: Map<string, string>;
}

/** Files of this size, and safetensors of any, are in large-file storage. */
const LARGE_BYTES = 4096;
export const sha256 = (content: Buffer) => createHash("sha256").update(content).digest("hex");
export const gitHash = (content: Buffer) =>
  createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
export const isLarge = (path: string, size: number) => size >= LARGE_BYTES || path.endsWith(".safetensors");
/** What git holds for a file in large-file storage. */
const pointerHash = (content: Buffer) =>
  gitHash(
    Buffer.from(`version https://git-lfs.github.com/spec/v1\noid sha256:${sha256(content)}\nsize ${content.length}\n`),
  );

/** A file as the Hub's listing has it. */
export function entryOf(path: string, content: Buffer) {
  if (!isLarge(path, content.length)) return { type: "file", path, size: content.length, oid: gitHash(content) };
  const oid = sha256(content);
  return {
    type: "file",
    path,
    size: content.length,
    oid: pointerHash(content),
    lfs: { oid, size: content.length, pointerSize: 130 },
    xetHash: sha256(Buffer.from(`xet ${oid}`)),
  };
}
