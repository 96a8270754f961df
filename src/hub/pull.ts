/**
 * A repository of the Hub, at one commit, on this disk: what a revision is now is looked up, the wanted files that the
 * cache lacks are downloaded, and the folder with all of them is returned.
 *
 * A commit hash is looked up nowhere: with all its files in the cache the network is not used. Where the Hub cannot be
 * reached, the commit that a branch was last known to be is used, and that is said. Sizes are compared with a limit and
 * with the disk before anything is downloaded.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { rm, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { AhaError, HubError, RunInterrupted } from "../errors.ts";
import { sizeText } from "../number-text.ts";
import { makeFolder, RepositoryCache } from "./cache.ts";
import { requireCached, snapshotWithoutList } from "./cached-snapshot.ts";
import { downloadBlob } from "./download.ts";
import { HubFailure, hostOf } from "./failure.ts";
import { listFiles, lookUpCommit } from "./listing.ts";
import { resumableBytes } from "./partial-file.ts";
import { DEFAULT_REVISION, formatHubReference, type HubReference, isCommitHash, pullCommand } from "./reference.ts";
import { blobName, type RemoteFile } from "./remote-file.ts";
import { type RequestContext, throwIfStopped } from "./requests.ts";
import { selectFiles } from "./selection.ts";
import type { HubSettings } from "./settings.ts";
import type { Snapshot } from "./snapshot.ts";

/** The most bytes that a repository may have, unless another limit is given. */
const DEFAULT_MAX_BYTES = 100e9;
/** Downloads at the same time: enough to use the bandwidth, few enough not to burden the server. */
const CONCURRENT_FILES = 4;
/** Some space on the disk is left for other programs. */
const SPARE_BYTES = 256 * 2 ** 20;

/** How far a download is. Counted is what this call has to bring; what the cache had is no part of it. */
export interface PullProgress {
  readonly reference: HubReference;
  readonly commit: string;
  readonly filesDone: number;
  readonly files: number;
  readonly bytesDone: number;
  readonly bytes: number;
}

/** Options of a download. */
export interface PullOptions {
  readonly settings: HubSettings;
  readonly signal?: AbortSignal | undefined;
  /** Patterns of the wanted files, in place of the usual choice. */
  readonly include?: readonly string[] | undefined;
  readonly maxBytes?: number | undefined;
  /** Compute the hashes of files that the cache has, and replace those that are damaged. */
  readonly verify?: boolean | undefined;
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
  /** Told what a person should know: that the Hub cannot be reached and the cache is used, that it asks to wait. */
  readonly onNote?: ((text: string) => void) | undefined;
}

/**
 * Brings the wanted files of `reference` into the cache.
 *
 * @throws HubError that says what is wrong and what to do; RunInterrupted where the user stopped
 */
export async function pull(reference: HubReference, options: PullOptions): Promise<Snapshot> {
  const { settings, signal, onNote } = options;
  const cache = new RepositoryCache(settings.cacheDirectory, reference);
  const context: RequestContext = { reference, purpose: "read", settings, signal, onWait: onNote };
  throwIfStopped(signal);
  const found = await findCommit(context, cache, onNote);
  const { commit, isCurrent } = found;
  const { listed, failure } = await listOf(context, cache, found);
  if (listed === undefined) return snapshotWithoutList(reference, commit, cache, failure);

  const wanted = selectFiles(reference, listed, options.include);
  const missing = await missingFiles(wanted, commit, cache, options.verify === true);
  const result = { reference, commit, directory: cache.snapshot(commit) };
  if (settings.offline || failure !== undefined) {
    requireCached(reference, commit, missing, failure);
    return { ...result, files: wanted.filter((file) => !missing.includes(file)), downloadedBytes: 0 };
  }
  if (missing.length > 0) {
    requireWithinLimit(reference, wanted, options);
    await downloadAll(missing, commit, cache, context, options);
  }
  // Only a commit whose files are all here becomes what an offline user gets for the branch.
  if (isCurrent) await remember(() => cache.writeRef(reference.revision ?? DEFAULT_REVISION, commit));
  return { ...result, files: wanted, downloadedBytes: sumOf(missing) };
}

interface FoundCommit {
  readonly commit: string;
  /** It was looked up just now under a name that can move. */
  readonly isCurrent: boolean;
  /** Why the Hub could not be asked although it should have been. */
  readonly failure?: HubFailure;
}

async function findCommit(
  context: RequestContext,
  cache: RepositoryCache,
  onNote: PullOptions["onNote"],
): Promise<FoundCommit> {
  const { reference, settings } = context;
  if (isCommitHash(reference.revision)) return { commit: reference.revision, isCurrent: false };
  const revision = reference.revision ?? DEFAULT_REVISION;
  const cached = await cache.readRef(revision);
  if (settings.offline) {
    if (cached !== undefined) return { commit: cached, isCurrent: false };
    throw await notCached(reference, cache);
  }
  try {
    return { commit: await lookUpCommit(context), isCurrent: true };
  } catch (error) {
    if (!(error instanceof HubFailure) || !error.transient || cached === undefined) throw error;
    onNote?.(
      `${hostOf(settings)} cannot be asked now: using ${formatHubReference(reference)} as the cache has it (commit ${cached}).`,
    );
    return { commit: cached, isCurrent: false, failure: error };
  }
}

