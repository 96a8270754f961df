/** The server by its wire: statuses, headers, limits, what is refused, and its end. */

import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { ConfigError, EngineError } from "../../src/errors.ts";
import { ApiServer } from "../../src/serve/server.ts";
import { startServer, until } from "./running-server.ts";
import { characters, ScriptedSession, says, scriptedModel } from "./scripted-session.ts";

const CHAT = "/v1/chat/completions";
const chat = { model: "scripted", messages: [{ role: "user", content: "Hi" }] };
const completion = { model: "scripted", prompt: "Hi" };

const newSession = (text = "Hello.", slots = 8) => new ScriptedSession(() => says(text), slots);
const serve = (options = {}, session = newSession()) => startServer(scriptedModel(session), options);

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
    ["logit_bias", { 5: 1 }],
    ["presence_penalty", 0.5],
    ["frequency_penalty", -0.5],
    ["reasoning_effort", "high"],
    ["n", 0],
    ["n", 129],
    ["top_p", 1.5],
    ["stop", ""],
    ["stop", Array.from({ length: 17 }, String)],
    ["max_tokens", 0],
    ["max_tokens", 1.5],
    ["seed", "one"],
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

  it("may have its prompt scored: echo and logprobs with max_tokens 0", async () => {
    const score = async (sequences: readonly Int32Array[]) =>
      sequences.map((tokens) => Float32Array.from(tokens.subarray(1), (token) => -token));
    const { post } = await startServer(scriptedModel(newSession(), { score }));
    const scoring = { ...completion, echo: true, logprobs: 1, max_tokens: 0 };
    const { status, json } = await post("/v1/completions", { ...scoring, prompt: ["Hi!", [7]] });
    const ids = characters.encode("Hi!");
    expect(status).toBe(200);
    expect(json.choices[0]).toEqual({
      index: 0,
      text: "Hi!",
      logprobs: {
        tokens: ["H", "i", "!"],
        token_logprobs: [null, -ids[1]!, -ids[2]!],
        top_logprobs: null,
        text_offset: [0, 1, 2],
      },
      finish_reason: "length",
    });
    expect(json.choices[1].logprobs.token_logprobs).toEqual([null]);
    expect(json.usage).toMatchObject({ prompt_tokens: 4, completion_tokens: 0 });
    for (const [name, value] of [
      ["max_tokens", 1],
      ["logprobs", 5],
      ["n", 2],
      ["stream", true],
      ["prompt", "x".repeat(500)],
    ] as const) {
      const refused = await post("/v1/completions", { ...scoring, [name]: value });
      expect([refused.status, refused.json.error.param]).toEqual([400, name === "max_tokens" ? "echo" : name]);
    }
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
    const echoed = await post("/v1/completions", { ...completion, echo: true, logprobs: 0 });
    expect([echoed.status, echoed.json.error.param]).toEqual([400, "echo"]);
    const nothing = await post("/v1/completions", { ...completion, max_tokens: 0 });
    expect([nothing.status, nothing.json.error.param]).toEqual([400, "max_tokens"]);
    const many = await post("/v1/completions", { ...completion, prompt: Array(100).fill("x"), n: 2 });
    expect(many.json.error.message).toContain("128");
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

describe("who may ask", () => {
  it("whoever has the key, and everybody for /health", async () => {
    const { get } = await serve({ apiKey: "key" });
    for (const path of ["/v1/models", "/metrics", "/v1/models/scripted"]) {
      const refused = await get(path);
      expect([refused.status, refused.json.error.code]).toEqual([401, "invalid_api_key"]);
      expect(refused.headers.get("www-authenticate")).toBe("Bearer");
      expect((await get(path, { authorization: "bearer key" })).status).toBe(200);
      for (const authorization of ["Bearer", "Bearer kez", "Bearer key2", "Basic key", "key"]) {
        expect((await get(path, { authorization })).status).toBe(401);
      }
    }
    expect((await get("/health")).status).toBe(200);
  });

  /** The status line of a request with this Host header, which fetch would not send. */
  async function statusFor(url: string, host: string): Promise<string> {
    const { port } = new URL(url);
    const socket = connect(Number(port), "127.0.0.1");
    socket.write(`GET /v1/models HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`);
    let text = "";
    for await (const chunk of socket) text += chunk;
    return text.split("\r\n")[0]!;
  }

  it("no web page that gives this machine a name of its own", async () => {
    const { url } = await serve();
    expect(await statusFor(url, "rebound.example:80")).toContain("403");
    for (const name of ["localhost", "127.0.0.1:8000", "[::1]:8000"])
      expect(await statusFor(url, name)).toContain("200");
  });

  it("no page of another origin, unless it is allowed", async () => {
    const closed = await serve();
    expect((await closed.get("/v1/models")).headers.get("access-control-allow-origin")).toBeNull();
    const preflight = (url: string) =>
      fetch(url + CHAT, { method: "OPTIONS", headers: { "access-control-request-headers": "authorization, x-y" } });
    expect((await preflight(closed.url)).status).toBe(405);
    const open = await serve({ corsOrigin: "https://page.example", apiKey: "key" });
    const { status, headers } = await preflight(open.url);
    expect(status).toBe(204);
    expect(headers.get("access-control-allow-origin")).toBe("https://page.example");
    expect(headers.get("access-control-allow-headers")).toBe("authorization, x-y");
    const refused = await open.get("/v1/models");
    expect([refused.status, refused.headers.get("access-control-allow-origin")]).toEqual([401, "https://page.example"]);
  });
});

describe("limits", () => {
  it("refuse what would wait behind too many, and what never fits", async () => {
    const session = newSession("Hello.", 1);
    const { post } = await serve({ maxSequences: 3 }, session);
    const open = session.shutGate();
    const first = post(CHAT, { ...chat, n: 2 });
    await until(() => session.load.active + session.load.waiting === 2);
    const second = await post(CHAT, { ...chat, n: 2 });
    expect([second.status, second.headers.get("retry-after"), second.json.error.code]).toEqual([
      429,
      "1",
      "rate_limit_exceeded",
    ]);
    const never = await post(CHAT, { ...chat, n: 4 });
    expect([never.status, never.json.error.param]).toEqual([400, "n"]);
    open();
    expect((await first).json.choices).toHaveLength(2);
    expect(session.load).toEqual({ active: 0, waiting: 0 });
  });

  it("end a request that takes too long, and tell clients not to try again", async () => {
    const session = newSession();
    session.shutGate();
    const { post, records } = await serve({ requestTimeoutMs: 50 }, session);
    const { status, json, headers } = await post(CHAT, chat);
    expect([status, json.error.code, headers.get("x-should-retry")]).toEqual([504, "timeout", "false"]);
    const stream = await post(CHAT, { ...chat, stream: true });
    expect(stream.text).toMatch(/data: \{"error":\{"message":"The request took longer than 0.05 s/);
    expect(stream.text).not.toContain("[DONE]");
    expect(session.load).toEqual({ active: 0, waiting: 0 });
    expect(records.map((record) => record.status)).toEqual([504, 504]);
  });

  it("cost an honest client nothing: forty at once are all answered", async () => {
    const { post } = await serve({}, newSession("Hello.", 4));
    const answers = await Promise.all(Array.from({ length: 40 }, () => post(CHAT, chat)));
    expect(new Set(answers.map(({ json }) => json.choices[0].message.content))).toEqual(new Set(["Hello."]));
    expect(new Set(answers.map(({ json }) => json.id)).size).toBe(40);
  });
});

describe("an engine that fails", () => {
  it("is a 500 with its message where the error is one of Aha's", async () => {
    const session = new ScriptedSession(() => {
      throw new EngineError("The policy's logits are not finite.");
    });
    const { post, defects } = await serve({}, session);
    const { status, json } = await post(CHAT, chat);
    expect([status, json.error.type, json.error.code]).toEqual([500, "server_error", "engine_error"]);
    expect(defects).toEqual([]);
  });
});

describe("what is sent", () => {
  it("is a stream of events that ends with [DONE]", async () => {
    const { post } = await serve();
    const { headers, text } = await post(CHAT, { ...chat, stream: true });
    expect(headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const events = text.split("\n\n").filter((event) => event !== "");
    expect(events.at(-1)).toBe("data: [DONE]");
    const deltas = events.slice(0, -1).map((event) => JSON.parse(event.slice("data: ".length)).choices[0].delta);
    expect(deltas[0]).toEqual({ role: "assistant", content: "" });
    expect(deltas.slice(1, -1)).toEqual([..."Hello."].map((content) => ({ content })));
    expect(deltas.at(-1)).toEqual({});
  });

  it("leaves reasoning in the text where the request says so", async () => {
    const { post } = await serve({}, newSession("<think>a</think>b"));
    const { json } = await post(CHAT, { ...chat, separate_reasoning: false });
    expect(json.choices[0].message).toEqual({ role: "assistant", content: "<think>a</think>b", refusal: null });
  });

  it("does not depend on the seed's size", async () => {
    const session = newSession();
    const { post } = await serve({}, session);
    for (const seed of [5, -5, 2 ** 40, -5]) await post(CHAT, { ...chat, seed });
    const seeds = session.requests.map(({ params }) => params.seed);
    expect(seeds[0]).toBe(5);
    expect(seeds[1]).toBe(seeds[3]);
    expect(seeds.every((seed) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32)).toBe(true);
    expect(new Set(seeds).size).toBe(3);
  });
});

describe("/health and /metrics", () => {
  it("say how the server is", async () => {
    const session = newSession();
    const { get, post } = await serve({}, session);
    await post(CHAT, chat);
    await post(CHAT, "{");
    await post("/v1/none", {});
    const open = session.shutGate();
    const running = post(CHAT, { ...chat, n: 2 });
    await until(() => session.load.active + session.load.waiting === 2);
    expect((await get("/health")).json).toMatchObject({ status: "ok", model: "scripted" });
    const { text, headers } = await get("/metrics");
    expect(headers.get("content-type")).toContain("version=0.0.4");
    const value = (name: string) =>
      Number(
        text
          .split("\n")
          .find((line) => line.startsWith(`${name} `))
          ?.split(" ")[1],
      );
    expect(value('aha_requests_total{endpoint="/v1/chat/completions",status="200"}')).toBe(1);
    expect(value('aha_requests_total{endpoint="/v1/chat/completions",status="400"}')).toBe(1);
    expect(value('aha_requests_total{endpoint="other",status="404"}')).toBe(1);
    expect(value("aha_requests_in_flight")).toBe(1);
    expect(value("aha_sequences_active") + value("aha_sequences_waiting")).toBe(2);
    expect(value("aha_completion_tokens_total")).toBe("Hello.".length + 1);
    expect(value("aha_prompt_tokens_total")).toBe(session.requests[0]!.tokens.length);
    expect(value("aha_request_seconds_count")).toBe(1);
    expect(value('aha_first_token_seconds_bucket{le="+Inf"}')).toBe(1);
    expect(text.split("\n").filter((line) => !/^(#.*|\w+(\{.*\})? \S+|)$/.test(line))).toEqual([]);
    open();
    await running;
  });
});

describe("the end of the server", () => {
  it("lets what runs finish, and takes nothing new", async () => {
    const session = newSession();
    const { server, post, get } = await serve({}, session);
    const open = session.shutGate();
    const running = post(CHAT, chat);
    await until(() => session.load.active === 1);
    const closed = server.close(5000);
    await expect(get("/health")).rejects.toThrow();
    open();
    expect((await running).json.choices[0].message.content).toBe("Hello.");
    await closed;
  });

  it("cuts what runs too long, and says why", async () => {
    const session = newSession();
    const { server, post } = await serve({}, session);
    session.shutGate();
    const whole = post(CHAT, chat);
    const stream = post(CHAT, { ...chat, stream: true });
    await until(() => session.load.active + session.load.waiting === 2);
    await server.close(20);
    expect((await whole).json.error.code).toBe("shutting_down");
    expect((await stream).text).toContain("shutting_down");
    expect(session.load).toEqual({ active: 0, waiting: 0 });
  });

  it("is not held up by a client that has an idle connection open", async () => {
    const { server, url } = await serve();
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.on("error", () => {});
    const startedAt = performance.now();
    await server.close(5000);
    expect(performance.now() - startedAt).toBeLessThan(3000);
  });

  it("is not its beginning: a port in use is an error that says what to do", async () => {
    const { url } = await serve();
    const options = { host: "127.0.0.1", port: Number(new URL(url).port), apiKey: undefined, corsOrigin: undefined };
    const limits = { maxBodyBytes: 1000, maxSequences: 1, requestTimeoutMs: 1000 };
    const listening = ApiServer.listen(scriptedModel(newSession()), { ...options, ...limits });
    await expect(listening).rejects.toThrow(ConfigError);
    await expect(listening).rejects.toThrow(/--port/);
  });
});
