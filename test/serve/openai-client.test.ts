/** The official client against the server: what a program that was written for OpenAI's service sees. */

import OpenAI from "openai";
import { describe, expect, it } from "vitest";
import { startServer, until } from "./running-server.ts";
import { characters, ScriptedSession, says, scriptedModel } from "./scripted-session.ts";

const REPLY = "<think>\nHm, 2 + 2.\n</think>\n\nIt is 4.";

function clientOf(url: string, options: { maxRetries?: number; apiKey?: string } = {}): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: "unused", maxRetries: 0, ...options });
}

/** A server whose model says REPLY, and its n-th choice with the number n before it. */
async function replying() {
  const session = new ScriptedSession(({ sampleIndex }) => says(sampleIndex === 0 ? REPLY : `${sampleIndex} ${REPLY}`));
  const started = await startServer(scriptedModel(session));
  return { session, ...started, client: clientOf(started.url) };
}

const chat = { model: "scripted", messages: [{ role: "user" as const, content: "2 + 2?" }] };

/** The field that the client's types do not have. */
const reasoningOf = (value: object): string | undefined => (value as { reasoning_content?: string }).reasoning_content;

describe("the openai client", () => {
  it("lists the model and finds it by name", async () => {
    const { client } = await replying();
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    expect(models).toEqual(["scripted"]);
    expect(await client.models.retrieve("scripted")).toMatchObject({ object: "model", owned_by: "aha" });
    await expect(client.models.retrieve("gpt-4")).rejects.toThrow(OpenAI.NotFoundError);
  });

  it("gets a chat completion, its reasoning apart, with usage and the reason of its end", async () => {
    const { client, session } = await replying();
    const { id, object, choices, usage } = await client.chat.completions.create(chat);
    expect([id.startsWith("chatcmpl-"), object, choices.length]).toEqual([true, "chat.completion", 1]);
    expect(choices[0]).toMatchObject({ index: 0, finish_reason: "stop", logprobs: null });
    expect(choices[0]!.message).toMatchObject({ role: "assistant", content: "It is 4." });
    expect(reasoningOf(choices[0]!.message)).toBe("Hm, 2 + 2.");
    const promptTokens = session.requests[0]!.tokens.length;
    const completionTokens = REPLY.length + 1;
    expect(usage).toMatchObject({
      prompt_tokens: promptTokens,
      completion_tokens: completionTokens,
      total_tokens: promptTokens + completionTokens,
    });
  });

  it("gets n choices, of which the prompt counts once", async () => {
    const { client, session } = await replying();
    const { choices, usage } = await client.chat.completions.create({ ...chat, n: 2 });
    expect(choices.map(({ index, message }) => [index, message.content])).toEqual([
      [0, "It is 4."],
      [1, "1 It is 4."],
    ]);
    expect(session.requests.map(({ sampleIndex }) => sampleIndex)).toEqual([0, 1]);
    expect(session.requests[0]!.tokens).toBe(session.requests[1]!.tokens);
    expect(usage!.prompt_tokens).toBe(session.requests[0]!.tokens.length);
    expect(usage!.completion_tokens).toBe(2 * REPLY.length + 4);
  });

  it("streams the same that it gets as a whole, the role first, the reason of the end last", async () => {
    const { client } = await replying();
    const stream = await client.chat.completions.create({ ...chat, n: 2, stream: true });
    const texts = ["", ""];
    const reasoning = ["", ""];
    const reasons: (string | null)[][] = [[], []];
    const roles: string[] = [];
    for await (const chunk of stream) {
      expect(chunk.object).toBe("chat.completion.chunk");
      expect(chunk.usage).toBeUndefined();
      const { index, delta, finish_reason } = chunk.choices[0]!;
      if (delta.role !== undefined) roles.push(delta.role);
      texts[index] += delta.content ?? "";
      reasoning[index] += reasoningOf(delta) ?? "";
      reasons[index]!.push(finish_reason);
    }
    expect(texts).toEqual(["It is 4.", "1 It is 4."]);
    expect(reasoning).toEqual(["Hm, 2 + 2.", "Hm, 2 + 2."]);
    expect(roles).toEqual(["assistant", "assistant"]);
    for (const list of reasons) {
      expect(list.at(-1)).toBe("stop");
      expect(list.slice(0, -1).every((reason) => reason === null)).toBe(true);
    }
  });

  it("gets usage at the end of a stream where it asks for it", async () => {
    const { client } = await replying();
    const stream = await client.chat.completions.create({
      ...chat,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect(chunks.at(-1)!.choices).toEqual([]);
    expect(chunks.at(-1)!.usage).toMatchObject({ completion_tokens: REPLY.length + 1 });
  });

  it("puts a stream together with its own helper", async () => {
    const { client } = await replying();
    const completion = await client.chat.completions.stream({ ...chat, logprobs: true }).finalChatCompletion();
    expect(completion.choices[0]!.message.content).toBe("It is 4.");
    expect(completion.choices[0]!.logprobs!.content!.map(({ token }) => token).join("")).toBe(REPLY);
  });

  it("stops before a stop string, in a stream too, and leaves the slot", async () => {
    const { client, session } = await replying();
    const stop = ["2.\n<", "4."];
    const whole = await client.chat.completions.create({ ...chat, stop });
    expect(whole.choices[0]).toMatchObject({ finish_reason: "stop", message: { content: "" } });
    expect(reasoningOf(whole.choices[0]!.message)).toBe("Hm, 2 +");
    expect(whole.usage!.completion_tokens).toBe(REPLY.indexOf(stop[0]!) + stop[0]!.length);
    let text = "";
    for await (const chunk of await client.completions.create({
      model: "scripted",
      prompt: "x",
      max_tokens: 90,
      stop: "is 4",
      stream: true,
    })) {
      text += chunk.choices[0]!.text;
    }
    expect(text).toBe("<think>\nHm, 2 + 2.\n</think>\n\nIt ");
    expect(session.load).toEqual({ active: 0, waiting: 0 });
  });

  it("ends at max_tokens, under either name", async () => {
    const { client } = await replying();
    for (const limit of [{ max_tokens: 12 }, { max_completion_tokens: 12 }]) {
      const { choices, usage } = await client.chat.completions.create({ ...chat, ...limit });
      expect(choices[0]!.finish_reason).toBe("length");
      expect(reasoningOf(choices[0]!.message)).toBe("Hm, ".trim());
      expect(usage!.completion_tokens).toBe(12);
    }
  });

  it("hands its parameters on to the engine", async () => {
    const { client, session } = await replying();
    await client.chat.completions.create({ ...chat, seed: 7, temperature: 0.25, top_p: 0.5, max_tokens: 20 });
    expect(session.requests[0]!.params).toMatchObject({
      seed: 7,
      temperature: 0.25,
      topP: 0.5,
      topK: 0,
      maxCompletionTokens: 20,
    });
    await client.chat.completions.create(chat);
    await client.chat.completions.create(chat);
    const seeds = session.requests.map(({ params }) => params.seed);
    expect(new Set(seeds).size).toBe(3);
    expect(session.requests[1]!.params).toMatchObject({ temperature: 1, topP: 1, maxCompletionTokens: 100 });
  });

  it("gets log-probabilities of every token, and the most probable others", async () => {
    const { client } = await replying();
    const { choices } = await client.chat.completions.create({ ...chat, logprobs: true, top_logprobs: 2 });
    const content = choices[0]!.logprobs!.content!;
    expect(content.map(({ token }) => token).join("")).toBe(REPLY);
    expect(content[0]).toMatchObject({ token: "<", logprob: -0.25, bytes: [60] });
    expect(content[0]!.top_logprobs.map(({ token, logprob }) => [token, logprob])).toEqual([
      ["<", -0.25],
      ["=", -1.25],
    ]);
    const { choices: completions } = await client.completions.create({
      model: "scripted",
      prompt: "x",
      max_tokens: 3,
      logprobs: 2,
    });
    expect(completions[0]!.logprobs).toEqual({
      tokens: ["<", "t", "h"],
      token_logprobs: [-0.25, -0.25, -0.25],
      top_logprobs: [
        { "<": -0.25, "=": -1.25 },
        { t: -0.25, u: -1.25 },
        { h: -0.25, i: -1.25 },
      ],
      text_offset: [0, 1, 2],
    });
  });

  it("completes texts and token ids, many at once, as they are", async () => {
    const { client, session } = await replying();
    const { object, choices, usage } = await client.completions.create({
      model: "scripted",
      prompt: ["ab", "c"],
      n: 2,
      max_tokens: 7,
      echo: true,
    });
    expect(object).toBe("text_completion");
    expect(choices.map(({ index, text }) => [index, text])).toEqual([
      [0, "ab<think>"],
      [1, "ab1 <thin"],
      [2, "c<think>"],
      [3, "c1 <thin"],
    ]);
    expect(usage).toMatchObject({ prompt_tokens: 3, completion_tokens: 28 });
    await client.completions.create({ model: "scripted", prompt: [5, 6, 7] });
    expect([...session.requests.at(-1)!.tokens]).toEqual([5, 6, 7]);
    expect(session.requests.at(-1)!.params.maxCompletionTokens).toBe(16);
  });

  it("goes on inside of a message that it began", async () => {
    const { client, session } = await replying();
    const started = await startServer(scriptedModel(new ScriptedSession(() => says("so 4.</think>\n4"))));
    const body = {
      model: "scripted",
      messages: [
        {
          role: "system" as const,
          content: [
            { type: "text" as const, text: "Th" },
            { type: "text" as const, text: "ink." },
          ],
        },
        { role: "user" as const, content: "Use <think> tags. 2 + 2?" },
        { role: "assistant" as const, content: "Step by step.\n<think>" },
      ],
      continue_final_message: true,
    };
    const { choices } = await clientOf(started.url).chat.completions.create(body);
    expect(choices[0]!.message.content).toBe("4");
    expect(reasoningOf(choices[0]!.message)).toBe("so 4.");
    await client.chat.completions.create(body);
    expect(characters.decode(session.requests[0]!.tokens, { keepSpecial: true })).toBe(
      "<|im_start|>system\nThink.<|im_end|>\n<|im_start|>user\nUse <think> tags. 2 + 2?<|im_end|>\n" +
        "<|im_start|>assistant\nStep by step.\n<think>",
    );
  });

  it("takes its own answers back as messages", async () => {
    const { client } = await replying();
    const { choices } = await client.chat.completions.create(chat);
    const messages = [...chat.messages, choices[0]!.message, { role: "user" as const, content: "Why?" }];
    expect((await client.chat.completions.create({ ...chat, messages })).choices[0]!.message.content).toBe("It is 4.");
  });

  it("cancels in the engine what it aborts", async () => {
    const { client, session, records } = await replying();
    const open = session.shutGate();
    const stream = await client.chat.completions.create({ ...chat, n: 3, stream: true });
    await until(() => session.load.active + session.load.waiting === 3);
    stream.controller.abort();
    await until(() => session.load.active + session.load.waiting === 0);
    const abort = new AbortController();
    const whole = client.chat.completions.create(chat, { signal: abort.signal });
    await until(() => session.load.active + session.load.waiting === 1);
    abort.abort();
    await expect(whole).rejects.toThrow(OpenAI.APIUserAbortError);
    await until(() => session.load.active + session.load.waiting === 0);
    open();
    await until(() => records.length === 2);
    expect(records.map(({ status }) => status)).toEqual([499, 499]);
  });
});

describe("the openai client's errors", () => {
  it.each([
    ["unknown model", { ...chat, model: "gpt-4" }, OpenAI.NotFoundError, "model_not_found", "model"],
    [
      "tools",
      { ...chat, tools: [{ type: "function", function: { name: "f" } }] },
      OpenAI.BadRequestError,
      "unsupported_parameter",
      "tools",
    ],
    ["temperature", { ...chat, temperature: 3 }, OpenAI.BadRequestError, "invalid_value", "temperature"],
    ["no messages", { model: "scripted", messages: [] }, OpenAI.BadRequestError, "invalid_value", "messages"],
    ["too long", { ...chat, max_tokens: 399 }, OpenAI.BadRequestError, "context_length_exceeded", "messages"],
    ["misspelt", { ...chat, temprature: 1 }, OpenAI.BadRequestError, "unknown_parameter", "temprature"],
  ])("%s", async (_, body, errorClass, code, param) => {
    const { client } = await replying();
    const error: unknown = await client.chat.completions.create(body as never).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(errorClass);
    expect(error).toMatchObject({ code, param, type: "invalid_request_error" });
  });

  it("AuthenticationError without the key, none with it", async () => {
    const { url } = await startServer(scriptedModel(new ScriptedSession(() => says("a"))), { apiKey: "s3cret" });
    await expect(clientOf(url).models.list()).rejects.toThrow(OpenAI.AuthenticationError);
    await expect(clientOf(url, { apiKey: "s3cre" }).models.list()).rejects.toThrow(/Incorrect API key/);
    expect((await clientOf(url, { apiKey: "s3cret" }).models.list()).data).toHaveLength(1);
  });

  it("RateLimitError where too many wait; the client's retry succeeds once there is room", async () => {
    const session = new ScriptedSession(() => says("a"), 1);
    const { url } = await startServer(scriptedModel(session), { maxSequences: 2 });
    const open = session.shutGate();
    const running = [clientOf(url).chat.completions.create(chat), clientOf(url).chat.completions.create(chat)];
    await until(() => session.load.active + session.load.waiting === 2);
    const refused: unknown = await clientOf(url)
      .chat.completions.create(chat)
      .catch((reason: unknown) => reason);
    expect(refused).toBeInstanceOf(OpenAI.RateLimitError);
    expect((refused as InstanceType<typeof OpenAI.RateLimitError>).headers?.get("retry-after")).toBe("1");
    const retried = clientOf(url, { maxRetries: 2 }).chat.completions.create(chat);
    setTimeout(open, 100);
    expect((await retried).choices[0]!.message.content).toBe("a");
    expect((await Promise.all(running)).map(({ choices }) => choices[0]!.message.content)).toEqual(["a", "a"]);
  });

  it("InternalServerError, without a word of the inside, where the engine fails; also in the middle of a stream", async () => {
    const session = new ScriptedSession(function* () {
      yield 40;
      throw new Error("secret path /home/me");
    });
    const { url, defects } = await startServer(scriptedModel(session));
    const whole: unknown = await clientOf(url)
      .chat.completions.create(chat)
      .catch((reason: unknown) => reason);
    expect(whole).toBeInstanceOf(OpenAI.InternalServerError);
    expect(String(whole)).not.toContain("secret");
    const stream = await clientOf(url).chat.completions.create({ ...chat, stream: true });
    const read = async () => {
      for await (const _ of stream);
    };
    await expect(read()).rejects.toThrow(/The server had an error/);
    expect(defects).toHaveLength(2);
  });
});
