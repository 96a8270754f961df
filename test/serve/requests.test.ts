/** What a request may be: its form, its fields, its size, and what of it the model is asked. */

import { describe, expect, it } from "vitest";
import { startServer } from "./running-server.ts";
import { CHAT, chat, completion, newSession, serve } from "./scripted-server.ts";
import { characters, scriptedModel } from "./scripted-session.ts";

describe("what a request may be", () => {
  it("is JSON and says so, in UTF-8, within the limit", async () => {
    const { post, url } = await serve({ maxBodyBytes: 2000 });
    const plain = await post(CHAT, chat, { "content-type": "text/plain" });
    expect([plain.status, plain.json.error.code]).toEqual([415, "unsupported_media_type"]);
    const broken = await post(CHAT, '{"model": ');
    expect([broken.status, broken.json.error.code]).toEqual([400, "invalid_json"]);
    const latin = await fetch(url + CHAT, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: new Uint8Array([0x22, 0xe4, 0x22]),
    });
    expect([latin.status, await latin.text()]).toEqual([400, expect.stringContaining("not UTF-8")]);
    expect((await post(CHAT, "[1]")).json.error.message).toContain("JSON object");
    const large = await post(CHAT, { ...chat, user: "x".repeat(3_000_000) });
    expect([large.status, large.json.error.code]).toEqual([413, "request_too_large"]);
    expect((await post(CHAT, chat)).status).toBe(200);
  });

  it("is within the limit also where it does not say how long it is", async () => {
    const { url } = await serve({ maxBodyBytes: 2000 });
    const body = new ReadableStream({
      pull: (stream) => {
        stream.enqueue(new Uint8Array(1000).fill(32));
      },
    });
    const headers = { "content-type": "application/json" };
    const init: RequestInit & { duplex: "half" } = { method: "POST", headers, body, duplex: "half" };
    expect((await fetch(url + CHAT, init)).status).toBe(413);
  });

  it("goes to a route that there is, by its method", async () => {
    const { get, post } = await serve();
    const unknown = await post("/v1/embeddings", {});
    expect([unknown.status, unknown.json.error.code]).toEqual([404, "unknown_url"]);
    const wrong = await get(CHAT);
    expect([wrong.status, wrong.headers.get("allow")]).toEqual([405, "POST"]);
    expect((await get("/v1/models/")).json.data).toHaveLength(1);
    expect((await get("/v1/models/none")).status).toBe(404);
    expect((await get("/v1/models/%E0%A4%A")).status).toBe(404);
  });

  it.each([
    ["tools", [{}]],
    ["tool_choice", "required"],
    ["response_format", { type: "json_object" }],
    ["logit_bias", { 5: 101 }],
    ["logit_bias", { five: 1 }],
    ["logit_bias", { 9999: 1 }],
    ["presence_penalty", 2.5],
    ["frequency_penalty", -2.5],
    ["repetition_penalty", 0],
    ["min_p", 1.5],
    ["use_beam_search", true],
    ["reasoning_effort", "high"],
    ["n", 0],
    ["n", 129],
    ["top_p", 1.5],
    ["stop", ""],
    ["stop", Array.from({ length: 17 }, String)],
    ["max_tokens", -1],
    ["max_tokens", 1.5],
    ["seed", "one"],
    ["seed", 0.5],
    ["seed", 2 ** 70],
    ["stream_options", { include_usage: true }],
    ["top_logprobs", 2],
    ["messages", "Hi"],
    ["stop_token_ids", [9999]],
    ["min_tokens", 500],
    ["constructor", 1],
    ["__proto__x", 1],
  ])("refuses %s = %j by name", async (name, value) => {
    const { post } = await serve();
    const { status, json } = await post(CHAT, { ...chat, [name]: value });
    expect(status).toBe(400);
    expect(json.error.param).toMatch(new RegExp(`^${name}`));
    expect(json.error.message).toMatch(/\w/);
  });

  it.each([
    ["the role", { role: "robot", content: "x" }, "messages[0].role"],
    ["tools", { role: "tool", content: "x", tool_call_id: "1" }, "messages[0]"],
    ["a tool call", { role: "assistant", content: "x", tool_calls: [{}] }, "messages[0]"],
    ["no content", { role: "user", content: null }, "messages[0].content"],
    ["an image", { role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }, "messages[0].content[0]"],
    ["an unknown key", { role: "user", content: "x", contents: "y" }, "messages[0].contents"],
  ])("refuses a message for %s", async (_, message, param) => {
    const { post } = await serve();
    const { status, json } = await post(CHAT, { ...chat, messages: [message] });
    expect([status, json.error.param]).toEqual([400, param]);
  });

  it("leaves a message's other keys aside, as other servers do", async () => {
    const { post } = await serve();
    const message = { role: "user", content: "x", type: "message", id: "msg_1", prefix: false, weight: 1, date: 5 };
    expect((await post(CHAT, { ...chat, messages: [message] })).status).toBe(200);
  });

  it("may have what asks for nothing, and what is OpenAI's bookkeeping", async () => {
    const { post, get } = await serve();
    const harmless = {
      tools: [],
      tool_choice: "auto",
      response_format: { type: "text" },
      logit_bias: {},
      presence_penalty: 0,
      frequency_penalty: 0,
      modalities: ["text"],
      user: "me",
      metadata: { a: "b" },
      store: false,
      service_tier: "auto",
      parallel_tool_calls: true,
      stop: null,
      reasoning_effort: null,
      top_p: 0,
      top_k: -1,
    };
    expect((await post(CHAT, { ...chat, ...harmless })).json.choices[0].message.content).toBe("Hello.");
    expect((await get("/health")).status).toBe(200);
  });

  it("may not ask of completions what they do not have", async () => {
    const { post } = await serve();
    for (const [name, value] of [
      ["best_of", 2],
      ["suffix", "x"],
      ["messages", []],
      ["prompt", [[]]],
      ["prompt", [999]],
      ["prompt", []],
    ] as const) {
      const { status, json } = await post("/v1/completions", { ...completion, [name]: value });
      expect([status, json.error.param]).toEqual([400, name]);
    }
    const many = await post("/v1/completions", { ...completion, prompt: Array(65).fill("x") });
    expect([many.status, many.json.error.param]).toEqual([400, "prompt"]);
    expect(many.json.error.message).toContain("64");
  });

  it("may have as many prompts as the server takes at once", async () => {
    const { post } = await serve({ maxSequences: 300 }, newSession("Hello.", 64));
    const { status, json } = await post("/v1/completions", { ...completion, prompt: Array(200).fill("x") });
    expect([status, json.choices.length, json.choices[199].index]).toEqual([200, 200, 199]);
  });

  it("is told by name what will not happen", async () => {
    const { post } = await serve();
    const message = async (field: object) => (await post(CHAT, { ...chat, ...field })).json.error.message;
    expect(await message({ response_format: { type: "json_object" } })).toMatch(/response_format.*not.*JSON/);
    expect(await message({ tools: [{}] })).toMatch(/tools.*no tool would be called/);
    const embeddings = await post("/v1/embeddings", { model: "scripted", input: "x" });
    expect([embeddings.status, embeddings.json.error.message]).toEqual([
      404,
      expect.stringContaining("no embedding is computed"),
    ]);
  });

  it("may be nested, but not without end", async () => {
    const { post, defects } = await serve();
    const nested = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;
    for (const levels of [150, 5000, 400_000]) {
      for (const field of ["tools", "metadata", "messages", "stop"]) {
        const body = `{"model": "scripted", "messages": [{"role": "user", "content": "[[["}], "${field}": ${nested(levels)}}`;
        const { status, json } = await post(CHAT, body);
        expect([status, json.error.message], `${field} ${levels}`).toEqual([
          400,
          expect.stringContaining("levels deep"),
        ]);
      }
      expect((await post(CHAT, nested(levels))).status).toBe(400);
    }
    const kwargs = JSON.parse(nested(90));
    expect((await post(CHAT, { ...chat, chat_template_kwargs: { kwargs } })).status).toBe(200);
    expect((await post(CHAT, { ...chat, metadata: { text: "[".repeat(1000), end: '"]\\' } })).status).toBe(200);
    expect(defects).toEqual([]);
  });

  it("must leave room in the context", async () => {
    const { post } = await serve();
    const { status, json } = await post("/v1/completions", { ...completion, prompt: "x".repeat(390), max_tokens: 11 });
    expect([status, json.error.code, json.error.param]).toEqual([400, "context_length_exceeded", "prompt"]);
    expect(json.error.message).toContain("400 tokens. However, you requested 401 tokens (390 in the prompt, 11");
    const fits = await post("/v1/completions", { ...completion, prompt: "x".repeat(398) });
    expect(fits.json.choices[0]).toMatchObject({ text: "He", finish_reason: "length" });
    expect((await post(CHAT, { ...chat, messages: [{ role: "user", content: "x".repeat(400) }] })).status).toBe(400);
  });

  it("hands the template its own variables, and what messages have beside their text", async () => {
    const rendered: unknown[][] = [];
    const tokenizer = {
      encode: (text: string) => characters.encode(text),
      decode: (tokens: ArrayLike<number>) => characters.decode(tokens),
      applyChatTemplate: (...args: unknown[]) => {
        rendered.push(args);
        return "x";
      },
    };
    const { post } = await startServer(scriptedModel(newSession(), { tokenizer }));
    const messages = [...chat.messages, { role: "assistant", content: "4", reasoning_content: "Hm.", refusal: null }];
    const kwargs = { enable_thinking: false };
    expect((await post(CHAT, { ...chat, messages, chat_template_kwargs: kwargs })).status).toBe(200);
    expect(rendered[0]![0]).toEqual([...chat.messages, { role: "assistant", content: "4", reasoning_content: "Hm." }]);
    expect(rendered[0]![1]).toMatchObject({ addGenerationPrompt: true, variables: kwargs });
  });

  it("puts the tokenizer's own tokens around a text to complete, unless it is told not to", async () => {
    const encode = (text: string, { addSpecial = false } = {}) =>
      Int32Array.from([...(addSpecial ? [1] : []), ...characters.encode(text)]);
    const session = newSession();
    const tokenizer = {
      encode,
      decode: (tokens: ArrayLike<number>) => characters.decode(tokens),
      applyChatTemplate: () => "x",
    };
    const { post } = await startServer(scriptedModel(session, { tokenizer }));
    await post("/v1/completions", completion);
    await post("/v1/completions", { ...completion, add_special_tokens: false });
    const plain = [...characters.encode("Hi")];
    expect(session.requests.map(({ tokens }) => [...tokens])).toEqual([[1, ...plain], plain]);
  });

  it("asks a chat of a model with a template only", async () => {
    const { buildTokenizer } = await import("../../src/tokenizer/build.ts");
    const model = scriptedModel(newSession(), { tokenizer: buildTokenizer("countdown-compact") });
    const { post } = await startServer(model);
    const { status, json } = await post(CHAT, chat);
    expect([status, json.error.message]).toEqual([400, expect.stringContaining("no chat template")]);
  });
});
