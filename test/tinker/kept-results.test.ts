/** What a server has in memory and on the disk of requests that are over is bounded, however many there were. */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, describe, expect, it } from "vitest";
import type { FutureResult } from "../../src/serve/tinker/future-result.ts";
import { type FutureLimits, Futures } from "../../src/serve/tinker/futures.ts";
import { Journal } from "../../src/serve/tinker/journal.ts";
import { pass, startAsked, step } from "./asked-server.ts";
import { killed } from "./killed-server.ts";

const root = mkdtempSync(join(tmpdir(), "aha-tinker-results-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const SESSION = "00000000-0000-4000-8000-000000000000";
const LIMITS: FutureLimits = {
  mostPending: 100,
  mostResults: 1000,
  mostBytes: 2 ** 30,
  mostBytesInMemory: 2 ** 26,
  keptMs: 3_600_000,
  pollMs: 1000,
};
const listening = new AbortController().signal;

/** Bytes that tell results apart. */
const resultOf = (i: number, bytes: number): FutureResult => ({
  kind: "protobuf",
  bytes: new Uint8Array(bytes).fill(i % 251),
});

let places = 0;

async function open(limits: Partial<FutureLimits> = {}) {
  const directory = join(root, `${places++}`);
  const journal = await Journal.open(directory, "base", 2 ** 31);
  await journal.beginSession(SESSION);
  const defects: unknown[] = [];
  const futures = new Futures({ ...LIMITS, ...limits }, journal, (error) => defects.push(error));
  /** Begins a request that comes to so many bytes. */
  const begin = (i: number, bytes = 1000) =>
    futures.begin({ key: `request ${i}`, session: SESSION, name: "asample" }, `${i}`, async () => resultOf(i, bytes));
  const tell = (id: string) => futures.retrieve(id, listening);
  const files = (folder: string) => readdirSync(join(directory, SESSION, folder)).length;
  return { journal, futures, defects, begin, tell, files, directory };
}

describe("results", () => {
  it("are on the disk alone once they were told, and are told again from there", async () => {
    const { futures, begin, tell, defects, journal } = await open();
    const ids: string[] = [];
    for (let i = 0; i < 20; i++) ids.push(await begin(i));
    for (const [i, id] of ids.entries()) expect(await tell(id)).toEqual(resultOf(i, 1000));
    expect(futures.kept).toEqual({ results: 20, bytes: 20_000, bytesInMemory: 0 });
    for (const [i, id] of ids.entries()) {
      const again = await tell(id);
      expect(again).toMatchObject({ kind: "protobuf" });
      expect(Buffer.from((again as { bytes: Uint8Array }).bytes)).toEqual(Buffer.alloc(1000, i));
    }
    // The same key is the same request.
    expect(await begin(3)).toBe(ids[3]);
    expect(defects).toEqual([]);
    journal.close();
  });

  it("that nobody asks for leave memory where there are too many bytes of them, and are not lost", async () => {
    const { futures, begin, tell, journal } = await open({ mostBytesInMemory: 5000 });
    const ids: string[] = [];
    for (let i = 0; i < 20; i++) ids.push(await begin(i));
    await tell(ids.at(-1)!);
    expect(futures.kept.results).toBe(20);
    expect(futures.kept.bytesInMemory).toBeLessThanOrEqual(5000);
    expect(await tell(ids[0]!)).toMatchObject({ kind: "protobuf" });
    journal.close();
  });

  it("that were told go first where there are too many, or too many bytes, and their ids are known as gone", async () => {
    for (const limits of [{ mostResults: 10 }, { mostBytes: 10_000 }]) {
      const { futures, begin, tell, files, journal } = await open(limits);
      const [waiting, ...told] = [await begin(0), await begin(1), await begin(2)];
      for (const id of told) await tell(id);
      for (let i = 3; i < 12; i++) await tell(await begin(i));
      expect(futures.kept).toEqual({ results: 10, bytes: 10_000, bytesInMemory: 1000 });
      expect([files("requests"), files("results")]).toEqual([10, 10]);
      await expect(tell(told[0]!)).rejects.toMatchObject({ status: 410 });
      await expect(tell("0".repeat(32))).rejects.toMatchObject({ status: 404 });
      expect(await tell(waiting)).toMatchObject({ kind: "protobuf" });
      // What was forgotten and takes no turn may be carried out once more.
      expect(await tell(await begin(1))).toEqual(resultOf(1, 1000));
      journal.close();
    }
  });

  it("that cannot be written stay in memory as long as there is room, and it is told that they could not", async () => {
    const { futures, begin, tell, defects, journal } = await open({ mostBytesInMemory: 5000 });
    journal.result = async () => {
      throw new Error("No space is left.");
    };
    const ids: string[] = [];
    for (let i = 0; i < 8; i++) ids.push(await begin(i));
    await tell(ids.at(-1)!);
    expect(await tell(ids.at(-1)!)).toEqual(resultOf(7, 1000));
    await expect(tell(ids[0]!)).rejects.toMatchObject({ status: 410 });
    expect(futures.kept).toEqual({ results: 5, bytes: 5000, bytesInMemory: 5000 });
    expect(defects).toHaveLength(8);
    journal.close();
  });

  it("that cannot be read at the moment are asked for again, and are not gone", async () => {
    const { begin, tell, directory, journal } = await open();
    const id = await begin(0);
    await tell(id);
    const file = join(directory, SESSION, "results", id);
    const bytes = readFileSync(file);
    rmSync(file);
    mkdirSync(file);
    await expect(tell(id)).rejects.toMatchObject({ status: 503 });
    rmSync(file, { recursive: true });
    writeFileSync(file, bytes);
    expect(await tell(id)).toMatchObject({ kind: "protobuf" });
    // One that the end of the machine cut is gone.
    writeFileSync(file, bytes.subarray(0, -1));
    await expect(tell(id)).rejects.toMatchObject({ status: 410 });
    journal.close();
  });

  it("take less than a kilobyte of the heap each", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const { begin, tell, futures, journal } = await open({ mostResults: 10_000 });
    const used = () => {
      collect();
      return process.memoryUsage().heapUsed;
    };
    const carryOut = async (from: number, to: number) => {
      for (let i = from; i < to; i++) await tell(await begin(i));
    };
    await carryOut(0, 300);
    const before = used();
    await carryOut(300, 1300);
    expect(futures.kept).toMatchObject({ results: 1300, bytesInMemory: 0 });
    expect((used() - before) / 1000).toBeLessThan(1000);
    journal.close();
  });
});

describe("rounds of training", () => {
  it("leave as much as the limit on results says, and the requests that no state holds", async () => {
    const { post, result, newModel, routes, directory, session_id, policies, defects } = await startAsked({
      mostResults: 16,
      busyPerSave: 0,
    });
    const model = await newModel();
    const session = join(directory, "sessions", session_id);
    const files = (folder: string) => readdirSync(join(session, folder)).length;
    const sizes: number[] = [];
    for (let round = 0; round < 30; round++) {
      const seq = 1 + 2 * round;
      const answers = [
        await post("forward_backward", pass(model, seq)),
        await post("optim_step", step(model, seq + 1)),
      ];
      for (const answer of answers) expect((await result(answer)).error).toBeUndefined();
      sizes.push(files("results"));
    }
    expect(Math.max(...sizes)).toBeLessThanOrEqual(18);
    expect(files("requests")).toBeLessThanOrEqual(18);
    expect(policies[0]!.log).toHaveLength(60);
    expect(defects).toEqual([]);
    await routes.close();
  });

  it("that only score leave no requests for the next server, which goes on behind them", async () => {
    const limits = { mostResults: 4, busyPerSave: 1e9 };
    const first = await startAsked(limits);
    const model = await first.newModel();
    const score = (seq: number) => pass(model, seq, undefined, "cross_entropy", { forwardOnly: true });
    for (let seq = 1; seq <= 200; seq++) await first.result(await first.post("forward_backward", score(seq)));
    const requests = join(first.directory, "sessions", first.session_id, "requests");
    expect(readdirSync(requests).length).toBeLessThan(80);
    await first.routes.close();
    const second = await startAsked(limits, first.directory);
    const { post, result } = second;
    expect((await result(await post("forward_backward", pass(model, 201)))).error).toBeUndefined();
    expect((await result(await post("optim_step", step(model, 202)))).metrics).toMatchObject({ applied: 1 });
    // One that was carried out long ago is not carried out again.
    expect((await result(await post("forward_backward", score(1)))).error).toMatch(/too late/);
    expect([...first.defects, ...second.defects]).toEqual([]);
    await second.routes.close();
  });

  it("are not carried out twice where their results are gone and no state holds them yet", async () => {
    const { post, result, newModel, policies, routes } = await startAsked({ mostResults: 1, busyPerSave: 1e9 });
    const model = await newModel();
    const answers: string[] = [];
    for (let seq = 1; seq <= 3; seq++) {
      const answer = await post("forward_backward", pass(model, seq));
      answers.push(answer.json.request_id);
      await result(answer);
    }
    expect((await post("retrieve_future", { request_id: answers[0] })).status).toBe(410);
    expect(await post("forward_backward", pass(model, 1))).toMatchObject({
      status: 410,
      json: { detail: expect.stringContaining("was carried out") },
    });
    expect(policies[0]!.log).toHaveLength(3);
    await routes.close();
  });
});

describe("weights that a client samples from while it trains", () => {
  it("are there once, also where the client goes on with another model", async () => {
    const { post, result, newModel, routes, directory, defects } = await startAsked();
    const models = [await newModel(0), await newModel(1)];
    for (const model of models) {
      for (const seq_id of [1, 2]) {
        const save = { model_id: model, seq_id, sampling_session_seq_id: 0, kind: "inflight" };
        expect((await result(await post("save_weights_for_sampler", save))).error).toBeUndefined();
      }
    }
    const saved = models.map((model) => {
      const folder = join(directory, model.replaceAll(":", "~"), "sampler_weights");
      return readdirSync(folder).length;
    });
    expect(saved).toEqual([0, 1]);
    expect(defects).toEqual([]);
    await routes.close();
  });

  it("are those that were used last where a client saves after each step, also for the next server", async () => {
    const limits = { mostSamplingSessions: 3 };
    const first = await startAsked(limits);
    const { post, result, newModel, directory, session_id } = first;
    const model = await newModel();
    const prompt = { chunks: [{ tokens: [3] }] };
    const sessions: string[] = [];
    for (let step = 0; step < 20; step++) {
      const save = { model_id: model, seq_id: 1 + step, sampling_session_seq_id: step };
      sessions.push((await result(await post("save_weights_for_sampler", save))).sampling_session_id);
      // The first one is used all the time.
      const sample = { sampling_session_id: sessions[0], seq_id: step, prompt, sampling_params: { max_tokens: 1 } };
      expect((await post("asample", sample)).status).toBe(200);
    }
    const saved = join(directory, model.replaceAll(":", "~"), "sampler_weights");
    const kept = join(directory, "sessions", session_id, "sampling");
    expect(readdirSync(saved).sort()).toEqual(["unnamed-0", "unnamed-18", "unnamed-19"]);
    expect(readdirSync(kept).sort()).toEqual(["0.json", "18.json", "19.json"]);
    const sample = { sampling_session_id: sessions[5], seq_id: 0, prompt, sampling_params: { max_tokens: 1 } };
    expect(await post("asample", sample)).toMatchObject({
      status: 404,
      json: { detail: expect.stringContaining("the 3 that were used last are kept") },
    });
    await first.routes.close();
    const second = await startAsked(limits, directory);
    expect((await second.ask("GET", `samplers/${encodeURIComponent(sessions[19]!)}`)).status).toBe(200);
    expect((await second.ask("GET", `samplers/${encodeURIComponent(sessions[5]!)}`)).status).toBe(404);
    expect([...first.defects, ...second.defects]).toEqual([]);
    await second.routes.close();
  });
});

describe("a result that is being written when its session ends", () => {
  it("counts for nothing", async () => {
    const { journal, defects } = await open();
    const record = { id: "0".repeat(32), key: "one", digest: "", session: SESSION, name: "asample", turn: undefined };
    await journal.request(record, new Uint8Array(10));
    // So large that a thread writes it.
    const written = journal.result(record, resultOf(1, 100_000));
    await journal.endSession(SESSION);
    expect(await written.catch(() => false)).toBe(false);
    expect(journal.bytes).toBe(0);
    expect(defects).toEqual([]);
    journal.close();
  });
});

describe("a result that could not be written", () => {
  it("is there again after a kill, for no state of the model holds its request", async () => {
    const directory = join(root, `${places++}`);
    const first = await startAsked({ busyPerSave: 0 }, directory);
    const model = await first.newModel();
    const results = (of: string) => join(of, "sessions", first.session_id, "results");
    renameSync(results(directory), `${results(directory)}-before`);
    writeFileSync(results(directory), "in the way");
    await first.post("forward_backward", pass(model, 1));
    const stepped = await first.post("optim_step", step(model, 2));
    // Its turn comes after the state would have been saved.
    await first.result(await first.post("forward_backward", pass(model, 3)));
    const copy = killed(directory);
    rmSync(results(copy));
    renameSync(`${results(copy)}-before`, results(copy));
    const second = await startAsked({ busyPerSave: 0 }, copy);
    expect((await second.result(stepped)).metrics).toMatchObject({ applied: 1 });
    expect(second.policies[0]!.log.slice(0, 2)).toEqual(first.policies[0]!.log.slice(0, 2));
    expect(second.defects).toEqual([]);
    // Now that they are written a state holds them.
    await second.result(await second.post("optim_step", step(model, 4)));
    await second.result(await second.post("optim_step", step(model, 5)));
    const kept = join(copy, "sessions", first.session_id, "models", "0", "model.json");
    expect(JSON.parse(readFileSync(kept, "utf8")).next).toBeGreaterThanOrEqual(5);
    for (const { routes } of [first, second]) await routes.close();
  });
});
