/**
 * A server whose process is killed, in this process: what is on the disk at a random moment is copied, as a kill would leave it,
 * and another server goes on with the copy, while the first one is not heard of any more. The client sees lost connections.
 */

import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import type { Wire } from "../../src/engine/tinker/transport.ts";
import { Random } from "../../src/random.ts";
import { LOCK_NAME } from "../../src/run/run-lock.ts";
import { Journal } from "../../src/serve/tinker/journal.ts";
import { bytesOf, FORWARD_BACKWARD_REQUEST, floatTensor, integerTensor } from "../../src/tinker/messages.ts";
import { asking, killed, LONGEST_DELAY, newDirectory, resultOf, root, start, ticks } from "./killed-server.ts";
import { openOver, train } from "./random-training.ts";

describe("a server that is killed", () => {
  it("loses no step and takes none twice, wherever it is killed, and its clients go on", async () => {
    let kills = 0;
    let takenOver = 0;
    for (let seed = 0; seed < 12; seed++) {
      const random = new Random(seed, "killed servers");
      // States are saved after each step, or never, so that everything is carried out again.
      const limits = { busyPerSave: random.uniform() < 0.5 ? 0 : 1e9 };
      let directory = newDirectory();
      let server = await start(directory, limits);
      let until = 2 + random.integer(18);
      let left = 4;
      let restarting: Promise<void> | undefined;
      const dead = new Set<object>();
      const restart = async (delay: number) => {
        await ticks(delay);
        const before = server;
        directory = killed(directory);
        dead.add(before);
        server = await start(directory, limits);
        // Its policies are those that it has now.
        takenOver += server.takenOver.requests;
        kills++;
        left--;
        void before.routes.close();
        until = 2 + random.integer(18);
        restarting = undefined;
      };
      const wire: Wire = async (request) => {
        await restarting;
        const asked = server;
        const answering = asked.wire(request);
        answering.catch(() => {});
        if (left > 0 && --until <= 0) restarting ??= restart(random.integer(LONGEST_DELAY));
        const answer = await answering;
        await ticks(random.integer(3));
        // What a server answers that is killed meanwhile is not heard.
        if (dead.has(asked)) throw new TypeError("fetch failed");
        return answer;
      };
      const policy = await openOver(wire, root);
      const log: string[] = [];
      await train(policy, random, 8, log);
      // No kill any more: what the score below comes after is then done on the server that is looked at.
      left = 0;
      await restarting;
      await policy.score([{ promptTokens: Int32Array.of(3), completionTokens: Int32Array.of(4) }], { temperature: 1 });
      expect(server.policies.at(-1)!.log, `schedule ${seed}`).toEqual(log);
      expect(server.defects, `schedule ${seed}`).toEqual([]);
      await policy.dispose();
      await server.routes.close();
    }
    expect(kills).toBeGreaterThan(12);
    expect(takenOver).toBeGreaterThan(5);
  });

  it("answers a repeated request as it did, with the same future, and one that was not answered yet", async () => {
    const directory = newDirectory();
    const first = await start(directory, { busyPerSave: 1e9 });
    const post = asking(first.wire);
    const { session_id } = (await post("create_session", {})).json;
    const create = { session_id, model_seq_id: 0, base_model: "tiny", lora_config: { rank: 2 } };
    const made = (await post("create_model", create)).json.request_id;
    const { model_id } = JSON.parse(await resultOf(first, made));
    const pass = FORWARD_BACKWARD_REQUEST.encode({
      ...{ modelId: model_id, seqId: 1, lossFn: "cross_entropy" },
      data: [
        {
          modelInput: [{ encodedText: { tokens: bytesOf(Int32Array.of(3, 4)) }, image: undefined, dmel: undefined }],
          lossFnInputs: new Map([
            ["target_tokens", integerTensor(Int32Array.of(4, 5))],
            ["weights", floatTensor(Float32Array.of(1, 1))],
          ]),
          modelInputSpans: [],
          lossFnInputSpans: [],
        },
      ],
    });
    const step = (seq_id: number) => ({ model_id, seq_id, adam_params: { learning_rate: seq_id } });
    const save = { model_id, seq_id: 4, sampling_session_seq_id: 0 };
    const sent = [
      ["forward_backward", pass],
      ["optim_step", step(2)],
      ["optim_step", { model_id, seq_id: 3, adam_params: { learning_rate: "fast" } }],
      ["save_weights_for_sampler", save],
    ] as const;
    const told: [id: string, result: string][] = [];
    for (const [path, body] of sent) {
      const { request_id } = (await post(path, body)).json;
      told.push([request_id, await resultOf(first, request_id)]);
    }
    const { sampling_session_id } = JSON.parse(told[3]![1]);
    const prompt = { chunks: [{ tokens: [3] }] };
    const sample = { sampling_session_id, seq_id: 0, prompt, sampling_params: { max_tokens: 2 } };
    const call = (index: number) => ({
      ...{ ...sample, seq_id: 1 + index },
      aha: { iteration: 0, prompt_id: index, call: { id: "c", index, size: 2 } },
    });
    // Of a call that is not complete, and of a number that waits for the one before it.
    const waiting = [
      ["asample", call(0)],
      ["optim_step", step(6)],
    ] as const;
    const ids = await Promise.all(waiting.map(async ([path, body]) => (await post(path, body)).json.request_id));

    const second = await start(killed(directory), { busyPerSave: 1e9 });
    expect(second.takenOver).toEqual({ sessions: 1, models: 1, requests: 2, others: 0 });
    const again = asking(second.wire);
    expect((await again("create_model", create)).json.request_id).toBe(made);
    for (const [i, [path, body]] of sent.entries()) {
      const { request_id } = (await again(path, body)).json;
      expect([request_id, await resultOf(second, request_id)], path).toEqual(told[i]);
    }
    expect((await again("optim_step", step(2.5))).status).toBe(422);
    expect((await again("optim_step", { ...step(2), seq_id: 2, extra: 1 })).status).toBe(422);
    for (const [i, [path, body]] of waiting.entries()) expect((await again(path, body)).json.request_id).toBe(ids[i]);
    await again("asample", call(1));
    await again(
      "forward_backward",
      FORWARD_BACKWARD_REQUEST.encode({ ...FORWARD_BACKWARD_REQUEST.decode(pass), seqId: 5 }),
    );
    expect(await resultOf(second, ids[0]!)).toMatch(/./);
    expect(JSON.parse(await resultOf(second, ids[1]!)).metrics).toMatchObject({ grad_norm: 4 });
    expect(second.policies[0]!.log).toEqual(["pass 1,1", "step 2", "pass 1,1", "step 6"]);
    expect(second.defects).toEqual([]);
    await first.routes.close();
    await second.routes.close();
  });
});

