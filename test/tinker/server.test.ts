/** The Tinker server against clients of every kind: late, lost, greedy, wrong, and gone. */

import { describe, expect, it, vi } from "vitest";
import type { Sampler } from "../../src/engine/contract/sampler.ts";
import { type Answer, datum, pass, startAsked, step } from "./asked-server.ts";
import { startTinker } from "./tinker-server.ts";

describe("the order of a model's requests", () => {
  it("is that of their numbers, however they arrive, and one that is sent again is the same request", async () => {
    const { post, result, newModel, policies } = await startAsked();
    const model = await newModel();
    const answers = new Map<number, Answer>();
    for (const seq of [4, 2, 3, 1]) {
      const body = seq % 2 === 0 ? step(model, seq, seq) : pass(model, seq);
      answers.set(seq, await post(seq % 2 === 0 ? "optim_step" : "forward_backward", body));
    }
    const again = await post("optim_step", step(model, 2, 2));
    expect(again.json.request_id).toBe(answers.get(2)!.json.request_id);
    for (const answer of answers.values()) expect((await result(answer)).error).toBeUndefined();
    expect(policies[0]!.log).toEqual(["pass 0,1,1", "step 2", "pass 0,1,1", "step 4"]);
    expect((await post("optim_step", step(model, 2, 7))).status).toBe(422);
  });

  it("survives a request that makes no sense: it has used its number up", async () => {
    const { post, result, newModel, policies } = await startAsked();
    const model = await newModel();
    const bad = [
      await post("optim_step", { model_id: model, seq_id: 1, adam_params: { learning_rate: "fast" } }),
      await post("save_weights", { model_id: model, seq_id: 2, path: "../there" }),
      await post("forward_backward", pass(model, 3).subarray(0, -2)),
      await post("forward_backward", pass(model, 4, [datum({ weights: Float32Array.of(1) })])),
      await post("forward_backward", pass(model, 5, [datum({ weights: Float32Array.of(0, Number.NaN, 1) })])),
      await post("forward_backward", pass(model, 6, [datum()], "no_such_loss")),
      await post("forward_backward", pass(model, 7, [])),
    ];
    for (const answer of bad) {
      expect(answer.status).toBe(200);
      expect(await result(answer)).toMatchObject({ category: "user", error: expect.stringMatching(/\w{4}/) });
    }
    expect((await result(await post("forward_backward", pass(model, 8)))).error).toBeUndefined();
    expect(policies[0]!.log).toEqual(["pass 0,1,1"]);
  });

  it("does not wait for a number for ever", async () => {
    const { post, result, newModel, policies } = await startAsked({ missingNumberMs: 60 });
    const model = await newModel();
    const waiting = [await post("forward_backward", pass(model, 2)), await post("optim_step", step(model, 3))];
    for (const answer of waiting) expect((await result(answer)).error).toMatch(/number 1, before it, did not come/);
    expect((await result(await post("forward_backward", pass(model, 1)))).error).toMatch(/too late/);
    expect((await result(await post("forward_backward", pass(model, 4)))).error).toBeUndefined();
    expect(policies[0]!.log).toEqual(["pass 0,1,1"]);
  });
});

