/** How a request says it wants to be sampled, and how the model's own defaults stand in where it does not. */

import { describe, expect, it } from "vitest";
import { CheckpointError } from "../../src/errors.ts";
import { describeDefaults, generationDefaultsOf } from "../../src/serve/sampling-defaults.ts";
import { startServer } from "./running-server.ts";
import { CHAT, chat, completion, newSession, serve } from "./scripted-server.ts";
import { scriptedModel } from "./scripted-session.ts";

describe("penalties, biases and min-p", () => {
  it("reach the engine as they are", async () => {
    const session = newSession();
    const { post } = await serve({}, session);
    const fields = {
      frequency_penalty: 0.5,
      presence_penalty: -1,
      repetition_penalty: 1.2,
      min_p: 0.1,
      logit_bias: { 5: -100, "7": 2.5 },
    };
    for (const path of [CHAT, "/v1/completions"]) {
      expect((await post(path, { ...(path === CHAT ? chat : completion), ...fields })).status).toBe(200);
    }
    for (const request of session.requests) {
      expect(request.adjustments).toEqual({
        bias: new Map([
          [5, -100],
          [7, 2.5],
        ]),
        frequencyPenalty: 0.5,
        presencePenalty: -1,
        repetitionPenalty: 1.2,
      });
      expect(request.params.minP).toBe(0.1);
    }
  });

  it("are nothing where they change nothing", async () => {
    const session = newSession();
    const { post } = await serve({}, session);
    await post(CHAT, { ...chat, frequency_penalty: 0, presence_penalty: null, repetition_penalty: 1, logit_bias: {} });
    expect(session.requests[0]!.adjustments).toBeUndefined();
    const many = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [i, 1]));
    expect((await post(CHAT, { ...chat, logit_bias: many })).json.error.param).toBe("logit_bias");
  });
});

describe("the model's own defaults", () => {
  const defaults = { temperature: 0.7, topP: 0.8, topK: 20, minP: 0.05, repetitionPenalty: 1.1 };

  it("count where a request says nothing, and its own values win, also those that turn something off", async () => {
    const session = newSession();
    const { post } = await startServer(scriptedModel(session, { defaults }));
    await post(CHAT, chat);
    await post("/v1/completions", { ...completion, temperature: null, top_p: null });
    const off = { temperature: 0, top_p: 1, top_k: 0, min_p: 0, repetition_penalty: 1 };
    await post(CHAT, { ...chat, ...off });
    await post(CHAT, { ...chat, top_k: -1, temperature: 1.5 });
    const [plain, nulls, neutral, some] = session.requests;
    for (const request of [plain!, nulls!]) {
      expect(request.params).toMatchObject({ temperature: 0.7, topP: 0.8, topK: 20, minP: 0.05 });
      expect(request.adjustments).toMatchObject({ repetitionPenalty: 1.1, frequencyPenalty: 0 });
    }
    expect(neutral!.params).toMatchObject({ temperature: 0, topP: 1, topK: 0, minP: 0 });
    expect(neutral!.adjustments).toBeUndefined();
    expect(some!.params).toMatchObject({ temperature: 1.5, topP: 0.8, topK: 0 });
  });

  it("are those of generation_config.json that vLLM reads", () => {
    const qwen = { do_sample: true, repetition_penalty: 1.1, temperature: 0.7, top_p: 0.8, top_k: 20, num_beams: 4 };
    expect(generationDefaultsOf(qwen, "file")).toEqual({
      repetitionPenalty: 1.1,
      temperature: 0.7,
      topP: 0.8,
      topK: 20,
    });
    expect(generationDefaultsOf({ max_new_tokens: 100, top_k: -1, min_p: 0.1, temperature: null }, "file")).toEqual({
      maxTokens: 100,
      topK: 0,
      minP: 0.1,
    });
    expect(describeDefaults({ temperature: 0.7, maxTokens: 5 })).toBe("temperature 0.7, max_tokens 5");
    expect(describeDefaults({})).toBeUndefined();
  });

  it.each([
    ["temperature", "hot"],
    ["top_p", 2],
    ["top_k", 0.5],
    ["max_new_tokens", 0],
  ])("cannot be %s = %j", (key, value) => {
    expect(() => generationDefaultsOf({ [key]: value }, "dir/generation_config.json")).toThrow(CheckpointError);
    expect(() => generationDefaultsOf({ [key]: value }, "dir/generation_config.json")).toThrow(
      new RegExp(`dir/generation_config.json: ${key}.*--generation-config none`),
    );
  });
});

describe("seeds", () => {
  it("have 64 bits, each of which counts", async () => {
    const session = newSession();
    const { post } = await serve({}, session);
    const seeds = ["9007199254740993", "9007199254740992", "18446744073709551615", "-9223372036854775808", "7"];
    for (const seed of seeds) {
      const body = `{"model": "scripted", "user": "\\"seed\\": 5,", "messages": [{"role": "user", "content": "x"}], "seed": ${seed}}`;
      expect((await post(CHAT, body)).status).toBe(200);
    }
    const drawn = session.requests.map(({ params }) => params.seed);
    expect(new Set(drawn).size).toBe(seeds.length);
    expect(drawn.at(-1)).toBe(7);
    expect(drawn.every((seed) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)).toBe(true);
  });
});

describe("a request without a name of a model", () => {
  it("is for the one that is served", async () => {
    const { post } = await serve();
    const { messages } = chat;
    expect((await post(CHAT, { messages })).json.model).toBe("scripted");
  });
});