describe("custom losses", () => {
  const golden = JSON.parse(
    readFileSync(new URL("../golden/custom-losses.json", import.meta.url), "utf8"),
  ) as readonly {
    readonly name: string;
    readonly upload: string;
  }[];

  const textFrom = (wire: Wire) => async (path: string, body: string | Uint8Array<ArrayBuffer>) => {
    const type = typeof body === "string" ? "application/json" : "application/x-protobuf";
    const answer = await wire({ method: "POST", path: `/api/v1/${path}`, headers: { "content-type": type }, body });
    return new TextDecoder().decode(answer.body);
  };
  const textOf = async (post: ReturnType<typeof textFrom>, path: string, body: string | Uint8Array<ArrayBuffer>) => {
    const { request_id } = JSON.parse(await post(path, body));
    for (;;) {
      const text = await post("retrieve_future", JSON.stringify({ request_id }));
      if (!text.includes('"try_again"')) return text;
    }
  };
  const passOf = (modelId: string, lossId: string, seqId: number, weight: number) =>
    FORWARD_BACKWARD_REQUEST.encode({
      ...{
        modelId,
        seqId,
        lossFn: "custom",
        lossFnConfigV2: new Map([["loss_id", { text: lossId, number: undefined }]]),
      },
      data: [
        {
          modelInput: [{ encodedText: { tokens: bytesOf(Int32Array.of(3, 4)) }, image: undefined, dmel: undefined }],
          lossFnInputs: new Map([
            ["target_tokens", integerTensor(Int32Array.of(4, 5))],
            ["weights", floatTensor(Float32Array.of(weight, 1))],
          ]),
          modelInputSpans: [],
          lossFnInputSpans: [],
        },
      ],
    });

  it("are there after a kill, for passes that are carried out again and for new ones", async () => {
    const directory = newDirectory();
    const first = await start(directory, { busyPerSave: 1e9 });
    const post = textFrom(first.wire);
    const { session_id } = JSON.parse(await post("create_session", "{}"));
    const create = { session_id, model_seq_id: 0, base_model: "tiny", lora_config: { rank: 2 } };
    const { model_id } = JSON.parse(await textOf(post, "create_model", JSON.stringify(create)));
    const { upload } = golden.find(({ name }) => name === "neg_ll")!;
    const body = `{"session_id":"${session_id}","custom_loss_seq_id":0,${upload.slice(1)}`;
    const { loss_id } = JSON.parse(await textOf(post, "create_custom_loss", body));
    const pass = (seqId: number, weight: number) => passOf(model_id, loss_id, seqId, weight);
    await textOf(post, "forward_backward", pass(1, 2));
    const second = await start(killed(directory), { busyPerSave: 1e9 });
    const again = textFrom(second.wire);
    expect(await again("create_custom_loss", body)).toBe(await post("create_custom_loss", body));
    expect(await textOf(again, "forward_backward", pass(2, 3))).not.toContain("error");
    expect(second.policies[0]!.log).toEqual(["pass 2,1", "pass 3,1"]);
    expect(second.defects).toEqual([]);
    await first.routes.close();
    await second.routes.close();
  });

  it("fail where the server ended twice while a pass with one was under way, so that no pass ends every server", async () => {
    const directory = newDirectory();
    const first = await start(directory);
    const post = textFrom(first.wire);
    const { session_id } = JSON.parse(await post("create_session", "{}"));
    const create = { session_id, model_seq_id: 0, base_model: "tiny", lora_config: { rank: 2 } };
    const { model_id } = JSON.parse(await textOf(post, "create_model", JSON.stringify(create)));
    // It is evaluated for as long as some kills take.
    const node = (name: string, target: string, ...args: unknown[]) => ({ op: "call_method", name, target, args });
    const long = {
      ...{ session_id, custom_loss_seq_id: 0, name: "long", inputs: [{ name: "logprobs", rank: 1 }] },
      graph: {
        nodes: [
          { op: "placeholder", name: "logprobs", target: "logprobs" },
          node("zeros", "new_zeros", { ref: "logprobs" }, 50_000),
          ...Array.from({ length: 300 }, (_, i) => node(`x${i}`, "exp", { ref: "zeros" })),
          node("total", "sum", { ref: "logprobs" }),
          { op: "output", name: "output", target: "output", args: [{ tuple: [{ ref: "total" }, { dict: {} }] }] },
        ],
      },
    };
    const { loss_id } = JSON.parse(await textOf(post, "create_custom_loss", JSON.stringify(long)));
    const begun = (of: string) => join(of, "sessions", session_id, "begun");
    const isBegun = (of: string) => existsSync(begun(of)) && readdirSync(begun(of)).length > 0;
    const body = passOf(model_id, loss_id, 1, 1);
    const { request_id } = JSON.parse(await post("forward_backward", body));
    while (!isBegun(directory)) await ticks(1);
    const places = [killed(directory)];
    // One that is stopped, not killed, is none that has ended meanwhile.
    await first.routes.close();
    const count = (of: string) => readdirSync(begun(of)).map((name) => readFileSync(join(begun(of), name), "utf8"));
    expect(count(directory)).toEqual(["0"]);
    const second = await start(places[0]!);
    while (count(places[0]!)[0] !== "2") await ticks(1);
    places.push(killed(places[0]!));
    await second.routes.close();
    const third = await start(places[1]!);
    const again = textFrom(third.wire);
    expect(JSON.parse(await again("forward_backward", body)).request_id).toBe(request_id);
    expect(await textOf(again, "forward_backward", body)).toMatch(/ended 2 times while this request was under way/);
    expect(await textOf(again, "forward_backward", passOf(model_id, loss_id, 2, 1))).not.toContain("error");
    expect(isBegun(places[1]!)).toBe(false);
    expect([first, second, third].flatMap(({ defects }) => defects)).toEqual([]);
    await third.routes.close();
  });
});

