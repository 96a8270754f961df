/** The files of what was dropped: files as they are, folders with what is in them. */

import type { DroppedFile } from "../../web/protocol.ts";

/** Files of a checkpoint are few; whoever drops a disk is told so by the worker, which then misses files. */
const MOST_FILES = 200;

/** Reads what a drop has; folders to their ends. */
export async function droppedFiles(transfer: DataTransfer): Promise<DroppedFile[]> {
  // Entries are gone after the event, so they are taken first.
  const dropped = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const files: DroppedFile[] = [];
  for (const one of dropped) {
    if (one instanceof File) files.push({ path: one.name, blob: one });
    else if (one !== null) await collect(one, files);
  }
  return files;
}

async function collect(entry: FileSystemEntry, files: DroppedFile[]): Promise<void> {
  if (files.length >= MOST_FILES) return;
  if (entry.isFile) {
    const blob = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    files.push({ path: entry.fullPath.replace(/^\//, ""), blob });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return;
    for (const one of some) await collect(one, files);
  }
}
