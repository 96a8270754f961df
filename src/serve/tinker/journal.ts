/**
 * What the server keeps on the disk to go on with after its process was killed: sessions, what each has open, requests and
 * what they came to. A session has a directory, which goes when the session ends.
 *
 *     <session>/session.json             of which base
 *     <session>/sampling/<n>.json        a sampling session
 *     <session>/losses/<n>.json          a custom loss, as it was uploaded
 *     <session>/models/<n>/              a model, and its state after some request (`kept-models.ts`)
 *     <session>/requests/<id>            a request: a line of JSON about it, then its body as it came
 *     <session>/begun/<key>              how often a request of a client's own computation was begun, while it is under way
 *     <session>/results/<id>             what it came to: the line once more, then the result
 *
 * Every file appears whole or not at all. Requests and results are not flushed to the disk one by one: what was written
 * outlives the process in any case, and the machine where its disk had a second. A file that was cut by the end of the
 * machine is told by its digest and passed over.
 */

import { mkdirSync, rmSync } from "node:fs";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { z } from "zod";
import { TEMPORARY_PREFIX, writeFailure } from "../../files.ts";
import { lockRun } from "../../run/run-lock.ts";
import type { FutureResult } from "./future-result.ts";
import {
  digestOf,
  type KeptSampling,
  keptResult,
  namesIn,
  payloadOf,
  readHeaded,
  readJson,
  recordSchema,
  resultSchema,
  samplingSchema,
  sessionSchema,
  type TakenRequest,
  writeKept,
} from "./kept-files.ts";
import { Refusal, RequestFailure } from "./refusal.ts";
import { UnderWay } from "./under-way.ts";

/** A request as it was found. */
export interface KeptRequest {
  readonly record: TakenRequest;
  /** Undefined where it is no longer needed. */
  readonly body: Uint8Array | undefined;
  /** Undefined where it was not carried out. */
  readonly result: FutureResult | "gone" | undefined;
}

/** A session as it was found. */
export interface KeptSession {
  readonly id: string;
  /** The custom losses, as they were uploaded. */
  readonly losses: readonly { readonly number: number; readonly text: string }[];
  readonly sampling: readonly KeptSampling[];
  readonly requests: readonly KeptRequest[];
}

/** Bodies up to this size are taken when the journal is full: what makes room again is among them. */
const SMALL_BODY = 1 << 16;

interface Kept {
  readonly record: TakenRequest;
  requestBytes: number;
  resultBytes: number;
  /** What is kept of it is no longer told. */
  isGone: boolean;
  hasFailed: boolean;
  /** Resolves when its result has been written. */
  readonly told: Promise<void>;
  readonly tell: () => void;
}

export class Journal {
  readonly #root: string;
  readonly #base: string;
  readonly #mostBytes: number;
  readonly #unlock: () => void;
  readonly #sessions = new Set<string>();
  readonly #kept = new Map<string, Kept>();
  /** By model: requests that come after its state, by their numbers. */
  readonly #uncovered = new Map<string, Map<number, Kept>>();
  /** By model: the end of what is being written. */
  readonly #writing = new Map<string, Promise<void>>();
  /** By session: bytes of its custom losses, by their numbers. */
  readonly #losses = new Map<string, Map<number, number>>();
  readonly #underWay: UnderWay;
  #bytes = 0;

  private constructor(root: string, base: string, mostBytes: number, unlock: () => void) {
    this.#root = root;
    this.#underWay = new UnderWay(root);
    this.#base = base;
    this.#mostBytes = mostBytes;
    this.#unlock = unlock;
  }

  /**
   * The journal in a directory, which is made where there is none. `base` says which weights the sessions are about: those
   * about others are left as they are.
   *
   * @throws RunDirError where another server has it.
   */
  static async open(root: string, base: string, mostBytes: number): Promise<Journal> {
    try {
      await mkdir(root, { recursive: true });
    } catch (error) {
      throw writeFailure(root, error);
    }
    return new Journal(root, base, mostBytes, lockRun(root));
  }

