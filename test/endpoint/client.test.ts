import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { EndpointClient, type EndpointOptions } from "../../src/endpoint/client.ts";
import { retryAfterMs, waitMs } from "../../src/endpoint/retry.ts";
import { ConfigError, EndpointError } from "../../src/errors.ts";
import { type Asked, chatReply, type FakeEndpoint, fakeEndpoint, type Reply } from "./server.ts";

const KEY = "sk-very-secret";
const request = { messages: [{ role: "user", content: "hello" }] } as const;

const servers: FakeEndpoint[] = [];
const folders: string[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "aha-endpoint-"));
  folders.push(made);
  return made;
}

async function open(
  reply: (asked: Asked, index: number) => Reply | Promise<Reply>,
  options: Partial<EndpointOptions> = {},
) {
  const server = await fakeEndpoint(reply);
  servers.push(server);
  const client = new EndpointClient({
    baseUrl: server.baseUrl,
    model: "m",
    environment: { OPENAI_API_KEY: KEY },
    retries: { attempts: 3, firstWaitMs: 1 },
    ...options,
  });
  return { server, client };
}

async function failure(promise: Promise<unknown>): Promise<EndpointError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(EndpointError);
  return error as EndpointError;
}

describe("the endpoint's client", () => {
  it("asks in OpenAI's form, with the key of the environment, and reads the answer", async () => {
    const { server, client } = await open(() => chatReply("hi"));
    const answer = await client.complete({ ...request, maxCompletionTokens: 7, temperature: 0, json: true, seed: 3 });
    expect(answer).toEqual({ text: "hi", finishReason: "stop", usage: { promptTokens: 10, completionTokens: 5 } });
    expect(server.asked[0]!.headers.authorization).toBe(`Bearer ${KEY}`);
    expect(server.asked[0]!.body).toEqual({
      model: "m",
      messages: [{ role: "user", content: "hello" }],
      max_tokens: 7,
      temperature: 0,
      seed: 3,
      response_format: { type: "json_object" },
    });
    expect(client.spent).toEqual({ requests: 1, promptTokens: 10, completionTokens: 5 });
  });

  it("sends no key where there is none", async () => {
    const { server, client } = await open(() => chatReply("hi"), { environment: {} });
    await client.complete(request);
    expect(server.asked[0]!.headers.authorization).toBeUndefined();
  });

  it("tries again after 429, 503, a lost connection and a body that is no answer", async () => {
    const replies: Reply[] = [
      { status: 429, body: "slow down", headers: { "retry-after": "0" } },
      { status: 503, body: "" },
      "close",
      { status: 200, body: "<html>" },
      chatReply("at last"),
    ];
    const { client } = await open((_, index) => replies[index]!, { retries: { attempts: 5, firstWaitMs: 1 } });
    expect((await client.complete(request)).text).toBe("at last");
  });

  it("gives up after the last try, and at once where it would not help", async () => {
    const busy = await open(() => ({ status: 500, body: `broken ${KEY}` }));
    const last = await failure(busy.client.complete(request));
    expect([last.kind, busy.server.asked.length]).toEqual(["busy", 3]);
    expect(last.message).toContain("500");
    expect(last.message).not.toContain(KEY);
    const refused = await open(() => ({ status: 401, body: "no" }), { environment: {} });
    const error = await failure(refused.client.complete(request));
    expect([error.kind, refused.server.asked.length]).toEqual(["refused", 1]);
    expect(error.message).toContain("no API key was sent");
    const patient = await open(() => ({ status: 429, body: "", headers: { "retry-after": "86400" } }));
    expect((await failure(patient.client.complete(request))).kind).toBe("busy");
    expect(patient.server.asked).toHaveLength(1);
  });

  it("has a time limit for each try, and says where nobody listens", async () => {
    const slow = await open(() => "hang", { timeoutMs: 400, retries: { attempts: 2, firstWaitMs: 1 } });
    expect((await failure(slow.client.complete(request))).kind).toBe("timeout");
    expect(slow.server.asked).toHaveLength(2);
    await slow.server.close();
    expect((await failure(slow.client.complete(request))).kind).toBe("unreachable");
  });

  it("stops when it is told to", async () => {
    const { client } = await open(() => "hang");
    const stop = new AbortController();
    const asked = client.complete(request, stop.signal);
    setTimeout(() => stop.abort(new Error("stopped")), 20);
    await expect(asked).rejects.toThrow("stopped");
  });

  it("stops between two tries too, for the same reason", async () => {
    const { client } = await open(() => ({ status: 503, body: "" }), { retries: { attempts: 2, firstWaitMs: 60_000 } });
    const stop = new AbortController();
    const asked = client.complete(request, stop.signal);
    setTimeout(() => stop.abort(new Error("stopped")), 30);
    await expect(asked).rejects.toThrow("stopped");
  });

  it("keeps answers on disk: the second client asks nothing and pays nothing", async () => {
    const cacheDirectory = folder();
    const { server, client } = await open((_, index) => chatReply(`answer ${index}`), { cacheDirectory });
    expect((await client.complete(request)).text).toBe("answer 0");
    expect((await client.complete({ ...request, sample: 1 })).text).toBe("answer 1");
    const second = new EndpointClient({ baseUrl: server.baseUrl, model: "m", cacheDirectory, environment: {} });
    await server.close();
    const stopped = AbortSignal.abort();
    expect((await second.complete({ ...request, sample: 1 }, stopped)).text).toBe("answer 1");
    expect((await second.complete(request)).text).toBe("answer 0");
    expect(second.spent.requests).toBe(0);
    const files = readdirSync(cacheDirectory, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".json"));
    expect(files).toHaveLength(2);
    expect(files.map((file) => readFileSync(join(cacheDirectory, file), "utf8")).join()).not.toContain(KEY);
  });

  it("asks again where a kept answer is damaged", async () => {
    const cacheDirectory = folder();
    const { server, client } = await open(() => chatReply("whole"), { cacheDirectory });
    await client.complete(request);
    const [file] = readdirSync(cacheDirectory, { recursive: true, encoding: "utf8" }).filter((f) =>
      f.endsWith(".json"),
    );
    writeFileSync(join(cacheDirectory, file!), '{"text": ');
    expect((await client.complete(request)).text).toBe("whole");
    expect(server.asked).toHaveLength(2);
  });

  it("asks equal questions once, and no more at a time than it may", async () => {
    const pause = () => new Promise<Reply>((resolve) => setTimeout(() => resolve(chatReply("x")), 15));
    const { server, client } = await open(pause, { concurrency: 3 });
    const different = Array.from({ length: 9 }, (_, sample) => client.complete({ ...request, sample }));
    const equal = Array.from({ length: 5 }, () => client.complete(request));
    await Promise.all([...different, ...equal]);
    expect(server.asked).toHaveLength(9);
    expect(server.mostAtOnce()).toBe(3);
  });

  it("begins nothing beyond its limits", async () => {
    const { server, client } = await open(() => chatReply("x"), { limits: { maxTokens: 20 } });
    for (const sample of [0, 1]) await client.complete({ ...request, sample });
    const error = await failure(client.complete({ ...request, sample: 2 }));
    expect([error.kind, server.asked.length]).toEqual(["budget", 2]);
    const priced = await open(() => chatReply("x"), { limits: { maxCost: 1, promptPrice: 5e4, completionPrice: 1e5 } });
    await priced.client.complete(request);
    expect((await failure(priced.client.complete({ ...request, sample: 1 }))).message).toMatch(/limit of 1 on costs/);
    priced.client.restoreSpent({ requests: 0, promptTokens: 0, completionTokens: 0 });
    expect((await priced.client.complete({ ...request, sample: 1 })).text).toBe("x");
  });

  it("follows no redirect: the key is for the named host", async () => {
    const target = await open(() => chatReply("stolen"));
    const headers = { location: `${target.server.baseUrl}/chat/completions` };
    const { client } = await open(() => ({ status: 307, body: "", headers }));
    await failure(client.complete(request));
    expect(target.server.asked).toHaveLength(0);
  });

  it("refuses an address that is none, or that holds a password", () => {
    for (const baseUrl of ["", "localhost:8000", "ftp://x/v1", "http://user:secret@x/v1"]) {
      expect(() => new EndpointClient({ baseUrl, model: "m" })).toThrow(ConfigError);
    }
  });
});

