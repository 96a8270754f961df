/** Saved weights by their paths in OpenAI's routes, beside the base. */

import { expect, it } from "vitest";
import {
  bytesOf,
  FORWARD_BACKWARD_REQUEST,
  floatsIn,
  floatTensor,
  int32sIn,
  integerTensor,
  SAMPLE_RESPONSE,
} from "../../src/tinker/messages.ts";
import { startTinker } from "./tinker-server.ts";

it("are served as they are sampled by the protocol, until they are gone", async () => {
  const { url, defects } = await startTinker({ apiKey: "tml-key" });
  const ask = async (method: string, path: string, body?: object | Uint8Array<ArrayBuffer>) => {
    const isBytes = body instanceof Uint8Array;
    return fetch(`${url}${path}`, {
      method,
      headers: {
        ...{ "x-api-key": "tml-key", authorization: "Bearer tml-key" },
        "content-type": isBytes ? "application/x-protobuf" : "application/json",
      },
      ...(body && { body: isBytes ? body : JSON.stringify(body) }),
    });
  };
  // biome-ignore lint/suspicious/noExplicitAny: answers of many shapes
  const post = async (path: string, body: object | Uint8Array<ArrayBuffer>): Promise<any> =>
    (await ask("POST", path, body)).json();
  const resultOf = async (path: string, body: object | Uint8Array<ArrayBuffer>) => {
    const { request_id } = await post(`/api/v1/${path}`, body);
    return ask("POST", "/api/v1/retrieve_future", { request_id });
  };
  const { session_id } = await post("/api/v1/create_session", {});
  const create = { session_id, model_seq_id: 0, base_model: "tiny", lora_config: { rank: 2, seed: 1 } };
  const { model_id } = (await (await resultOf("create_model", create)).json()) as { model_id: string };
  const data = [
    {
      modelInput: [{ encodedText: { tokens: bytesOf(Int32Array.of(3, 4)) }, image: undefined, dmel: undefined }],
      lossFnInputs: new Map([
        ["target_tokens", integerTensor(Int32Array.of(4, 5))],
        ["weights", floatTensor(Float32Array.of(1, 1))],
      ]),
      modelInputSpans: [],
      lossFnInputSpans: [],
    },
  ];
  const pass = FORWARD_BACKWARD_REQUEST.encode({ modelId: model_id, seqId: 1, lossFn: "cross_entropy", data });
  await resultOf("forward_backward", pass);
  await resultOf("optim_step", { model_id, seq_id: 2, adam_params: { learning_rate: 0.3 } });
  const saved = await resultOf("save_weights_for_sampler", { model_id, seq_id: 3, path: "one" });
  const { path } = (await saved.json()) as { path: string };
  const state = await resultOf("save_weights", { model_id, seq_id: 4, path: "two" });

  const sampling = { session_id, sampling_session_seq_id: 0, model_path: path };
  const { sampling_session_id } = await post("/api/v1/create_sampling_session", sampling);
  const answer = await resultOf("asample", {
    ...{ sampling_session_id, seq_id: 0, prompt: { chunks: [{ tokens: [3, 4] }] } },
    sampling_params: { max_tokens: 4, temperature: 0, stop: [] },
  });
  const [sampled] = SAMPLE_RESPONSE.decode(new Uint8Array(await answer.arrayBuffer())).sequences;
  const expected = [...floatsIn(sampled!.logprobs)];
  const tokens = [...int32sIn(sampled!.tokens)];

  const completion = async (model: string) => {
    const body = { model, prompt: [3, 4], max_tokens: 4, temperature: 0, logprobs: 1, ignore_eos: true };
    return post("/v1/completions", body);
  };
  const own = await completion(path);
  expect(own.model).toBe(path);
  const logprobs = own.choices[0].logprobs.token_logprobs as number[];
  expect(logprobs).toHaveLength(tokens.length);
  for (const [i, value] of logprobs.entries()) expect(value).toBeCloseTo(expected[i]!, 4);
  const base = await completion("tiny");
  expect(base.model).toBe("tiny");
  expect(base.choices[0].logprobs.token_logprobs).not.toEqual(logprobs);

  const card = await (await ask("GET", `/v1/models/${encodeURIComponent(path)}`)).json();
  expect(card).toMatchObject({ id: path, parent: "tiny", object: "model" });
  expect((await post("/tokenize", { model: path, prompt: "abc" })).count).toBe(3);
  for (const [model, message] of [
    [`${path}x`, /no checkpoint/],
    [((await state.json()) as { path: string }).path, /state of training/],
    ["tinker://nobody", /Expected tinker:/],
  ] as const) {
    const { error } = await completion(model);
    expect(error).toMatchObject({ code: "model_not_found", param: "model", message: expect.stringMatching(message) });
  }
  expect((await ask("DELETE", `/api/v1/training_runs/${model_id}/checkpoints/sampler_weights/one`)).status).toBe(204);
  expect((await completion(path)).error.code).toBe("model_not_found");
  expect(defects).toEqual([]);
});
