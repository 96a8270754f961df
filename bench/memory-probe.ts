/**
 * Loaded into a program that is measured (`node --expose-gc --import tsx --import bench/memory-probe.ts …`, started with a
 * channel for messages): says what memory it has, after a collection of garbage or a heap snapshot where it is asked for one.
 */

import { writeHeapSnapshot } from "node:v8";

/** What is to be done first: garbage collected, a heap snapshot written to this file. */
export interface MemoryQuestion {
  readonly collect: boolean;
  readonly snapshot?: string;
}

/** What is answered, in bytes. */
export type MemoryAnswer = NodeJS.MemoryUsage;

process.on("message", ({ collect, snapshot }: MemoryQuestion) => {
  if (collect) (globalThis as { gc?: () => void }).gc!();
  if (snapshot !== undefined) writeHeapSnapshot(snapshot);
  process.send!(process.memoryUsage() satisfies MemoryAnswer);
});
// The program ends when its own work is done.
process.channel?.unref();