describe("what is kept for the next server", () => {
  const post = async (wire: Wire, path: string, body: object) => {
    const headers = { "content-type": "application/json" };
    const answer = await wire({ method: "POST", path: `/api/v1/${path}`, headers, body: JSON.stringify(body) });
    return JSON.parse(new TextDecoder().decode(answer.body) || "{}");
  };

  it("goes with the session, and files that a kill cut or nobody knows are passed over", async () => {
    const directory = newDirectory();
    const first = await start(directory);
    const [one, other] = [await post(first.wire, "create_session", {}), await post(first.wire, "create_session", {})];
    await post(first.wire, `sessions/${one.session_id}/finish`, {});
    const sessions = join(directory, "sessions");
    const folders = () => readdirSync(sessions).filter((name) => statSync(join(sessions, name)).isDirectory());
    expect(folders()).toEqual([other.session_id]);
    const id = "0".repeat(32);
    writeFileSync(join(sessions, other.session_id, "requests", id), '{"id":"');
    writeFileSync(join(sessions, other.session_id, "results", id), "");
    await first.routes.close();
    const second = await start(directory);
    expect(second.takenOver).toEqual({ sessions: 1, models: 0, requests: 0, others: 0 });
    expect(await post(second.wire, "session_heartbeat", other)).toEqual({ type: "session_heartbeat" });
    await second.routes.close();
  });

  it("is a model even where what it no longer needs cannot be removed; one that cannot be read is told", async () => {
    const directory = newDirectory();
    const first = await start(directory);
    const { session_id } = await post(first.wire, "create_session", {});
    for (const model_seq_id of [0, 1]) {
      await post(first.wire, "create_model", {
        session_id,
        model_seq_id,
        base_model: "tiny",
        lora_config: { rank: 2 },
      });
    }
    const models = join(directory, "sessions", session_id, "models");
    while (!existsSync(join(models, "1", "model.json"))) await ticks(1);
    await first.routes.close();
    const uncleared = vi.spyOn(Journal.prototype, "cover").mockImplementation(() => {
      throw new Error("EACCES: permission denied, unlink");
    });
    writeFileSync(join(models, "1", "model.json"), "{");
    const second = await start(directory);
    uncleared.mockRestore();
    expect(second.takenOver).toMatchObject({ sessions: 1, models: 1 });
    expect(second.defects.map(String)).toEqual([
      expect.stringContaining("EACCES"),
      expect.stringContaining(`${session_id}:train:1 is lost`),
    ]);
    await second.routes.close();
  });

  it("is one server's, and of one base", async () => {
    const directory = newDirectory();
    const first = await start(directory);
    await post(first.wire, "create_session", {});
    await expect(start(directory)).rejects.toThrow(/in use|another/i);
    await first.routes.close();
    const second = await start(directory, {}, "another");
    expect(second.takenOver).toEqual({ sessions: 0, models: 0, requests: 0, others: 1 });
    await second.routes.close();
    expect(existsSync(join(directory, "sessions", LOCK_NAME))).toBe(false);
    const third = await start(directory);
    expect(third.takenOver.sessions).toBe(1);
    await third.routes.close();
  });

  it("has a limit, within which results make room as they become old", async () => {
    const directory = newDirectory();
    const { wire, routes } = await start(directory, {
      mostJournalBytes: 150_000,
      resultsKeptMs: 50,
      sessionSilentMs: 200,
    });
    const { session_id } = await post(wire, "create_session", {});
    const tokens = new Array(40_000).fill(1);
    const { sampling_session_id } = await post(wire, "create_sampling_session", {
      ...{ session_id, sampling_session_seq_id: 0, base_model: "tiny" },
    });
    const sample = (seq_id: number) => ({
      ...{ sampling_session_id, seq_id, prompt: { chunks: [{ tokens }] }, sampling_params: { max_tokens: 1 } },
    });
    expect((await post(wire, "asample", sample(0))).request_id).toBeDefined();
    expect((await post(wire, "asample", sample(1))).detail).toMatch(/keeps \d+ bytes .* already/);
    for (let i = 0; i < 40; i++) {
      await new Promise((resolve) => setTimeout(resolve, 25));
      if ((await post(wire, "asample", sample(1))).request_id !== undefined) break;
      await post(wire, "session_heartbeat", { session_id });
    }
    expect((await post(wire, "asample", sample(1))).request_id).toBeDefined();
    await routes.close();
  });
});
