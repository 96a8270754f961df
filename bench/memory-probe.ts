/**
 * Loaded into a program that is measured (`node --expose-gc --import tsx --import bench/memory-probe.ts …`, started with a
 * channel for messages): collects garbage and says what memory is left, or writes a heap snapshot, when it is asked to.
 */

import { writeHeapSnapshot } from "node:v8";

/** What is asked: memory after a collection, or a heap snapshot in this file. */
export interface MemoryQuestion {
  readonly snapshot?: string;
}

/** What is answered, in bytes. */
export type MemoryAnswer = NodeJS.MemoryUsage;

process.on("message", ({ snapshot }: MemoryQuestion) => {
  (globalThis as { gc?: () => void }).gc!();
  if (snapshot !== undefined) writeHeapSnapshot(snapshot);
  process.send!(process.memoryUsage() satisfies MemoryAnswer);
});
// The program ends when its own work is done.
process.channel?.unref();
