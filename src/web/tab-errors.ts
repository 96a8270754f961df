/** Errors as the page is told them. */

import { RuntimeFileError } from "../compute/web/open-device.ts";
import { AhaError, CheckpointError, ConfigError, DeviceLostError, DivergenceError, RuntimeFailure } from "../errors.ts";
import { StorageFullError } from "../opfs-folder.ts";
import { ForeignCheckpointError } from "./model-files.ts";
import { ProblemError } from "./own-problem.ts";
import type { ErrorKind, ErrorMessage } from "./protocol.ts";

/** A file of the page's own that did not come, or came damaged. */
export class LoadError extends AhaError {
  override name = "LoadError";

  /** For a file that could not be fetched, with what stopped it. */
  static of(path: string, error: unknown): LoadError {
    const reason = error instanceof Error ? error.message : String(error);
    return new LoadError(`${path} cannot be loaded: ${reason}. Reload the page when the network is there.`);
  }
}

/** What this browser keeps cannot be used now. */
export class StorageError extends AhaError {
  override name = "StorageError";
}

const KINDS: readonly (readonly [new (message: string) => Error, ErrorKind])[] = [
  [LoadError, "load"],
  [RuntimeFileError, "load"],
  [DeviceLostError, "device"],
  [StorageFullError, "storage"],
  [StorageError, "storage"],
  [DivergenceError, "diverged"],
  [ForeignCheckpointError, "foreign-checkpoint"],
  [CheckpointError, "damaged-checkpoint"],
  [ProblemError, "problem"],
  [ConfigError, "settings"],
];

const MEMORY_SPENT = /bytes of memory are not there|memory access out of bounds|bad_alloc|allocat|out of memory/i;

/** The message of an error; `isFatal`: the worker does nothing any more. */
export function errorMessage(error: unknown, { isFatal = false }: { readonly isFatal?: boolean } = {}): ErrorMessage {
  const message = error instanceof Error ? error.message : String(error);
  const known = KINDS.find(([type]) => error instanceof type);
  if (known) return { type: "error", kind: known[1], message, isFatal };
  if ((error instanceof RuntimeFailure || error instanceof RangeError) && MEMORY_SPENT.test(message)) {
    const advice =
      "The tab has too little memory for this. Take smaller groups or fewer problems, and go on from the last save.";
    return { type: "error", kind: "memory", message: `${advice} (${message})`, isFatal };
  }
  return { type: "error", kind: "fault", message, isFatal };
}
