/**
 * The room that saved checkpoints take on the disk, and whether there is room for another one: within the limits on their
 * number and bytes, and with some of the disk left for requests and results, which are written there, too.
 *
 * A session may have at most four times as much as it leaves. So one that saves without end is stopped at four fifths of the
 * room, and whoever comes then still finds some.
 */

import { inBytes } from "../../number-text.ts";
import { formatTinkerPath, type TinkerPath } from "../../tinker/tinker-path.ts";
import type { TinkerLimits } from "./limits.ts";
import { RequestFailure } from "./refusal.ts";

export type CheckpointLimits = Pick<TinkerLimits, "mostCheckpoints" | "mostCheckpointBytes" | "leastFreeDiskBytes">;

/** What is known of a checkpoint without reading it. */
export interface NotedCheckpoint {
  readonly path: TinkerPath;
  readonly savedAt: string;
  readonly expiresAt: string | null;
  readonly bytes: number;
}

/** How many times what is left a session may have. */
const SHARE = 4;

const ADVICE =
  "Delete some (`tinker checkpoint delete PATH`), or save with ttl_seconds; those without a name go with their session.";

/** What is on the disk, with the limits. */
export class CheckpointRoom {
  readonly #limits: CheckpointLimits;
  /** By their directories. */
  readonly #noted = new Map<string, NotedCheckpoint>();

  constructor(limits: CheckpointLimits) {
    this.#limits = limits;
  }

  /** Those that are on the disk, or are being written there. */
  get checkpoints(): readonly NotedCheckpoint[] {
    return [...this.#noted.values()];
  }

  note(directory: string, checkpoint: NotedCheckpoint): void {
    this.#noted.set(directory, checkpoint);
  }

  forget(directory: string): void {
    this.#noted.delete(directory);
  }

  /**
   * Throws RequestFailure where there is no room for `path`. What it takes the place of counts for nothing.
   *
   * @param bytes Those of it that are on the disk already; 0 before it is written.
   * @param diskBytes What is free on the disk beside them; undefined where the file system does not say.
   */
  require(path: TinkerPath, directory: string, bytes: number, diskBytes: number | undefined): void {
    const { mostCheckpoints, mostCheckpointBytes, leastFreeDiskBytes } = this.#limits;
    const others = [...this.#noted].flatMap(([place, checkpoint]) => (place === directory ? [] : [checkpoint]));
    const own = others.filter((checkpoint) => sessionOf(checkpoint.path) === sessionOf(path));
    const [bytesOfAll, bytesOfOwn] = [bytesOf(others), bytesOf(own)];
    const refuse = (reason: string, category?: "server") => {
      const [oldest] = [...own].sort((a, b) => a.savedAt.localeCompare(b.savedAt));
      const named = oldest ? ` This session's oldest one is ${formatTinkerPath(oldest.path)}.` : "";
      return new RequestFailure(
        `There is no room for ${formatTinkerPath(path)}: ${reason}.${named} ${ADVICE}`,
        category ?? "user",
      );
    };
    const inItsPlace = this.#noted.get(directory)?.bytes;
    if (inItsPlace === undefined && !fits(own.length, 1, mostCheckpoints - others.length)) {
      const counts = `the server keeps ${others.length} checkpoints of at most ${mostCheckpoints}, ${own.length} of them`;
      throw refuse(`${counts} this session's, which may have ${SHARE} times as many as it leaves`);
    }
    // One that is no larger than what it takes the place of is always taken, while the disk is not full.
    const isLarger = bytes > (inItsPlace ?? -1);
    if (isLarger && !fits(bytesOfOwn, bytes, mostCheckpointBytes - bytesOfAll)) {
      const counts = `the server keeps ${inBytes(bytesOfAll)} of checkpoints, at most ${inBytes(mostCheckpointBytes)}`;
      const share = `which may have ${SHARE} times as many as it leaves`;
      throw refuse(`${counts}, and ${inBytes(bytesOfOwn)} of them are this session's, ${share}`);
    }
    const left = diskBytes === undefined ? undefined : diskBytes + bytes - leastFreeDiskBytes;
    if (
      diskBytes !== undefined &&
      left !== undefined &&
      (bytes > left || (isLarger && !fits(bytesOfOwn, bytes, left)))
    ) {
      const kept = `${inBytes(leastFreeDiskBytes)} stay free for requests and results`;
      const share = `this session's checkpoints have ${inBytes(bytesOfOwn)}, and at most ${SHARE} times what they leave`;
      throw refuse(`the server's disk has ${inBytes(diskBytes)} free, of which ${kept}; ${share}`, "server");
    }
  }
}

/** What becomes of a request where the disk is full; undefined for another error. */
export function diskFullFailure(error: unknown): RequestFailure | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (!("code" in cause) || (cause.code !== "ENOSPC" && cause.code !== "EDQUOT")) continue;
    return new RequestFailure(`The server's disk is full, and nothing was saved. ${ADVICE}`, "server");
  }
  return undefined;
}

/** Whether a session that has `own` may have so many `more` of those that are left. A first one it may have in any case. */
const fits = (own: number, more: number, left: number) =>
  more <= left && (own === 0 || own + more <= SHARE * (left - more));

const bytesOf = (checkpoints: readonly NotedCheckpoint[]) => checkpoints.reduce((sum, { bytes }) => sum + bytes, 0);

/** The session of a checkpoint's model: the first part of the model's id. */
const sessionOf = ({ modelId }: TinkerPath) => modelId.split(":")[0];
