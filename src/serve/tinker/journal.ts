/**
 * What the server keeps on the disk to go on with after its process was killed: sessions, what each has open, requests and
 * what they came to. A session has a directory, which goes when the session ends.
 *
 *     <session>/session.json             of which base
 *     <session>/sampling/<n>.json        a sampling session
 *     <session>/losses/<n>.json          a custom loss, as it was uploaded
 *     <session>/models/<n>/              a model, and its state after some request (`kept-models.ts`)
 *     <session>/requests/<id>            a request: a line of JSON about it, then its body as it came
 *     <session>/begun/<key>              how many servers ended while this was under way (`under-way.ts`), as long as it is
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
import { findSessions, type KeptSession } from "./found-sessions.ts";
import type { FutureResult } from "./future-result.ts";
import {
  digestOf,
  headed,
  type KeptSampling,
  keptResult,
  namesIn,
  payloadOf,
  resultSchema,
  type TakenRequest,
  writeKept,
} from "./kept-files.ts";
import { Refusal, RequestFailure } from "./refusal.ts";
import { UnderWay, type UnderWayKind } from "./under-way.ts";

/** Bodies up to this size are taken when the journal is full: what makes room again is among them. */
const SMALL_BODY = 1 << 16;

interface Kept {
  readonly record: TakenRequest;
  requestBytes: number;
  resultBytes: number;
  /** What is kept of it is no longer told. */
  isGone: boolean;
  hasFailed: boolean;
  /** Until its result has been written: what resolves when that is done, or has failed. It says which. */
  telling: { readonly told: Promise<boolean>; readonly tell: (isWritten: boolean) => void } | undefined;
}

/** Requests of a model that come after its state. */
interface Uncovered {
  readonly byNumber: Map<number, Kept>;
  bytes: number;
}

