/**
 * The threads on which long bodies are understood (`understanding.ts`): started when they are needed, ended when they were
 * not for a while. A job whose client is gone is dropped; one that goes on for long after that is ended with its thread.
 */

import { Worker } from "node:worker_threads";
import { threadEntry } from "../thread-entry.ts";
import type { TokenizerFiles } from "../tokenizer/tokenizer-files.ts";
import { ApiError } from "./api-error.ts";
import type { ModelFacts } from "./model-facts.ts";
import type { ServedModel } from "./served-model.ts";
import {
  type BodyKind,
  type BodyMessage,
  type UnderstoodBody,
  type UnderstoodMessage,
  understand,
} from "./understanding.ts";

/** Bytes of a body up to which it is understood at once: a few milliseconds' work, 40 at the worst. */
const AT_ONCE_BYTES = 4096;
/** Bytes up to which a body goes to the first thread. */
const MIDDLE_BYTES = 2 ** 18;
/** A thread that was idle for so long is ended. */
const IDLE_MS = 60_000;
/** How long a job may continue after its client is gone. */
const ABANDONED_MS = 10_000;

/** The data that a thread gets at its start: models, each with the index of its tokenizer's files. */
export interface UnderstandingSetup {
  readonly models: readonly (ModelFacts & { readonly tokenizer: number })[];
  readonly tokenizers: readonly TokenizerFiles[];
  readonly maxSequences: number;
}

/** Understands bodies for some models, at once or on threads. */
export class Understanding {
  readonly #models: readonly ServedModel[];
  readonly #maxSequences: number;
  /** Undefined where a tokenizer cannot be taken to another thread. */
  readonly #threads: readonly [BodyThread, BodyThread] | undefined;

  constructor(models: readonly ServedModel[], maxSequences: number) {
    this.#models = models;
    this.#maxSequences = maxSequences;
    const setup = setupOf(models, maxSequences);
    this.#threads = setup && [new BodyThread(setup), new BodyThread(setup)];
  }

  /** Rejects with ApiError for a body that cannot be served, with the signal's reason where that is aborted. */
  async understand<K extends BodyKind>(kind: K, body: Uint8Array, signal: AbortSignal): Promise<UnderstoodBody[K]> {
    if (body.length > AT_ONCE_BYTES && this.#threads !== undefined) {
      const [middle, long] = this.#threads;
      const thread = body.length <= MIDDLE_BYTES ? middle : long;
      return (await thread.ask({ kind, body }, signal)) as UnderstoodBody[K];
    }
    return understand(kind, body, { models: this.#models, maxSequences: this.#maxSequences });
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    await Promise.all(this.#threads?.map((thread) => thread.close()) ?? []);
  }
}

function setupOf(models: readonly ServedModel[], maxSequences: number): UnderstandingSetup | undefined {
  const tokenizers: TokenizerFiles[] = [];
  const facts: UnderstandingSetup["models"][number][] = [];
  for (const model of models) {
    const { id, vocabSize, maxContextTokens, stopTokenIds, defaultMaxTokens, defaults, hasSnapshots } = model;
    const { tokenizerFiles } = model;
    if (tokenizerFiles === undefined) return undefined;
    const known = tokenizers.indexOf(tokenizerFiles);
    const tokenizer = known >= 0 ? known : tokenizers.push(tokenizerFiles) - 1;
    const own = { id, vocabSize, maxContextTokens, stopTokenIds, defaultMaxTokens, ...(defaults && { defaults }) };
    facts.push({ ...own, ...(hasSnapshots && { hasSnapshots }), tokenizer });
  }
  return { models: facts, tokenizers, maxSequences };
}

interface Job {
  readonly message: BodyMessage;
  readonly signal: AbortSignal;
  readonly resolve: (understood: UnderstoodBody[BodyKind]) => void;
  readonly reject: (error: unknown) => void;
}

/** One thread and the jobs that wait for it. */
class BodyThread {
  readonly #setup: UnderstandingSetup;
  #worker: Worker | undefined;
  #waiting: Job[] = [];
  #current: Job | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(setup: UnderstandingSetup) {
    this.#setup = setup;
  }

  ask(message: BodyMessage, signal: AbortSignal): Promise<UnderstoodBody[BodyKind]> {
    return new Promise((resolve, reject) => {
      const job: Job = { message, signal, resolve, reject };
      signal.addEventListener("abort", () => this.#abandon(job), { once: true });
      this.#waiting.push(job);
      this.#next();
    });
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  #next(): void {
    if (this.#current !== undefined) return;
    const job = this.#waiting.shift();
    clearTimeout(this.#idle);
    if (job === undefined) {
      this.#idle = setTimeout(() => void this.close(), IDLE_MS);
      this.#idle.unref();
      this.#worker?.unref();
      return;
    }
    this.#current = job;
    this.#worker ??= this.#start();
    this.#worker.ref();
    this.#worker.postMessage(job.message);
  }

  #start(): Worker {
    const worker = new Worker(threadEntry("understanding-thread", import.meta.url), { workerData: this.#setup });
    worker.on("message", (answer: UnderstoodMessage) => {
      if (worker !== this.#worker) return;
      const job = this.#current;
      if (job === undefined) return;
      if ("understood" in answer) job.resolve(answer.understood);
      else if ("refused" in answer) {
        const { status, message, details } = answer.refused;
        job.reject(new ApiError(status, message, details));
      } else job.reject(new Error(answer.failed));
      this.#current = undefined;
      this.#next();
    });
    worker.on("error", (error) => this.#lost(worker, error));
    worker.on("exit", (code) => this.#lost(worker, new Error(`its thread ended with exit code ${code}`)));
    return worker;
  }

  /** The thread has ended, and the job that it was working on is lost. */
  #lost(worker: Worker, error: Error): void {
    if (worker !== this.#worker) return;
    this.#worker = undefined;
    this.#current?.reject(error);
    this.#current = undefined;
    this.#next();
  }

  /** The client of this job is gone. */
  #abandon(job: Job): void {
    job.reject(job.signal.reason);
    this.#waiting = this.#waiting.filter((other) => other !== job);
    if (this.#current !== job) return;
    const ending = setTimeout(() => {
      if (this.#current !== job) return;
      const worker = this.#worker;
      if (worker) this.#lost(worker, new Error("ended"));
      void worker?.terminate();
    }, ABANDONED_MS);
    ending.unref();
  }
}
