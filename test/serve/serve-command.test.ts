/** `aha serve` with the embedded engine: a model of random weights, the official client, many at once. */

import { rm } from "node:fs/promises";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { apiKeyFrom, command } from "../../src/cli/serve.ts";
import { ConfigError } from "../../src/errors.ts";
import { randomModel, recordingContext } from "../eval/models.ts";
import { until } from "./running-server.ts";

let directory: string;
beforeAll(async () => {
  directory = await randomModel("characters", 300);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** Runs the command for as long as `work` takes; what it printed, and its exit code. */
async function serving<T>(args: readonly string[], work: (client: OpenAI, url: string) => Promise<T>) {
  const controller = new AbortController();
  const { context, written } = recordingContext(controller.signal);
  const code = command.run([directory, "--port", "0", "--name", "tiny", "--json", ...args], context);
  code.catch(() => {});
  await Promise.race([until(() => written.out.includes("\n")), code]);
  const { url, apiUrl } = JSON.parse(written.out);
  const client = new OpenAI({ baseURL: apiUrl, apiKey: "key", maxRetries: 0 });
  try {
    return { result: await work(client, url), written, code };
  } finally {
    controller.abort();
    await code;
  }
}

const chat = (content: string) => ({ model: "tiny", messages: [{ role: "user" as const, content }] });

describe("aha serve", () => {
  it("says where it listens, answers, and ends with 0 when it is told to", async () => {
    const { result, code, written } = await serving([], async (client, url) => {
      expect(await (await fetch(`${url}/health`)).json()).toMatchObject({ status: "ok", active: 0 });
      return client.chat.completions.create({ ...chat("Hi"), max_tokens: 12, seed: 1 });
    });
    expect(JSON.parse(written.out)).toMatchObject({ model: "tiny", apiKey: false });
    expect(result.choices[0]!.message.role).toBe("assistant");
    expect(result.usage!.completion_tokens).toBeLessThanOrEqual(12);
    expect(await code).toBe(0);
  });

  it("gives one request the same text, whole or streamed, alone or in company", async () => {
    await serving(["--slots", "5"], async (client) => {
      const ask = { ...chat("2 + 2?"), seed: 7, max_tokens: 30, n: 2, top_p: 0.9 };
      const texts = async () => {
        const { choices } = await client.chat.completions.create(ask);
        return choices.map(({ message }) => message.content);
      };
      const alone = await texts();
      expect(new Set(alone).size).toBe(2);
      const others = Array.from({ length: 9 }, (_, i) =>
        client.completions.create({
          model: "tiny",
          prompt: "x".repeat(1 + 17 * i),
          max_tokens: 10 + 6 * i,
          temperature: i / 5,
        }),
      );
      const streamed = ["", ""];
      for await (const { choices } of await client.chat.completions.create({ ...ask, stream: true })) {
        streamed[choices[0]!.index] += choices[0]!.delta.content ?? "";
      }
      expect(streamed).toEqual(alone);
      expect(await texts()).toEqual(alone);
      for (const { choices, usage } of await Promise.all(others)) {
        expect(choices[0]!.finish_reason === "length" ? usage!.completion_tokens % 6 : 4).toBe(4);
      }
    });
  });

  it("reports log-probabilities that sum to one over the vocabulary's best, and stops at strings", async () => {
    await serving([], async (client) => {
      const ask = { model: "tiny", prompt: "abc", max_tokens: 40, seed: 3, temperature: 0.8 };
      const { choices } = await client.completions.create({ ...ask, logprobs: 20 });
      const { tokens, top_logprobs, token_logprobs } = choices[0]!.logprobs!;
      expect(tokens!.join("")).toBe(choices[0]!.text);
      const mass = Object.values(top_logprobs![0]!).reduce((sum, logprob) => sum + Math.exp(logprob), 0);
      expect(mass).toBeGreaterThan(0.1);
      expect(mass).toBeLessThanOrEqual(1 + 1e-6);
      expect(token_logprobs!.every((logprob) => logprob <= 0)).toBe(true);
      const { text } = choices[0]!;
      const stop = text.slice(5, 8);
      const stopped = await client.completions.create({ ...ask, stop });
      expect(stopped.choices[0]).toMatchObject({ text: text.slice(0, text.indexOf(stop)), finish_reason: "stop" });
    });
  });

  it("frees the slots of a client that goes away", async () => {
    await serving(["--slots", "1", "--queue", "2"], async (client, url) => {
      const stream = await client.completions.create({
        model: "tiny",
        prompt: "a",
        max_tokens: 290,
        n: 3,
        stream: true,
      });
      stream.controller.abort();
      const load = async () => (await (await fetch(`${url}/health`)).json()) as { active: number; waiting: number };
      let busy = await load();
      for (let i = 0; i < 200 && busy.active + busy.waiting > 0; i++) busy = await load();
      expect(busy).toMatchObject({ active: 0, waiting: 0 });
    });
  });

  it("cuts off, after the grace, what still runs when it is told to stop", async () => {
    let pending: Promise<unknown> | undefined;
    const { code } = await serving(["--grace", "0"], async (client, url) => {
      const ask = { model: "tiny", prompt: "a", max_tokens: 290 };
      pending = Promise.allSettled(Array.from({ length: 40 }, () => client.completions.create(ask)));
      const metrics = async () => (await fetch(`${url}/metrics`)).text();
      for (let i = 0; i < 200 && !/aha_sequences_active [1-9]/.test(await metrics()); i++);
    });
    expect(await code).toBe(0);
    const settled = (await pending) as PromiseSettledResult<unknown>[];
    expect(settled.some(({ status }) => status === "rejected")).toBe(true);
  });

  it("asks for the key in the variable that was named, and prints it nowhere", async () => {
    process.env.AHA_TEST_KEY = "s3cret-key";
    try {
      const { written } = await serving(["--api-key-env", "AHA_TEST_KEY", "--log"], async (client, url) => {
        await expect(client.models.list()).rejects.toThrow(OpenAI.AuthenticationError);
        expect((await client.models.list({ headers: { authorization: "Bearer s3cret-key" } })).data).toHaveLength(1);
        expect((await fetch(`${url}/health`)).status).toBe(200);
      });
      expect(written.out + written.notes).not.toContain("s3cret");
      expect(written.notes).toMatch(/\/v1\/models 401/);
      expect(JSON.parse(written.out).apiKey).toBe(true);
    } finally {
      delete process.env.AHA_TEST_KEY;
    }
  });

  it("refuses options that make no sense before it loads anything", async () => {
    const run = (...args: string[]) => command.run(args, recordingContext().context);
    await expect(run(directory, "--port", "99999")).rejects.toThrow(/--port/);
    await expect(run(directory, "--slots", "0")).rejects.toThrow(/--slots/);
    await expect(run(directory, "--max-body-mib", "0")).rejects.toThrow(/--max-body-mib/);
    await expect(run(directory, "--api-key-env", "AHA_NO_SUCH_KEY")).rejects.toThrow(/AHA_NO_SUCH_KEY is not set/);
    await expect(run("/none")).rejects.toThrow(/neither a model directory/);
    await expect(run(directory, "--host", "no.such.host.invalid", "--port", "0")).rejects.toThrow(ConfigError);
  });
});

describe("the API key", () => {
  it("is that of AHA_API_KEY, unless another variable is named", () => {
    expect(apiKeyFrom(undefined, {})).toBeUndefined();
    expect(apiKeyFrom(undefined, { AHA_API_KEY: "" })).toBeUndefined();
    expect(apiKeyFrom(undefined, { AHA_API_KEY: "a" })).toBe("a");
    expect(apiKeyFrom("MINE", { AHA_API_KEY: "a", MINE: "b" })).toBe("b");
    expect(() => apiKeyFrom("MINE", { MINE: "" })).toThrow(/is empty/);
  });

  it("can be sent in a header, and is never part of a message", () => {
    expect(() => apiKeyFrom("MINE", { MINE: "two words" })).toThrow(/no spaces/);
    expect(() => apiKeyFrom("MINE", { MINE: "two words" })).not.toThrow(/two words/);
  });
});
