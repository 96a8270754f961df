/**
 * Requests with a computation that a client has made up, while they are under way. Each has a file with how many servers have
 * ended meanwhile, this one counted; so none of them can end one server after another.
 */

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readJson, writeKept } from "./kept-files.ts";
import { RequestFailure } from "./refusal.ts";

/** So many servers may end while a request is under way: then it is begun no more. */
const MOST_ENDS = 2;

export class UnderWay {
  readonly #root: string;
  /** By the names of their files: with how many servers ended before this one. */
  readonly #ends = new Map<string, number>();
  #isClosed = false;

  constructor(root: string) {
    this.#root = root;
  }

  /** Carries out `work`, with a file in the folder below the root. Throws RequestFailure, and begins nothing, after two ends. */
  async during<T>(folder: string, key: string, work: () => Promise<T>): Promise<T> {
    const name = join(folder, createHash("sha256").update(key).digest("hex").slice(0, 32));
    const ends = (await readJson(join(this.#root, name), z.int())) ?? 0;
    try {
      if (ends >= MOST_ENDS) {
        throw new RequestFailure(
          `The server ended ${ends} times while this request was under way, so it is not begun again. ` +
            "Its custom loss may take more memory than there is; send it as another request to try once more.",
        );
      }
      mkdirSync(join(this.#root, folder), { recursive: true });
      await writeKept(this.#root, name, [JSON.stringify(ends + 1)]);
      this.#ends.set(name, ends);
      return await work();
    } finally {
      if (!this.#isClosed) rmSync(join(this.#root, name), { force: true });
      this.#ends.delete(name);
    }
  }

  /** The server is stopped: that does not count as an end. */
  close(): void {
    this.#isClosed = true;
    for (const [name, ends] of this.#ends) {
      if (existsSync(join(this.#root, name))) writeFileSync(join(this.#root, name), JSON.stringify(ends));
    }
  }
}