export class Journal {
  readonly #root: string;
  readonly #base: string;
  readonly #mostBytes: number;
  readonly #unlock: () => void;
  readonly #sessions = new Set<string>();
  readonly #kept = new Map<string, Kept>();
  /** By model. */
  readonly #uncovered = new Map<string, Uncovered>();
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
    const found = await findSessions(this.#root, this.#base);
    for (const { id, losses, requests } of found.sessions) {
      this.#sessions.add(id);
      for (const { number, text } of losses) this.#countLoss(id, number, Buffer.byteLength(text));
      for (const { record, body, result } of requests) {
        const { bytes: resultBytes = 0, kind } = result ?? {};
        const [isGone, hasFailed] = [kind === "gone", kind === "failed"];
        const telling = undefined;
        this.#add({ record, requestBytes: body?.bytes ?? 0, resultBytes, isGone, hasFailed, telling });
        if (result === undefined) this.#underWay.noteFound(begunFolder(id), record.key);
      }
    }
    return found;
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

  /** The sampling session is over. */
  async dropSampling(session: string, number: number): Promise<void> {
    await rm(join(this.#root, session, "sampling", `${number}.json`), { force: true });
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

  /**
   * Keeps a request. Throws Refusal 429 where the journal is full, 503 where it cannot be written, 410 for one that was
   * carried out, is to be carried out again after a restart, and whose result is gone.
   */
  async request(record: TakenRequest, body: Uint8Array): Promise<void> {
    if (!this.#sessions.has(record.session)) return;
    if (record.turn && this.#uncovered.get(record.turn.model)?.byNumber.has(record.turn.number)) {
      throw new Refusal(410, `Request ${record.turn.number} of the model was carried out, and its result is gone.`);
    }
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
    const telling = newTelling();
    this.#add({ record, requestBytes: body.length, resultBytes: 0, isGone: false, hasFailed: false, telling });
  }

  /**
   * Keeps what a request came to; false where its session is over. Those of one model are written in the order in which they
   * are told, so the ones that are found are the first ones.
   */
  async result(record: TakenRequest, result: FutureResult): Promise<boolean> {
    const write = async () => {
      const kept = this.#kept.get(record.id);
      if (kept === undefined) return false;
      kept.hasFailed = result.kind === "failed";
      let isWritten = false;
      try {
        const resultBytes = await this.#writeResult(record, result);
        // The session ended meanwhile, and what it had is no longer counted.
        if (this.#kept.get(record.id) !== kept) return false;
        kept.resultBytes = resultBytes;
        this.#bytes += kept.resultBytes;
        isWritten = true;
        return true;
      } finally {
        kept.telling?.tell(isWritten);
        if (isWritten) kept.telling = undefined;
      }
    };
    if (record.turn === undefined) return write();
    const { model } = record.turn;
    const turn = (this.#writing.get(model) ?? Promise.resolve()).then(write);
    const settled = turn.then(
      () => {},
      () => {},
    );
    this.#writing.set(model, settled);
    const isKept = await turn;
    if (this.#writing.get(model) === settled) this.#writing.delete(model);
    return isKept;
  }

  /** What a request came to; undefined where it is no longer kept. Throws Refusal 503 where it cannot be read at the moment. */
  async readResult({ session, id }: TakenRequest): Promise<FutureResult | undefined> {
    let bytes: Buffer;
    try {
      bytes = await readFile(this.#path({ session, id }, "results"));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return undefined;
      throw new Refusal(503, `The result cannot be read at the moment (${code ?? message}); ask for it again.`);
    }
    const [header, payload] = headed(bytes, resultSchema) ?? [];
    if (header === undefined || payload === undefined || header.payloadDigest !== digestOf(payload)) return undefined;
    const result = keptResult(header.result, payload);
    return result === "gone" ? undefined : result;
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
   * Carries out `work` that may end one server after another (`under-way.ts`). Throws RequestFailure, and begins nothing,
   * where servers have ended meanwhile too often.
   */
  async whileUnderWay<T>(kind: UnderWayKind, session: string, key: string, work: () => Promise<T>): Promise<T> {
    return this.#sessions.has(session) ? this.#underWay.during(kind, begunFolder(session), key, work) : work();
  }

  /**
   * Waits until what the model's requests up to `number` came to has been written. False where one could not be, as on a full
   * disk, and somebody may still ask for it: after a kill it is there only if the request is carried out again.
   */
  async told(model: string, number: number): Promise<boolean> {
    for (const [own, kept] of this.#uncovered.get(model)?.byNumber ?? []) {
      if (own <= number && (await kept.telling?.told) === false && !kept.isGone) return false;
    }
    return true;
  }

  /** A state of the model holds what the requests up to `number` came to. */
  cover(model: string, number: number): void {
    const uncovered = this.#uncovered.get(model);
    for (const [own, kept] of uncovered?.byNumber ?? []) {
      if (own > number) continue;
      uncovered!.byNumber.delete(own);
      uncovered!.bytes -= kept.requestBytes;
      if (kept.isGone) {
        this.#remove(kept);
        continue;
      }
      this.#bytes -= kept.requestBytes;
      kept.requestBytes = 0;
      rmSync(this.#path(kept.record, "requests"), { force: true });
    }
  }

  /** A model's requests that no state of it holds: how many, and their bytes. */
  uncovered(model: string): { readonly requests: number; readonly bytes: number } {
    const { byNumber, bytes = 0 } = this.#uncovered.get(model) ?? {};
    return { requests: byNumber?.size ?? 0, bytes };
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

  #add(kept: Kept): void {
    const { id, turn } = kept.record;
    this.#kept.set(id, kept);
    this.#bytes += kept.requestBytes + kept.resultBytes;
    if (turn === undefined || kept.requestBytes === 0) return;
    const uncovered = this.#uncovered.get(turn.model) ?? { byNumber: new Map<number, Kept>(), bytes: 0 };
    uncovered.byNumber.set(turn.number, kept);
    uncovered.bytes += kept.requestBytes;
    this.#uncovered.set(turn.model, uncovered);
  }

  #isUncovered({ record: { turn } }: Kept): boolean {
    return turn !== undefined && this.#uncovered.get(turn.model)?.byNumber.has(turn.number) === true;
  }

  #remove(kept: Kept): void {
    this.#kept.delete(kept.record.id);
    this.#bytes -= kept.requestBytes + kept.resultBytes;
    rmSync(this.#path(kept.record, "requests"), { force: true });
    rmSync(this.#path(kept.record, "results"), { force: true });
  }

  #path({ session, id }: Pick<TakenRequest, "session" | "id">, folder: "requests" | "results"): string {
    return join(this.#root, session, folder, id);
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

const begunFolder = (session: string) => join(session, "begun");

function newTelling(): NonNullable<Kept["telling"]> {
  let tell: (isWritten: boolean) => void = () => {};
  const told = new Promise<boolean>((resolve) => {
    tell = resolve;
  });
  return { told, tell };
}

function ignoreMissing(error: unknown): void {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}
