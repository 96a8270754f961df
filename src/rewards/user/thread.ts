/**
 * A user's reward as the training thread sees it: asks the worker thread, keeps the time, and starts a new thread where
 * one hangs or dies. Judgements that did not cause the loss are asked again; the one that caused it becomes an
 * abstention with the reason.
 *
 * Each judgement has `timeoutMs`, counted from when the judge is called. A judge that holds the thread (an endless loop)
 * can only be stopped together with it: the others under way then start again. So a judge should not depend on what it
 * was asked before, but through `saveState`, which a new thread is given.
 *
 * A reward that always hangs or crashes would cost its time limit for each completion of the run. So after `MAX_LOSSES`
 * threads in a row that judged nothing the reward is abandoned: it abstains immediately until it is opened again. Its
 * results say so (`isAbandoned`), and the run raises an alarm.
 */

import { existsSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { ConfigError } from "../../errors.ts";
import { withPlainNumbers } from "../../exact-json.ts";
import { threadEntry, tsxAddress } from "../../thread-entry.ts";
import { abstention } from "../judge.ts";
import type { BatchReward, RewardInput, RewardResult } from "../reward.ts";
import { DEFAULT_TIMEOUT_MS } from "./definition.ts";
import type { JudgeRequest, ThreadMessage, ThreadSetup } from "./messages.ts";
import { isTypeScript, type RewardReference } from "./reference.ts";
import { Stopwatch } from "./stopwatch.ts";

/** Loading a file and what it imports may take longer than a judgement. */
const LOAD_TIMEOUT_MS = 60_000;
/** A reward whose memory grows and grows ends its own thread, not the run (one huge array at once still ends the process,
 * from which the run is resumed). */
const DEFAULT_HEAP_MB = 1024;

/**
 * After so many lost threads in a row, none of which judged anything, the reward is abandoned. The number is small if
 * it has never judged. It is larger if it has, because a few completions that it cannot handle may follow each other by
 * chance.
 */
const MAX_LOSSES = { atFirst: 3, later: 10 } as const;

/** How a user's reward is asked. */
export interface UserRewardOptions {
  /** Given to the judge. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** For one judgement, or one of a whole batch. */
  readonly timeoutMs?: number;
  /** Most memory of its thread. */
  readonly maxHeapMb?: number;
}

/** Why a thread ended, where it was not stopped by us. */
type Ending = { readonly reason: string };

/** A reward of the user's own, in a thread of its own that is ended where it takes too long. */
export class UserReward implements BatchReward {
  readonly name: string;
  readonly #reference: RewardReference;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #timeoutMs: number;
  readonly #maxHeapMb: number;
  /** Loaded and idle, or being asked; undefined where it has to be started first. */
  #worker: Worker | undefined;
  #state: string | undefined;
  /** Threads in a row that were lost before they had judged anything. */
  #losses = 0;
  /** It has judged something since it was opened. */
  #hasJudged = false;
  /** Why it is not asked any more. */
  #abandoned: string | undefined;
  /** Batches wait for each other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(reference: RewardReference, options: UserRewardOptions = {}) {
    this.name = reference.label;
    this.#reference = reference;
    this.#options = options.options ?? {};
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#maxHeapMb = options.maxHeapMb ?? DEFAULT_HEAP_MB;
  }

  /** Loads the file, from a state where one is given. Throws ConfigError where it cannot be loaded. */
  async open(state?: string): Promise<void> {
    this.#state = state ?? this.#state;
    this.#losses = 0;
    this.#hasJudged = false;
    this.#abandoned = undefined;
    const { file, exportName } = this.#reference;
    if (!existsSync(file))
      throw new ConfigError(`The reward ${file}#${exportName} does not exist: there is no such file.`);
    const refusal = await this.#start();
    if (refusal === undefined) return;
    throw new ConfigError(`The reward ${file}#${exportName} cannot be used: ${refusal.reason}.`);
  }

  /** Never rejects: what cannot be judged is an abstention. */
  judgeBatch(inputs: readonly RewardInput[]): Promise<RewardResult[]> {
    const work = this.#turn.then(() => this.#judge(inputs));
    this.#turn = work;
    return work;
  }

  state(): string | undefined {
    return this.#state;
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    await worker?.terminate();
  }

  async #judge(inputs: readonly RewardInput[]): Promise<RewardResult[]> {
    const results = new Map<number, RewardResult>();
    while (results.size < inputs.length) {
      const open = [...inputs.keys()].filter((index) => !results.has(index));
      if (this.#abandoned !== undefined) {
        const result = { ...abstention(this.#abandoned), isAbandoned: true };
        for (const index of open) results.set(index, result);
        break;
      }
      const refusal = this.#worker ? undefined : await this.#start();
      if (refusal === undefined) await this.#ask(inputs, open, results);
      else {
        this.#lose(refusal.reason);
        for (const index of open) results.set(index, abstention(`could not be started again: ${refusal.reason}`));
      }
    }
    return inputs.map((_, index) => results.get(index)!);
  }

  /** Counts a thread that was lost before it judged anything, and abandons the reward after several in a row. */
  #lose(reason: string): void {
    this.#losses++;
    if (this.#losses < (this.#hasJudged ? MAX_LOSSES.later : MAX_LOSSES.atFirst)) return;
    this.#abandoned = `abandoned after ${this.#losses} failures in a row, the last: ${reason}`;
  }

  /** Starts the thread; what it says where the file cannot be loaded. */
  async #start(): Promise<Ending | undefined> {
    await this.close();
    let worker: Worker;
    try {
      const { file, exportName } = this.#reference;
      const setup = {
        file,
        exportName,
        options: this.#options,
        typeScriptLoader: isTypeScript(file) ? typeScriptLoader() : undefined,
        ahaAddress: new URL(`../../index${ownEnding}`, import.meta.url).href,
        state: this.#state,
      };
      worker = startWorker(setup, this.#maxHeapMb);
    } catch (error) {
      if (error instanceof ConfigError) return { reason: error.message.replace(/\.$/, "") };
      throw error;
    }
    const answer = await new Promise<ThreadMessage | Ending>((resolve) => {
      const tooLong = { reason: `it was not loaded within ${LOAD_TIMEOUT_MS / 1000} seconds` };
      const timer = setTimeout(() => resolve(tooLong), LOAD_TIMEOUT_MS);
      listen(worker, (message) => {
        clearTimeout(timer);
        resolve(message);
      });
    });
    if ("type" in answer && answer.type === "ready") {
      this.#rest(worker);
      return undefined;
    }
    await worker.terminate();
    return "reason" in answer ? answer : { reason: "it said something else than that it is loaded" };
  }

  /** Keeps a loaded thread, which does not prevent the process from ending; a thread that ends by itself is dropped. */
  #rest(worker: Worker): void {
    this.#worker = worker;
    worker.unref();
    listen(worker, (message) => {
      if (!("type" in message) && this.#worker === worker) this.#worker = undefined;
    });
  }

  /** Asks the thread about the inputs that are `open`, until all are judged or the thread is gone. */
  async #ask(
    inputs: readonly RewardInput[],
    open: readonly number[],
    results: Map<number, RewardResult>,
  ): Promise<void> {
    const worker = this.#worker!;
    const watch = new Stopwatch(this.#timeoutMs);
    const give = (indices: readonly number[], result: RewardResult) => {
      for (const index of indices) results.set(open[index]!, result);
    };
    let hasJudged = false;
    /** Every lost thread is blamed on at least one judgement, so that the loop ends. */
    const blame = (indices: readonly number[], reason: string) => {
      if (!hasJudged) this.#lose(reason);
      const waiting = [...open.keys()].filter((index) => !results.has(open[index]!)).slice(0, 1);
      give(indices.length > 0 ? indices : waiting, abstention(reason));
    };
    worker.ref();
    try {
      const isSound = await new Promise<boolean>((resolve) => {
        const end = (sound: boolean) => {
          listen(worker, () => {});
          resolve(sound);
        };
        watch.onTimeout = (late) => {
          blame(late, `took longer than ${this.#timeoutMs} ms`);
          end(false);
        };
        listen(worker, (message) => {
          if (!("type" in message)) {
            blame(watch.underWay(), message.reason);
            end(false);
          } else if (message.type === "started") watch.start(message.indices);
          else if (message.type === "waiting") watch.release(message.indices);
          else if (message.type === "judged") {
            watch.stop(message.index);
            hasJudged = this.#hasJudged = true;
            this.#losses = 0;
            give([message.index], message.result);
          } else if (message.type === "done") {
            if ("stateFault" in message) give([...open.keys()], abstention(`saveState failed: ${message.stateFault}`));
            else this.#state = message.state;
            end(true);
          }
        });
        worker.postMessage({ inputs: open.map((index) => sendable(inputs[index]!)) } satisfies JudgeRequest);
      });
      if (isSound) this.#rest(worker);
      else await this.close();
    } finally {
      watch.dispose();
    }
  }
}

/** An input as a thread can be sent it. */
function sendable(input: RewardInput): RewardInput {
  return { ...input, columns: withPlainNumbers(input.columns) as RewardInput["columns"] };
}

/** Passes on the messages of a thread, and its end. */
function listen(worker: Worker, hear: (message: ThreadMessage | Ending) => void): void {
  worker.removeAllListeners();
  worker.on("message", (message: ThreadMessage) => hear(message));
  worker.on("error", (error: NodeJS.ErrnoException) => {
    const outOfMemory = error.code === "ERR_WORKER_OUT_OF_MEMORY";
    hear({ reason: outOfMemory ? "used up its thread's memory" : `ended its thread: ${error.message}` });
  });
  worker.on("exit", (code) => hear({ reason: `ended its thread with exit code ${code}` }));
}

/** `.ts` where Aha runs from its sources (tests, benches), `.js` where it was built. */
const ownEnding = import.meta.url.endsWith(".ts") ? ".ts" : ".js";

function startWorker(setup: ThreadSetup, maxHeapMb: number): Worker {
  const worker = new Worker(threadEntry("worker", import.meta.url), {
    workerData: setup,
    resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
    stdout: true,
    stderr: true,
  });
  // What a reward prints is for people: standard output may be JSON for a program.
  for (const stream of [worker.stdout, worker.stderr]) {
    stream.on("data", (chunk: Uint8Array) => void process.stderr.write(chunk));
  }
  return worker;
}

/**
 * The address of tsx, which lets Node read TypeScript with everything that it imports; undefined where tsx is not
 * installed but Node itself can (22.18 and later).
 *
 * @throws ConfigError where neither is so.
 */
function typeScriptLoader(): string | undefined {
  const address = tsxAddress();
  if (address !== undefined) return address;
  if ("typescript" in process.features && process.features.typescript) return undefined;
  throw new ConfigError(
    "Node 20 does not read TypeScript by itself: install tsx (npm install tsx), take Node 22.18 or later, or write the " +
      "reward in JavaScript.",
  );
}
