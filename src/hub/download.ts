/**
 * One file from the Hub into the cache's blobs: resumed, checked, and there under its name only when it is right.
 *
 * Right means: of the listed size, and of the listed hash (SHA-256 for files in large-file storage; for small ones git's,
 * the SHA-1 of `blob SIZE\0` and the content). Everything goes over plain HTTP with range requests: the Hub serves files
 * of its newer storage (Xet) that way too, and a hash of the whole file is then ours to check.
 */

import { createHash, type Hash } from "node:crypto";
import { HubError } from "../errors.ts";
import { systemReason } from "../files.ts";
import { sizeText } from "../number-text.ts";
import { makeFolder, type RepositoryCache } from "./cache.ts";
import { contentFailure, HubFailure, hostOf, pageOf } from "./failure.ts";
import { PartialFile } from "./partial-file.ts";
import { blobName, type RemoteFile } from "./remote-file.ts";
import { bodyChunks, type RequestContext, sendRequest, withPatience } from "./requests.ts";

/** A long download outlives a network that is away for a minute (waits of 0.5, 1, 2, … 32 s). */
const NETWORK_ATTEMPTS = 8;

/** Progress of a download: the number of new bytes, negative where wrong bytes are thrown away. */
export type OnBytes = (difference: number) => void;

/**
 * Brings the content of `file` at `commit` into `cache`.
 *
 * @throws HubError wrong content, no space, the Hub refuses; RunInterrupted. What has come is kept unless it is wrong.
 */
export async function downloadBlob(
  file: RemoteFile,
  commit: string,
  cache: RepositoryCache,
  context: RequestContext,
  onBytes: OnBytes,
): Promise<void> {
  await makeFolder(cache.blobs);
  try {
    const partial = await PartialFile.open(cache.blobs, blobName(file));
    const download = new Download(file, commit, partial, context, onBytes);
    if (await download.complete()) await partial.finish();
  } catch (error) {
    throw writeError(error, file, cache);
  }
}

class Download {
  private readonly file: RemoteFile;
  private readonly url: string;
  private readonly partial: PartialFile;
  private readonly context: RequestContext;
  private readonly onBytes: OnBytes;
  private hash: Hash;

  constructor(file: RemoteFile, commit: string, partial: PartialFile, context: RequestContext, onBytes: OnBytes) {
    const path = file.path.split("/").map(encodeURIComponent).join("/");
    this.url = `${pageOf(context.reference, context.settings)}/resolve/${commit}/${path}`;
    this.file = file;
    this.partial = partial;
    this.context = context;
    this.onBytes = onBytes;
    this.hash = this.newHash();
  }

  /** True when the partial file is the whole, right content. Otherwise it is closed, and an error says why. */
  async complete(): Promise<true> {
    const { partial, file } = this;
    try {
      // A partial file that is larger than the whole file is useless.
      if (partial.sizeBytes > file.sizeBytes) await partial.restart();
      this.onBytes(partial.sizeBytes);
      await partial.hashInto(this.hash);
      const wasResumed = partial.sizeBytes > 0;
      await this.fetchRest();
      if (this.isRight()) return true;
      if (wasResumed) {
        // The part that an earlier process left may be damaged, so after a wrong hash the download is started once more
        // from the beginning.
        await this.restart();
        await this.fetchRest();
        if (this.isRight()) return true;
      }
    } catch (error) {
      await partial.leave();
      throw error;
    }
    this.onBytes(-partial.sizeBytes);
    await partial.discard();
    throw contentFailure(
      `${file.path} of ${this.context.reference.name} came with other content than the Hub lists (its hash differs). It ` +
        "was thrown away. Try again; if it stays so, a proxy or mirror in between changes files.",
    );
  }

  private async fetchRest(): Promise<void> {
    let reached = this.partial.sizeBytes;
    const progressed = () => {
      const isFurther = this.partial.sizeBytes > reached;
      reached = this.partial.sizeBytes;
      return isFurther;
    };
    if (this.partial.sizeBytes < this.file.sizeBytes) {
      await withPatience(() => this.fetchOnce(), this.context, { progressed, networkAttempts: NETWORK_ATTEMPTS });
    }
  }

  /** One request for what is missing, until it ends or breaks. */
  private async fetchOnce(): Promise<void> {
    const { partial, file, context } = this;
    const from = partial.sizeBytes;
    const headers = new Headers({ "accept-encoding": "identity" });
    if (from > 0) headers.set("range", `bytes=${from}-`);
    const response = await this.request(headers);
    // A server that does not know ranges sends all of it.
    if (from > 0 && response.status !== 206) await this.restart();
    if (response.status === 206) this.checkRange(response, from);
    for await (const chunk of bodyChunks(response, context)) {
      if (partial.sizeBytes + chunk.length > file.sizeBytes) {
        await this.restart();
        throw contentFailure(
          `${hostOf(context.settings)} sends more of ${file.path} than the ${file.sizeBytes} bytes that it lists. ` +
            "It was thrown away. Try again; if it stays so, a proxy or mirror in between changes files.",
        );
      }
      await partial.append(chunk);
      this.hash.update(chunk);
      this.onBytes(chunk.length);
    }
    if (partial.sizeBytes < file.sizeBytes) {
      const missing = sizeText(file.sizeBytes - partial.sizeBytes);
      const message = `The connection to ${hostOf(context.settings)} was cut, ${missing} of ${file.path} are missing.`;
      throw new HubFailure("network", `${message} What came is kept: the same command goes on from there.`, {
        transient: true,
      });
    }
  }

  private async request(headers: Headers): Promise<Response> {
    try {
      return await sendRequest(this.url, { headers }, this.context);
    } catch (error) {
      if (!(error instanceof HubFailure) || error.kind !== "range") throw error;
      await this.restart();
      throw new HubFailure("range", error.message, { transient: true });
    }
  }

  /** @throws HubFailure where a partial answer is of another part, or of another file */
  private checkRange(response: Response, from: number): void {
    const match = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get("content-range") ?? "");
    const total = match?.[2];
    const isOther = total !== undefined && total !== "*" && Number(total) !== this.file.sizeBytes;
    if (match !== null && Number(match[1]) === from && !isOther) return;
    throw contentFailure(
      `${hostOf(this.context.settings)} answers with another part of ${this.file.path} than was asked for. Try again.`,
    );
  }

  private async restart(): Promise<void> {
    this.onBytes(-this.partial.sizeBytes);
    await this.partial.restart();
    this.hash = this.newHash();
  }

  private newHash(): Hash {
    const { sha256, sizeBytes } = this.file;
    return sha256 === undefined ? createHash("sha1").update(`blob ${sizeBytes}\0`) : createHash("sha256");
  }

  private isRight(): boolean {
    return this.hash.copy().digest("hex") === (this.file.sha256 ?? this.file.gitHash);
  }
}

/** Failures of the file system in the words of a user. */
function writeError(error: unknown, file: RemoteFile, cache: RepositoryCache): unknown {
  if (error instanceof HubError) return error;
  const reason = systemReason(error);
  if (reason === undefined) return error;
  return new HubError(
    `Cannot write ${file.path} into ${cache.folder}: ${reason}. What was downloaded is kept. Correct the problem, or point HF_HUB_CACHE to ` +
      "another folder, and the same command goes on.",
  );
}
