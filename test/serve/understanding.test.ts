/** Bodies that take long to understand: they hold nobody else up, and far too long texts are refused at once. */

import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import type { ServedModel } from "../../src/serve/served-model.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import { startServer, until } from "./running-server.ts";
import { CHAT, newSession } from "./scripted-server.ts";
import { scriptedModel } from "./scripted-session.ts";

const LIMITS = { maxBodyBytes: 2 ** 22 };

/** A server whose tokenizer can be taken to other threads. */
async function served(overrides: Partial<ServedModel> = {}, options = {}) {
  const tokenizer = await loadTokenizer(join(import.meta.dirname, "../golden/tokenizers/byte-level"));
  const own = { tokenizer, tokenizerFiles: tokenizer.files, vocabSize: tokenizer.vocabSize };
  const model = scriptedModel(newSession(), { ...own, ...overrides });
  return { tokenizer, ...(await startServer(model, { ...LIMITS, ...options })) };
}

/** The longest time that this thread was not free, while `work` went on. */
async function longestBlock(work: Promise<unknown>): Promise<number> {
  let done = false;
  const over = work.finally(() => {
    done = true;
  });
  let longest = 0;
  for (let last = performance.now(); !done; ) {
    await sleep(1);
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }
  await over;
  return longest;
}

const ask = (content: string) => ({ model: "scripted", messages: [{ role: "user", content }], max_tokens: 4 });

describe("a text that is far too long", () => {
  it("is refused by its length, in a chat and as a completion", async () => {
    const { post } = await served();
    const text = "xyz ".repeat(500_000);
    const begun = performance.now();
    for (const [path, body] of [
      [CHAT, ask(text)],
      ["/v1/completions", { model: "scripted", prompt: text }],
    ] as const) {
      const { status, json } = await post(path, body);
      expect([status, json.error.code]).toEqual([400, "context_length_exceeded"]);
      expect(json.error.message).toContain("400 tokens");
    }
    // To tokenize it takes tens of seconds.
    expect(performance.now() - begun).toBeLessThan(15_000);
  });
});

describe("what takes long to understand", () => {
  it("is understood elsewhere: the event loop stays free and others are answered", async () => {
    const { post, get, tokenizer } = await served({ maxContextTokens: 2 ** 22 });
    // The first request starts the thread.
    await post("/tokenize", { prompt: "x".repeat(5000) });
    const long = ["ab".repeat(150_000), " ".repeat(300_000), "😀".repeat(60_000)].map((prompt) =>
      post("/tokenize", { prompt }),
    );
    const others = (async () => {
      for (let i = 0; i < 5; i++) {
        expect((await post(CHAT, ask("Hi"))).status).toBe(200);
        expect((await get("/health")).status).toBe(200);
      }
    })();
    const blocked = await longestBlock(others);
    const answers = await Promise.all(long);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(answers.every(({ json }) => json.count > 10_000)).toBe(true);
    // Here and now a single one of them takes so long; a busy machine lets this thread wait, too.
    const begun = performance.now();
    tokenizer.encode(" ".repeat(300_000));
    expect(blocked).toBeLessThan((performance.now() - begun) / 4);
  });

  it("says the same there as here", async () => {
    const { post } = await served();
    const filler = "y".repeat(6000);
    for (const [extra, status, code] of [
      [{ top_p: 7 }, 400, "invalid_value"],
      [{ model: "none" }, 404, "model_not_found"],
      [{ tools: [{}] }, 400, "unsupported_parameter"],
    ] as const) {
      const small = await post(CHAT, { ...ask("x"), ...extra });
      const large = await post(CHAT, { ...ask("x"), ...extra, user: filler });
      expect([small.status, small.json.error.code]).toEqual([status, code]);
      expect(large.json).toEqual(small.json);
    }
    const broken = await post(CHAT, `{"a": "${filler}"`);
    expect([broken.status, broken.json.error.code]).toEqual([400, "invalid_json"]);
  });

  it("is dropped where its client is gone", async () => {
    const { url, post, records } = await served({ maxContextTokens: 2 ** 22 });
    const controller = new AbortController();
    const gone = fetch(`${url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "scripted", prompt: " ".repeat(400_000) }),
      signal: controller.signal,
    });
    setTimeout(() => controller.abort(), 100);
    await expect(gone).rejects.toThrow();
    await until(() => records.some(({ status }) => status === 499));
    expect((await post(CHAT, { ...ask("x"), user: "y".repeat(6000) })).status).toBe(200);
  });

  it("counts among what the server takes at once", async () => {
    const { post } = await served({ maxContextTokens: 2 ** 22 }, { maxSequences: 1 });
    const long = post("/tokenize", { prompt: " ".repeat(400_000) });
    let refused = 200;
    for (let i = 0; i < 200 && refused === 200; i++) refused = (await post("/detokenize", { tokens: [5] })).status;
    expect(refused).toBe(429);
    expect((await long).json.count).toBe(200_000);
  });

  it("is no defect of ours unless it is one", async () => {
    const tokenizer = {
      encode: () => {
        throw new TypeError("oh");
      },
      decode: () => "",
      applyChatTemplate: () => "",
    };
    const { post, defects } = await served({ tokenizer, tokenizerFiles: undefined });
    expect((await post(CHAT, ask("x"))).status).toBe(500);
    expect(defects).toHaveLength(1);
  });
});

describe("an answer that is long to write", () => {
  it("is written in pieces", async () => {
    const { post } = await served({ maxContextTokens: 4000 }, { maxSequences: 300 });
    const prompt = Array.from({ length: 100 }, () => Array.from({ length: 1500 }, (_, t) => 3 + (t % 200)));
    const asked = { model: "scripted", prompt, echo: true, logprobs: 5, max_tokens: 1 };
    let answer: Awaited<ReturnType<typeof post>> | undefined;
    // Without the client's own work with 30 MB of JSON, which is done in this process too.
    const fetched = post("/v1/completions", asked).then((given) => {
      answer = given;
    });
    await fetched;
    const { choices } = answer!.json;
    expect(choices).toHaveLength(100);
    expect(choices[99].logprobs.tokens).toHaveLength(1501);
    expect(choices[99].logprobs.top_logprobs[1499]).toHaveProperty(choices[99].logprobs.tokens[1499]);
  });
});