describe("waits", () => {
  const policy = { attempts: 4, firstWaitMs: 100, maxWaitMs: 1000 };
  it("double, spread below, bounded; the server's wish counts where it is longer", () => {
    for (const [failures, most] of [
      [1, 100],
      [2, 200],
      [3, 400],
    ] as const) {
      const wait = waitMs(policy, failures, 1, undefined)!;
      expect(wait).toBeGreaterThanOrEqual(0.75 * most);
      expect(wait).toBeLessThanOrEqual(most);
    }
    expect(waitMs(policy, 4, 1, undefined)).toBeUndefined();
    expect(waitMs(policy, 1, 1, 900)).toBe(900);
    expect(waitMs(policy, 1, 1, 1001)).toBeUndefined();
  });

  it("are asked for in seconds or by a date", () => {
    const now = Date.parse("2026-01-01T00:00:00Z");
    expect(retryAfterMs("2", now)).toBe(2000);
    expect(retryAfterMs("Thu, 01 Jan 2026 00:00:05 GMT", now)).toBe(5000);
    expect(retryAfterMs("Thu, 01 Jan 2015 00:00:05 GMT", now)).toBe(0);
    expect(retryAfterMs("soon", now)).toBeUndefined();
    expect(retryAfterMs(null, now)).toBeUndefined();
  });
});
