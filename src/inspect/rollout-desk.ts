/**
 * Questions about rollouts, answered on a thread: building an index takes seconds of a core, and a regular expression that
 * somebody types may never come to its end (`(a+)+$`). Here one that takes too long costs the thread, which begins anew
 * with the next question, and nothing else waits for it.
 */

import { Worker } from "node:worker_threads";
import { RunDirError } from "../errors.ts";
import { threadEntry } from "../thread-entry.ts";
import type { RolloutAnswers, RolloutRequest } from "./rollout-answers.ts";

/** Most time of an answer; the first one builds the index, for which a run may have gigabytes to read. */
const PATIENCE_MS = 10_000;
const FIRST_PATIENCE_MS = 300_000;

const FIRST_ROWS = { by: "row", descending: false } as const;

/** To the thread. */
export interface DeskQuestion {
  readonly id: number;
  readonly directory: string;
  readonly request: RolloutRequest;
}

/** From the thread: one of `answer`, `refused` (the question cannot be answered), `failed` (a defect). */
export interface DeskAnswer {
  readonly id: number;
  readonly answer?: RolloutAnswers[RolloutRequest["kind"]];
  readonly refused?: string;
  readonly failed?: string;
}

interface Waiting {
  readonly resolve: (answer: DeskAnswer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export class RolloutDesk {
  private worker: Worker | undefined;
  private readonly waiting = new Map<number, Waiting>();
  /** Directories that the thread has an index of. */
  private readonly known = new Set<string>();
  private nextId = 0;
  private readonly patienceMs: number;

  constructor(patienceMs = PATIENCE_MS) {
    this.patienceMs = patienceMs;
  }

  /** Throws RunDirError for a question that cannot be answered, or that took too long. */
  async ask<K extends RolloutRequest["kind"]>(
    directory: string,
    request: Extract<RolloutRequest, { kind: K }>,
  ): Promise<RolloutAnswers[K]> {
    if (!this.known.has(directory)) {
      // The index first, with all the time that it takes: what is asked then is bounded.
      await this.send(
        directory,
        { kind: "page", filter: {}, order: FIRST_ROWS, offset: 0, limit: 0 },
        FIRST_PATIENCE_MS,
      );
      this.known.add(directory);
    }
    const { answer, refused, failed } = await this.send(directory, request, this.patienceMs);
    if (refused !== undefined) throw new RunDirError(refused);
    if (failed !== undefined) throw new Error(failed);
    return answer as RolloutAnswers[K];
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    const { worker } = this;
    this.worker = undefined;
    await worker?.terminate();
    this.fail(new RunDirError("The dashboard is being stopped."));
  }

  private send(directory: string, request: RolloutRequest, patience: number): Promise<DeskAnswer> {
    const worker = this.start();
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.giveUp(patience), patience);
      timer.unref();
      this.waiting.set(id, { resolve, reject, timer });
      worker.postMessage({ id, directory, request } satisfies DeskQuestion);
    });
  }

  private start(): Worker {
    if (this.worker !== undefined) return this.worker;
    const worker = new Worker(threadEntry("rollout-thread", import.meta.url));
    worker.unref();
    worker.on("message", (answer: DeskAnswer) => {
      const one = this.waiting.get(answer.id);
      if (one === undefined) return;
      clearTimeout(one.timer);
      this.waiting.delete(answer.id);
      one.resolve(answer);
    });
    worker.on("error", (error) => {
      if (this.worker !== worker) return;
      this.worker = undefined;
      this.known.clear();
      this.fail(error instanceof Error ? error : new Error(String(error)));
    });
    this.worker = worker;
    return worker;
  }

  private giveUp(patienceMs: number): void {
    const { worker } = this;
    this.worker = undefined;
    this.known.clear();
    void worker?.terminate();
    this.fail(
      new RunDirError(
        `The rollouts were not searched within ${patienceMs / 1000} s, so the search was given up. Use a simpler regular expression, ` +
          "or plain text.",
      ),
    );
  }

  private fail(error: Error): void {
    for (const { reject, timer } of this.waiting.values()) {
      clearTimeout(timer);
      reject(error);
    }
    this.waiting.clear();
  }
}