describe("what is refused", () => {
  it.each<[string, string, unknown, number, RegExp]>([
    ["a path that there is not", "no_such_thing", {}, 404, /no POST/],
    ["a body that is no JSON", "create_session", "{", 400, /not JSON/],
    ["a body that nests without end", "create_session", `${"[".repeat(500)}${"]".repeat(500)}`, 400, /nested/],
    ["a model of nobody", "get_info", { model_id: "nobody" }, 404, /no model/],
    [
      "a session of nobody",
      "create_model",
      { session_id: "x", model_seq_id: 0, base_model: "tiny" },
      410,
      /over or never was/,
    ],
    ["a heartbeat of nobody", "session_heartbeat", { session_id: "x" }, 410, /over or never was/],
    ["a future of nobody", "retrieve_future", { request_id: "x" }, 404, /no request/],
    ["a missing member", "session_heartbeat", {}, 422, /session_id/],
    ["a path of a checkpoint that is none", "weights_info", { tinker_path: "tinker://a/b/c" }, 400, /tinker:/],
    ["a pass as JSON", "forward_backward", {}, 415, /x-protobuf/],
    ["bytes that are no pass", "forward_backward", Uint8Array.of(0xff, 0xff), 400, /protobuf/],
  ])("%s", async (_, path, body, status, message) => {
    const { post, defects } = await startAsked();
    const answer = await post(path, body);
    expect(answer.status).toBe(status);
    expect(answer.json.detail).toMatch(message);
    expect(defects).toEqual([]);
  });

  it("a base, a rank or a checkpoint that there is not, by a future that fails", async () => {
    const { post, result, session_id } = await startAsked();
    const create = (number: number, change: object) =>
      post("create_model", {
        session_id,
        model_seq_id: number,
        base_model: "tiny",
        lora_config: { rank: 2 },
        ...change,
      });
    expect((await result(await create(0, { base_model: "other" }))).error).toMatch(/has the model tiny/);
    expect((await result(await create(1, { lora_config: { rank: 100_000 } }))).error).toMatch(/largest/);
    for (const rank of [0, -1, 2.5, "2", null, 1e300]) {
      const { status, json } = await create(4, { lora_config: { rank } });
      expect([status, json.detail], `${rank}`).toEqual([422, expect.stringMatching(/lora_config\.rank/)]);
    }
    expect((await result(await create(2, { optimizer_config: { type: "dimuon" } }))).error).toMatch(/AdamW/);
    const load = await post("load_weights", {
      session_id,
      model_seq_id: 3,
      path: "tinker://a/weights/b",
      optimizer: true,
    });
    expect((await result(load)).error).toMatch(/no checkpoint/);
  });

  it("what is beyond a limit, and others go on", async () => {
    const { post, result, newModel, session_id, policies } = await startAsked({
      mostModels: 2,
      mostData: 2,
      mostBodyBytes: 4096,
    });
    const [model] = [await newModel(0), await newModel(1)];
    const third = { session_id, model_seq_id: 2, base_model: "tiny", lora_config: { rank: 2 } };
    expect((await result(await post("create_model", third))).error).toMatch(/2 models/);
    expect((await result(await post("forward_backward", pass(model, 1, [datum(), datum(), datum()])))).error).toMatch(
      /at most 2/,
    );
    const large = pass(
      model,
      2,
      Array.from({ length: 100 }, () => datum()),
    );
    expect((await post("forward_backward", large)).status).toBe(413);
    // It was not taken, so its number is free.
    expect((await result(await post("forward_backward", pass(model, 2)))).error).toBeUndefined();
    expect(policies[0]!.log).toHaveLength(1);
    await result(await post("unload_model", { model_id: model }));
    expect((await result(await post("create_model", { ...third, model_seq_id: 3 }))).model_id).toBeDefined();
    expect((await post("get_info", { model_id: model })).status).toBe(404);
  });

  it("checkpoints beyond the limit, by a future that fails; the model trains on and others save", async () => {
    const { ask, post, result, newModel, policies, defects } = await startAsked({ mostCheckpoints: 5 });
    const model = await newModel(0);
    const save = (seq_id: number, more: object = {}) => post("save_weights", { model_id: model, seq_id, ...more });
    for (let number = 1; number <= 3; number++) await result(await save(number));
    const unnamed = { model_id: model, seq_id: 4, sampling_session_seq_id: 0 };
    expect((await result(await post("save_weights_for_sampler", unnamed))).sampling_session_id).toBeDefined();
    const refused = await result(await save(5, { path: "one-more" }));
    expect(refused).toMatchObject({ category: "user", error: expect.stringMatching(/4 checkpoints of at most 5/) });
    const sampler = { model_id: model, seq_id: 6, path: "for-sampling" };
    expect((await result(await post("save_weights_for_sampler", sampler))).error).toMatch(/no room/);
    expect((await result(await post("optim_step", step(model, 7)))).metrics.applied).toBe(1);
    expect(policies[0]!.log).toHaveLength(1);
    const other = (await post("create_session")).json.session_id as string;
    const create = { session_id: other, model_seq_id: 0, base_model: "tiny", lora_config: { rank: 2 } };
    const { model_id } = await result(await post("create_model", create));
    expect((await result(await post("save_weights", { model_id, seq_id: 1 }))).path).toMatch(/^tinker:/);
    // As the message says: some are removed.
    for (const name of ["000001", "000002"]) await ask("DELETE", `training_runs/${model}/checkpoints/weights/${name}`);
    expect((await result(await save(8, { path: "one-more" }))).path).toMatch(/one-more$/);
    expect(defects).toEqual([]);
  });

  it("what a full disk has no place for, by a future that fails; the model trains on", async () => {
    const { ask, post, result, newModel, policies, defects } = await startAsked();
    const model = await newModel();
    const full = Object.assign(new Error("ENOSPC: no space left on device, write"), {
      code: "ENOSPC",
      syscall: "write",
    });
    const policy = policies[0]! as { saveState: (directory: string) => Promise<void> };
    policy.saveState = () => Promise.reject(full);
    const refused = await result(await post("save_weights", { model_id: model, seq_id: 1, path: "one" }));
    expect(refused).toMatchObject({ category: "server", error: expect.stringMatching(/disk is full.*Delete some/) });
    expect((await ask("GET", `training_runs/${model}/checkpoints`)).json.checkpoints).toEqual([]);
    expect((await result(await post("forward_backward", pass(model, 2)))).error).toBeUndefined();
    delete (policy as Partial<typeof policy>).saveState;
    expect((await result(await post("save_weights", { model_id: model, seq_id: 3, path: "one" }))).path).toMatch(
      /one$/,
    );
    expect(defects).toEqual([]);
  });

  it("a request without the key, or with a wrong one; health is told without", async () => {
    const { url } = await startTinker({ apiKey: "tml-right" });
    const ask = (path: string, headers: Record<string, string> = {}) => fetch(`${url}/api/v1/${path}`, { headers });
    expect((await ask("healthz")).status).toBe(200);
    expect((await ask("get_server_capabilities")).status).toBe(401);
    expect((await ask("get_server_capabilities", { "x-api-key": "tml-wrong" })).status).toBe(401);
    const answer = await ask("get_server_capabilities", { "x-api-key": "tml-right" });
    expect(await answer.json()).toMatchObject({ supported_models: [{ model_name: "tiny", max_context_length: 40 }] });
  });
});

