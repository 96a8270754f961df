/** `aha serve` with the embedded engine: a model of random weights, the official client, many at once. */

import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chatCommand } from "../../src/cli/chat.ts";
import { apiKeyFrom, serveCommand } from "../../src/cli/serve.ts";
import { ConfigError } from "../../src/errors.ts";
import { randomModel, recordingContext } from "../eval/models.ts";
import { until } from "./running-server.ts";

let directory: string;
beforeAll(async () => {
  directory = await randomModel("characters", 300);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** Runs the command for as long as `work` takes; what it printed, and its exit code. */
async function serving<T>(
  args: readonly string[],
  work: (client: OpenAI, url: string) => Promise<T>,
  model = directory,
) {
  const controller = new AbortController();
  const { context, written } = recordingContext(controller.signal);
  const code = serveCommand.run([model, "--port", "0", "--name", "tiny", "--json", ...args], context);
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

  it("scores given texts as it scores what it writes, greedy or not, and adjusts draws alone", async () => {
    await serving([], async (client) => {
      const drawn = { model: "tiny", prompt: "abc", max_tokens: 20, seed: 3, temperature: 0.5, logprobs: 2 };
      const written = (await client.completions.create(drawn)).choices[0]!;
      const again = await client.completions.create({
        ...{ model: "tiny", prompt: `abc${written.text}`, echo: true, logprobs: 2, max_tokens: 0 },
      });
      const echoed = again.choices[0]!.logprobs!;
      expect(echoed.tokens!.join("")).toBe(`abc${written.text}`);
      written.logprobs!.token_logprobs!.forEach((logprob, i) => {
        expect(Math.abs(logprob - echoed.token_logprobs![3 + i]!)).toBeLessThan(1e-4);
      });
      // A bias that leaves one token: it is drawn for ever, and its log-probability is still the model's.
      const id = 40;
      const forced = await client.completions.create({ ...drawn, logit_bias: { [id]: 100 }, max_tokens: 4 });
      const { token_logprobs: logprobs, top_logprobs: top } = forced.choices[0]!.logprobs!;
      expect(new Set(forced.choices[0]!.text).size).toBe(1);
      expect(logprobs!.every((logprob) => logprob < -0.5)).toBe(true);
      expect(Object.values(top![0]!).some((logprob) => logprob > logprobs![0]!)).toBe(true);
      const repelled = await client.completions.create({
        ...drawn,
        presence_penalty: 2,
        frequency_penalty: 2,
        temperature: 0,
      });
      expect(repelled.choices[0]!.text.length).toBeGreaterThan(0);
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
    const run = (...args: string[]) => serveCommand.run(args, recordingContext().context);
    await expect(run(directory, "--port", "99999")).rejects.toThrow(/--port/);
    await expect(run(directory, "--slots", "0")).rejects.toThrow(/--slots/);
    for (const option of ["--tinker-models", "--tinker-checkpoints", "--tinker-checkpoints-gib"]) {
      await expect(run(directory, option, "5")).rejects.toThrow(`${option} is about the server that --tinker makes`);
      await expect(run(directory, "--tinker", option, "0")).rejects.toThrow(`${option} must be`);
    }
    await expect(run(directory, "--max-body-mib", "0")).rejects.toThrow(/--max-body-mib/);
    await expect(run(directory, "--api-key-env", "AHA_NO_SUCH_KEY")).rejects.toThrow(/AHA_NO_SUCH_KEY is not set/);
    await expect(run("/none")).rejects.toThrow(/neither a model directory/);
    await expect(run(directory, "--host", "no.such.host.invalid", "--port", "0")).rejects.toThrow(ConfigError);
  });
});

describe("the model's own defaults", () => {
  const withDefaults = async (defaults: object, work: (model: string) => Promise<void>) => {
    const own = await randomModel("characters", 300);
    const path = join(own, "generation_config.json");
    await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, "utf8")), ...defaults }));
    await work(own);
    await rm(own, { recursive: true, force: true });
  };
  const greedy = { temperature: 0, max_new_tokens: 7 };

  it("are those of generation_config.json, unless they are turned off", async () => {
    await withDefaults(greedy, async (own) => {
      const ask = { model: "tiny", messages: [{ role: "user" as const, content: "Hi" }], extra: undefined };
      const lengths = async (args: readonly string[], fields: object) => {
        const { result, written } = await serving(
          args,
          (client) => client.chat.completions.create({ ...ask, ...fields }),
          own,
        );
        return { tokens: result.usage!.completion_tokens, said: JSON.parse(written.out).defaults, result };
      };
      const free = { ignore_eos: true };
      const auto = await lengths([], free);
      expect(auto.said).toEqual({ temperature: 0, maxTokens: 7 });
      expect(auto.tokens).toBe(7);
      expect((await lengths(["--max-tokens", "9"], free)).tokens).toBe(9);
      expect((await lengths([], { ...free, max_tokens: 5 })).tokens).toBe(5);
      const none = await lengths(["--generation-config", "none", "--max-tokens", "11"], free);
      expect([none.said, none.tokens]).toEqual([{}, 11]);
      // Without a seed a request that is not greedy draws its own numbers.
      const texts = async (fields: object, args: readonly string[] = []) => {
        const answers = [await lengths(args, { ...free, ...fields }), await lengths(args, { ...free, ...fields })];
        return new Set(answers.map(({ result }) => result.choices[0]!.message.content)).size;
      };
      expect(await texts({})).toBe(1);
      expect(await texts({ temperature: 2, max_tokens: 30 })).toBe(2);
    });
  });

  it("make chat greedy too", async () => {
    await withDefaults(greedy, async (own) => {
      const answer = async (...args: string[]) => {
        const { context, written } = recordingContext();
        await chatCommand.run([own, "--prompt", "Hi", "--json", ...args], context);
        return JSON.parse(written.out);
      };
      const [one, two] = [await answer("--seed", "1"), await answer("--seed", "2")];
      expect(one.completion).toBe(two.completion);
      expect(one.tokens).toBeLessThanOrEqual(7);
      const drawn = [
        await answer("--seed", "1", "--temperature", "2"),
        await answer("--seed", "2", "--temperature", "2"),
      ];
      expect(drawn[0].completion).not.toBe(drawn[1].completion);
      const repelled = await answer("--repetition-penalty", "1000", "--max-tokens", "20");
      expect(new Set(repelled.completion).size).toBe(repelled.completion.length);
    });
  });

  it("that cannot be are an error with the file's name", async () => {
    await withDefaults({ top_p: 3 }, async (own) => {
      const run = serveCommand.run([own, "--port", "0"], recordingContext().context);
      await expect(run).rejects.toThrow(/generation_config.json: top_p is 3.*--generation-config none/);
      const wrong = serveCommand.run([own, "--port", "0", "--generation-config", "yes"], recordingContext().context);
      await expect(wrong).rejects.toThrow(/--generation-config must be auto or none/);
    });
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
