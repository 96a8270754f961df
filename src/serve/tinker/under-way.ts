/**
 * What may end one server after another: a computation that a client has made up, what a server was asked for and did not
 * come to the end of, a model that is made again. While it is under way there is a file with how many servers have ended
 * meanwhile, this one counted; so each of them is begun a few times at most.
 */

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readJson, writeKept } from "./kept-files.ts";
import { RequestFailure } from "./refusal.ts";

/** What may be under way: after how many ends it is begun no more, and how whoever asked for it is told so. */
const KINDS = {
  "custom loss": {
    mostEnds: 2,
    what: "this request was under way",
    advice: "Its custom loss may take more memory than there is; send it as another request to try once more.",
  },
  // Servers also end for other reasons, several times while a long request is under way.
  request: {
    mostEnds: 4,
    what: "this request was under way",
    advice:
      "It may take more memory than there is; send it as another request to try once more, or one that asks for less.",
  },
  model: {
    mostEnds: 4,
    what: "this model was being made again",
    advice: "It stays on the disk as it is, and the next server tries again.",
  },
} as const;

/** One of them. */
export type UnderWayKind = keyof typeof KINDS;

export class UnderWay {
  readonly #root: string;
  /** By the names of their files: with how many servers ended before this one. */
  readonly #ends = new Map<string, number>();
  /** Names of the files of requests that a server before this one took and did not answer. */
  readonly #found = new Set<string>();
  #isClosed = false;

  constructor(root: string) {
    this.#root = root;
  }

  /** Notes that a server before this one took what this key stands for, and ended. */
  noteFound(folder: string, key: string): void {
    this.#found.add(nameOf(folder, key));
  }

  /**
   * Carries out `work`, with a file in the folder below the root. Throws RequestFailure, and begins nothing, after too many
   * ends; the count begins anew then.
   */
  async during<T>(kind: UnderWayKind, folder: string, key: string, work: () => Promise<T>): Promise<T> {
    const { mostEnds, what, advice } = KINDS[kind];
    const name = nameOf(folder, key);
    const ends = (await readJson(join(this.#root, name), z.int())) ?? 0;
    try {
      if (ends >= mostEnds) {
        throw new RequestFailure(`The server ended ${ends} times while ${what}, so it is not begun again. ${advice}`);
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

  /** The same for a request that was found; any other one is just carried out. */
  async duringAgain<T>(folder: string, key: string, work: () => Promise<T>): Promise<T> {
    return this.#found.delete(nameOf(folder, key)) ? this.during("request", folder, key, work) : work();
  }

  /** The server is stopped: that does not count as an end. */
  close(): void {
    this.#isClosed = true;
    for (const [name, ends] of this.#ends) {
      if (existsSync(join(this.#root, name))) writeFileSync(join(this.#root, name), JSON.stringify(ends));
    }
  }
}

const nameOf = (folder: string, key: string) =>
  join(folder, createHash("sha256").update(key).digest("hex").slice(0, 32));