describe("sessions", () => {
  it("that fall silent are ended, with their models; others are not touched", async () => {
    const { post, newModel, session_id, result } = await startAsked({ sessionSilentMs: 1500 });
    const lost = await newModel();
    const other = (await post("create_session")).json.session_id;
    const body = { session_id: other, model_seq_id: 0, base_model: "tiny", lora_config: { rank: 2 } };
    const kept = (await result(await post("create_model", body))).model_id;
    for (let i = 0; i < 10; i++) {
      await new Promise((resolve) => setTimeout(resolve, 250));
      await post("session_heartbeat", { session_id: other });
    }
    expect((await post("session_heartbeat", { session_id })).status).toBe(410);
    expect((await post("get_info", { model_id: lost })).status).toBe(404);
    expect((await post("get_info", { model_id: kept })).status).toBe(200);
  });
});

describe("checkpoints", () => {
  it("are listed, kept over the end of the server, not written over, and removed", async () => {
    const first = await startAsked();
    const model = await first.newModel();
    await first.result(await first.post("forward_backward", pass(model, 1)));
    const save = (seq: number, change = {}) =>
      first.post("save_weights", { model_id: model, seq_id: seq, path: "one", ...change });
    const { path } = await first.result(await save(2));
    expect(path).toBe(`tinker://${model}/weights/one`);
    expect((await first.result(await save(3))).error).toMatch(/there already/);
    expect((await first.result(await save(4, { overwrite: true }))).path).toBe(path);
    await first.result(
      await first.post("save_weights_for_sampler", { model_id: model, seq_id: 5, sampling_session_seq_id: 0 }),
    );
    await first.routes.close();

    const { ask, post, result, session_id, policies } = await startAsked({}, first.directory);
    const listed = async () => (await ask("GET", `training_runs/${model}/checkpoints`)).json.checkpoints;
    // What had no name went with its session.
    expect(await listed()).toMatchObject([
      { checkpoint_id: "weights/one", checkpoint_type: "training", tinker_path: path },
    ]);
    expect((await ask("GET", `training_runs/${model}`)).json).toMatchObject({ base_model: "tiny", lora_rank: 2 });
    const loaded = await post("load_weights", { session_id, model_seq_id: 0, path, optimizer: true });
    const { model_id } = await result(loaded);
    expect(policies[0]!.log).toEqual(["pass 0,1,1"]);
    expect((await result(await post("optim_step", step(model_id, 1)))).metrics).toMatchObject({ applied: 1 });
    expect((await ask("DELETE", `training_runs/${model}/checkpoints/weights/one`)).status).toBe(204);
    expect(await listed()).toEqual([]);
    expect((await ask("DELETE", `training_runs/${model}/checkpoints/weights/one`)).status).toBe(404);
  });

  it("of models are listed page by page", async () => {
    const { ask, newModel } = await startAsked();
    const models = [await newModel(0), await newModel(1), await newModel(2)];
    const page = async (query: string) => (await ask("GET", `training_runs?${query}`)).json;
    const all = await page("limit=3");
    expect(all.training_runs.map((run: { training_run_id: string }) => run.training_run_id).sort()).toEqual(models);
    expect(await page("limit=1&offset=1")).toEqual({
      training_runs: [all.training_runs[1]],
      cursor: { offset: 1, limit: 1, total_count: 3 },
    });
    expect((await ask("GET", "training_runs?limit=-1")).status).toBe(422);
  });

  it("take no expiry that is no JSON, and no path that is wrongly encoded; neither is a defect", async () => {
    const { ask, post, newModel, result, defects } = await startAsked();
    const model = await newModel();
    await result(await post("save_weights", { model_id: model, seq_id: 1, path: "one" }));
    const expiry = (body: string) => ask("PUT", `training_runs/${model}/checkpoints/weights/one/ttl`, body);
    expect(await expiry("{")).toMatchObject({ status: 400, json: { detail: expect.stringContaining("not JSON") } });
    expect((await expiry("")).status).toBe(400);
    expect((await expiry('{"ttl_seconds": 0}')).status).toBe(422);
    expect((await expiry('{"ttl_seconds": 60}')).status).toBe(204);
    expect((await ask("GET", "samplers/%E0")).status).toBe(404);
    expect((await post("sessions/%E0/finish")).status).toBe(204);
    expect(defects).toEqual([]);
  });

  it("whose time is over are gone", async () => {
    const { post, result, newModel, session_id, policies } = await startAsked({ sessionSilentMs: 800 });
    const model = await newModel();
    const copies = vi.spyOn(policies[0]!, "snapshot");
    const save = { model_id: model, seq_id: 1, path: "brief", ttl_seconds: 1 };
    const { path } = await result(await post("save_weights_for_sampler", save));
    const closed = vi.spyOn((await copies.mock.results[0]!.value) as Sampler, "dispose");
    const sampling = { session_id, sampling_session_seq_id: 0, model_path: path };
    const { sampling_session_id } = (await post("create_sampling_session", sampling)).json;
    const sample = async (seq_id: number) => {
      const prompt = { chunks: [{ tokens: [3] }] };
      return result(await post("asample", { sampling_session_id, seq_id, prompt, sampling_params: { max_tokens: 1 } }));
    };
    expect((await sample(0)).error).toMatch(/no sampling sessions/);
    expect((await post("weights_info", { tinker_path: path })).status).toBe(200);
    expect(closed).not.toHaveBeenCalled();
    for (let i = 0; i < 100 && closed.mock.calls.length === 0; i++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      await post("session_heartbeat", { session_id });
    }
    expect((await post("weights_info", { tinker_path: path })).json.detail).toMatch(/no checkpoint/);
    // The weights that were open are closed, too.
    expect(closed).toHaveBeenCalledTimes(1);
    expect((await sample(1)).error).toMatch(/no checkpoint/);
  });
});