  /** Bytes of requests, results and custom losses. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The sessions that were there when the server before ended, and how many there are of another base. */
  async read(): Promise<{ readonly sessions: readonly KeptSession[]; readonly others: number }> {
    const sessions: KeptSession[] = [];
    let others = 0;
    for (const id of await namesIn(this.#root)) {
      if (id.startsWith(TEMPORARY_PREFIX)) {
        await rm(join(this.#root, id), { recursive: true, force: true });
        continue;
      }
      if (!/^[0-9a-f-]{36}$/.test(id)) continue;
      const about = await readJson(join(this.#root, id, "session.json"), sessionSchema);
      if (about === undefined) {
        // It was ending, or had only begun.
        await rm(join(this.#root, id), { recursive: true, force: true });
        continue;
      }
      if (about.base !== this.#base) {
        others++;
        continue;
      }
      this.#sessions.add(id);
      const sampling: KeptSampling[] = [];
      for (const name of await namesIn(join(this.#root, id, "sampling"))) {
        const found = await readJson(join(this.#root, id, "sampling", name), samplingSchema);
        if (found) sampling.push(found);
      }
      sessions.push({ id, losses: await this.#readLosses(id), sampling, requests: await this.#readRequests(id) });
    }
    return { sessions, others };
  }

  async beginSession(id: string): Promise<void> {
    for (const folder of ["sampling", "models", "requests", "results"]) {
      mkdirSync(join(this.#root, id, folder), { recursive: true });
    }
    const about = { base: this.#base, beganAt: new Date().toISOString() };
    await writeKept(this.#root, join(id, "session.json"), [JSON.stringify(about)]);
    this.#sessions.add(id);
  }

  async endSession(id: string): Promise<void> {
    if (!this.#sessions.delete(id)) return;
    for (const [key, kept] of this.#kept) {
      if (kept.record.session !== id) continue;
      this.#bytes -= kept.requestBytes + kept.resultBytes;
      this.#kept.delete(key);
      if (kept.record.turn) this.forgetModel(kept.record.turn.model);
    }
    for (const bytes of this.#losses.get(id)?.values() ?? []) this.#bytes -= bytes;
    this.#losses.delete(id);
    // Renamed first: a server that is killed in between finds no half of a session.
    const gone = join(this.#root, `${TEMPORARY_PREFIX}${id}`);
    await rename(join(this.#root, id), gone).catch(ignoreMissing);
    await rm(gone, { recursive: true, force: true });
  }

  async keepSampling(session: string, sampling: KeptSampling): Promise<void> {
    if (!this.#sessions.has(session)) return;
    await writeKept(this.#root, join(session, "sampling", `${sampling.number}.json`), [JSON.stringify(sampling)]);
  }

  /** Throws RequestFailure where the journal is full. */
  async keepLoss(session: string, number: number, text: string): Promise<void> {
    if (!this.#sessions.has(session)) return;
    const bytes = Buffer.byteLength(text);
    if (this.#bytes + bytes > this.#mostBytes) {
      throw new RequestFailure(
        `The server keeps ${this.#bytes} bytes of requests, results and custom losses already; this loss has ${bytes} more.`,
        "server",
      );
    }
    this.#countLoss(session, number, bytes);
    mkdirSync(join(this.#root, session, "losses"), { recursive: true });
    await writeKept(this.#root, join(session, "losses", `${number}.json`), [text]);
  }

  /** The directory of a model. */
  modelDirectory(session: string, number: number): string {
    return join(this.#root, session, "models", `${number}`);
  }

  /** The numbers of a session's models. */
  async modelNumbers(session: string): Promise<number[]> {
    return (await namesIn(join(this.#root, session, "models"))).filter((name) => /^\d+$/.test(name)).map(Number);
  }

  /** Keeps a request. Throws Refusal 429 where the journal is full, 503 where it cannot be written. */
  async request(record: TakenRequest, body: Uint8Array): Promise<void> {
    if (!this.#sessions.has(record.session)) return;
    if (body.length > SMALL_BODY && this.#bytes + body.length > this.#mostBytes) {
      throw new Refusal(
        429,
        `The server keeps ${this.#bytes} bytes of requests and results already, to go on after a restart. ` +
          "Room is made as results become old, and by optim_step.",
      );
    }
    try {
      await writeKept(this.#root, join(record.session, "requests", record.id), [JSON.stringify(record), "\n", body]);
    } catch (error) {
      const { message } = writeFailure(this.#root, error) as Error;
      throw new Refusal(503, message);
    }
    this.#add({ record, requestBytes: body.length, resultBytes: 0, isGone: false, hasFailed: false });
  }

  /**
   * Keeps what a request came to. Those of one model are written in the order in which they are told, so the ones that are
   * found are the first ones.
   */
  async result(record: TakenRequest, result: FutureResult): Promise<void> {
    const write = async () => {
      const kept = this.#kept.get(record.id);
      if (kept === undefined) return;
      kept.hasFailed = result.kind === "failed";
      try {
        kept.resultBytes = await this.#writeResult(record, result);
        this.#bytes += kept.resultBytes;
      } finally {
        kept.tell();
      }
    };
    if (record.turn === undefined) return write();
    const { model } = record.turn;
    const turn = (this.#writing.get(model) ?? Promise.resolve()).then(write);
    const settled = turn.catch(() => {});
    this.#writing.set(model, settled);
    await turn;
    if (this.#writing.get(model) === settled) this.#writing.delete(model);
  }

  /** A result was kept for long enough. */
  async drop(record: TakenRequest): Promise<void> {
    const kept = this.#kept.get(record.id);
    if (kept === undefined) return;
    kept.isGone = true;
    if (!this.#isUncovered(kept)) return this.#remove(kept);
    // That it failed has to be known as long as it may be carried out again.
    if (kept.hasFailed) return;
    this.#bytes -= kept.resultBytes;
    kept.resultBytes = 0;
    await this.#writeResult(record, "gone");
  }

  /**
   * Carries out `work` of a request whose computation its client has made up (`under-way.ts`). Throws RequestFailure, and
   * begins nothing, where servers have ended meanwhile twice.
   */
  async whileUnderWay<T>(session: string, key: string, work: () => Promise<T>): Promise<T> {
    return this.#sessions.has(session) ? this.#underWay.during(join(session, "begun"), key, work) : work();
  }

  /** Waits until what the model's request of this number came to has been written. */
  async told(model: string, number: number): Promise<void> {
    await this.#uncovered.get(model)?.get(number)?.told;
  }

  /** A state of the model holds what the requests up to `number` came to. */
  cover(model: string, number: number): void {
    const uncovered = this.#uncovered.get(model);
    for (const [own, kept] of uncovered ?? []) {
      if (own > number) continue;
      uncovered!.delete(own);
      if (kept.isGone) {
        this.#remove(kept);
        continue;
      }
      this.#bytes -= kept.requestBytes;
      kept.requestBytes = 0;
      rmSync(this.#path(kept.record, "requests"), { force: true });
    }
  }

  /** Bytes of a model's requests that no state of it holds. */
  uncoveredBytes(model: string): number {
    let bytes = 0;
    for (const { requestBytes } of this.#uncovered.get(model)?.values() ?? []) bytes += requestBytes;
    return bytes;
  }

  /** The model was unloaded: its requests need not be carried out again. */
  forgetModel(model: string): void {
    this.#uncovered.delete(model);
  }

  #countLoss(session: string, number: number, bytes: number): void {
    const losses = this.#losses.get(session) ?? new Map<number, number>();
    this.#bytes += bytes - (losses.get(number) ?? 0);
    this.#losses.set(session, losses.set(number, bytes));
  }

  /** Lets another server have it. What is under way was stopped, and did not end this one. */
  close(): void {
    this.#underWay.close();
    this.#unlock();
  }

  #add(about: Omit<Kept, "told" | "tell">): Kept {
    let tell: () => void = () => {};
    const told = new Promise<void>((resolve) => {
      tell = resolve;
    });
    const kept: Kept = { ...about, told, tell };
    const { id, turn } = kept.record;
    this.#kept.set(id, kept);
    this.#bytes += kept.requestBytes + kept.resultBytes;
    if (turn === undefined || kept.requestBytes === 0) return kept;
    const uncovered = this.#uncovered.get(turn.model) ?? new Map<number, Kept>();
    this.#uncovered.set(turn.model, uncovered.set(turn.number, kept));
    return kept;
  }

  #isUncovered({ record: { turn } }: Kept): boolean {
    return turn !== undefined && this.#uncovered.get(turn.model)?.has(turn.number) === true;
  }

  #remove(kept: Kept): void {
    this.#kept.delete(kept.record.id);
    this.#bytes -= kept.requestBytes + kept.resultBytes;
    rmSync(this.#path(kept.record, "requests"), { force: true });
    rmSync(this.#path(kept.record, "results"), { force: true });
  }

  #path({ session, id }: TakenRequest, folder: "requests" | "results"): string {
    return join(this.#root, session, folder, id);
  }

  async #readLosses(session: string): Promise<{ number: number; text: string }[]> {
    const names = (await namesIn(join(this.#root, session, "losses"))).filter((name) => /^\d+\.json$/.test(name));
    const texts = await Promise.all(names.map((name) => readFile(join(this.#root, session, "losses", name), "utf8")));
    const losses = names.map((name, i) => ({ number: Number.parseInt(name, 10), text: texts[i]! }));
    for (const { number, text } of losses) this.#countLoss(session, number, Buffer.byteLength(text));
    return losses;
  }

  async #readRequests(session: string): Promise<KeptRequest[]> {
    const found = new Map<string, KeptRequest & { readonly resultBytes: number }>();
    for (const id of await namesIn(join(this.#root, session, "requests"))) {
      const [record, body] = (await readHeaded(join(this.#root, session, "requests", id), recordSchema)) ?? [];
      if (record?.id === id && body && record.digest === digestOf(body)) {
        found.set(id, { record, body, result: undefined, resultBytes: 0 });
      }
    }
    for (const id of await namesIn(join(this.#root, session, "results"))) {
      const [header, payload] = (await readHeaded(join(this.#root, session, "results", id), resultSchema)) ?? [];
      if (header?.id !== id || !payload || header.payloadDigest !== digestOf(payload)) continue;
      const { result, payloadDigest: _, ...record } = header;
      const told = { record, result: keptResult(result, payload), resultBytes: payload.length };
      found.set(id, { body: found.get(id)?.body, ...told });
    }
    return [...found.values()].map(({ record, body, result, resultBytes }) => {
      const isGone = result === "gone";
      const hasFailed = result !== undefined && result !== "gone" && result.kind === "failed";
      const kept = this.#add({ record, requestBytes: body?.length ?? 0, resultBytes, isGone, hasFailed });
      if (result !== undefined) kept.tell();
      return { record, body, result };
    });
  }

  async #writeResult(record: TakenRequest, result: FutureResult | "gone"): Promise<number> {
    const payload = result === "gone" ? new Uint8Array(0) : payloadOf(result);
    const header: z.input<typeof resultSchema> = {
      ...record,
      result:
        result === "gone"
          ? { kind: "gone" }
          : result.kind === "failed"
            ? { kind: "failed", category: result.category }
            : { kind: result.kind },
      payloadDigest: digestOf(payload),
    };
    await writeKept(this.#root, join(record.session, "results", record.id), [
      JSON.stringify(header),
      "\n",
      payload,
    ]).catch((error: unknown) => {
      // The session ended meanwhile.
      if (this.#sessions.has(record.session)) throw writeFailure(this.#root, error);
    });
    return payload.length;
  }
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
