/** The server by its wire: statuses, headers, limits, and its end. */

import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { ConfigError, EngineError } from "../../src/errors.ts";
import { ApiServer } from "../../src/serve/server.ts";
import { until } from "./running-server.ts";
import { CHAT, chat, newSession, serve } from "./scripted-server.ts";
import { ScriptedSession, scriptedModel } from "./scripted-session.ts";

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

describe("a connection", () => {
  it("is kept for the next request longer than clients keep theirs", async () => {
    const { url } = await serve();
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    const answer = async () => {
      socket.write("GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n");
      const [chunk] = (await once(socket, "data")) as [Buffer];
      return chunk.toString();
    };
    expect(Number(/keep-alive: timeout=(\d+)/i.exec(await answer())![1])).toBeGreaterThan(90);
    // Node's own five seconds are over, and so is the time to send a head.
    await setTimeout(6500);
    expect(await answer()).toMatch(/^HTTP\/1\.1 200/);
    socket.destroy();
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
    // Its patience is longer than this test may take: were it held up, it would not end.
    await server.close(600_000);
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