async function notCached(reference: HubReference, cache: RepositoryCache): Promise<HubError> {
  const known = await cache.knownRevisions();
  const name = formatHubReference(reference);
  const others = known.length > 0 ? ` The cache has these revisions of it: ${known.slice(0, 8).join(", ")}.` : "";
  return new HubError(
    `${name} is not in the cache (${cache.folder}), and offline mode (HF_HUB_OFFLINE or --offline) allows no ` +
      `download.${others} Download it once while online: ${pullCommand(reference)}.`,
  );
}

/** The files of a commit, from the cache (a commit never changes) or from the Hub; undefined where neither tells. */
async function listOf(
  context: RequestContext,
  cache: RepositoryCache,
  { commit, failure }: FoundCommit,
): Promise<{ readonly listed: readonly RemoteFile[] | undefined; readonly failure: HubFailure | undefined }> {
  const cached = await cache.readTree(commit);
  if (cached !== undefined || context.settings.offline || failure !== undefined) return { listed: cached, failure };
  try {
    const listed = await listFiles(context, commit);
    await remember(() => cache.writeTree(commit, listed));
    return { listed, failure: undefined };
  } catch (error) {
    if (!(error instanceof HubFailure) || !error.transient) throw error;
    if ((await cache.snapshotPaths(commit)).length === 0) throw error;
    return { listed: undefined, failure: error };
  }
}

/** Writes what saves a request next time. A cache that is shared may not be writable: then it is asked again. */
async function remember(write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!(error instanceof AhaError)) throw error;
  }
}

function requireWithinLimit(reference: HubReference, files: readonly RemoteFile[], options: PullOptions): void {
  const limit = options.maxBytes ?? DEFAULT_MAX_BYTES;
  const bytes = sumOf(files);
  if (bytes <= limit) return;
  throw new HubError(
    `${formatHubReference(reference)} has ${sizeText(bytes)} in ${files.length} files, more than the limit of ` +
      `${sizeText(limit)}. Take some of them with --include, or raise the limit: ` +
      `${pullCommand(reference)} --max-size ${Math.ceil(bytes / 1e9)}GB.`,
  );
}

async function missingFiles(
  files: readonly RemoteFile[],
  commit: string,
  cache: RepositoryCache,
  verify: boolean,
): Promise<RemoteFile[]> {
  const missing: RemoteFile[] = [];
  for (const file of files) {
    const isHere = await cache.has(commit, file);
    if (isHere && (!verify || (await isIntact(join(cache.snapshot(commit), file.path), file)))) continue;
    if (isHere) {
      await rm(join(cache.snapshot(commit), file.path), { force: true });
      await cache.removeBlob(file);
    }
    missing.push(file);
  }
  return missing;
}

async function isIntact(path: string, { sha256, gitHash, sizeBytes }: RemoteFile): Promise<boolean> {
  const hash = sha256 === undefined ? createHash("sha1").update(`blob ${sizeBytes}\0`) : createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex") === (sha256 ?? gitHash);
}

async function downloadAll(
  files: readonly RemoteFile[],
  commit: string,
  cache: RepositoryCache,
  context: RequestContext,
  options: PullOptions,
): Promise<void> {
  await makeFolder(cache.blobs);
  // Files with the same content, such as two empty ones, are one download.
  const blobs = [...groupByBlob(files).values()].sort((a, b) => a[0]!.sizeBytes - b[0]!.sizeBytes);
  await requireSpace(
    blobs.map(([file]) => file!),
    cache,
  );

  const bytes = blobs.reduce((sum, [file]) => sum + file!.sizeBytes, 0);
  let bytesDone = 0;
  let filesDone = 0;
  const report = () =>
    options.onProgress?.({ reference: context.reference, commit, filesDone, files: files.length, bytesDone, bytes });
  report();

  const failed = new AbortController();
  let failure: unknown;
  const signals = context.signal === undefined ? [failed.signal] : [failed.signal, context.signal];
  const inner: RequestContext = { ...context, signal: AbortSignal.any(signals) };
  const queue = blobs.values();
  const work = async (): Promise<void> => {
    for (const same of queue) {
      if (inner.signal?.aborted) return;
      try {
        await downloadBlob(same[0]!, commit, cache, inner, (difference) => {
          bytesDone += difference;
          report();
        });
        for (const file of same) await cache.link(commit, file);
        filesDone += same.length;
        report();
      } catch (error) {
        failure ??= error;
        failed.abort();
        return;
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT_FILES }, work));
  if (context.signal?.aborted) {
    throw new RunInterrupted("Stopped. What was downloaded is kept: the same command goes on from there.");
  }
  if (failure !== undefined) throw failure;
}

async function requireSpace(files: readonly RemoteFile[], cache: RepositoryCache): Promise<void> {
  let needed = 0;
  for (const file of files) {
    const kept = await resumableBytes(cache.blobs, blobName(file));
    needed += Math.max(0, file.sizeBytes - kept);
  }
  const { bavail, bsize } = await statfs(cache.blobs);
  const free = bavail * bsize;
  if (needed + SPARE_BYTES <= free) return;
  throw new HubError(
    `The download needs ${sizeText(needed)}, and ${dirname(cache.folder)} has ${sizeText(free)} free (` +
      `${sizeText(SPARE_BYTES)} of it stay unused). Free some space, or point HF_HUB_CACHE to a folder on another disk.`,
  );
}

function groupByBlob(files: readonly RemoteFile[]): Map<string, RemoteFile[]> {
  const groups = new Map<string, RemoteFile[]>();
  for (const file of files) {
    const group = groups.get(blobName(file));
    if (group === undefined) groups.set(blobName(file), [file]);
    else group.push(file);
  }
  return groups;
}

function sumOf(files: readonly RemoteFile[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
