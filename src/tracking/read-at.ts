/** Bytes of an open file from a place on. */

import type { FileHandle } from "node:fs/promises";

/** As many bytes as there are, at most `sizeBytes`. */
export async function readAt(file: FileHandle, position: number, sizeBytes: number): Promise<Buffer> {
  const bytes = Buffer.alloc(sizeBytes);
  let read = 0;
  while (read < sizeBytes) {
    const { bytesRead } = await file.read(bytes, read, sizeBytes - read, position + read);
    if (bytesRead === 0) break;
    read += bytesRead;
  }
  return bytes.subarray(0, read);
}
