/** Log-probabilities of given texts: `echo` with `logprobs`, as evaluation programs ask for them; texts and places of tokens. */

import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { TokenTexts } from "../../src/serve/token-text.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import { StreamingDecoder } from "../../src/tokenizer/streaming-decoder.ts";
import { startServer } from "./running-server.ts";
import { CHAT, chat, completion, newSession, serve } from "./scripted-server.ts";
import { characters, ScriptedSession, says, scriptedModel } from "./scripted-session.ts";

const COMPLETIONS = "/v1/completions";
const scoring = { ...completion, echo: true, logprobs: 1, max_tokens: 0 };
const golden = (name: string) => loadTokenizer(join(import.meta.dirname, "../golden/tokenizers", name));

describe("echo with logprobs", () => {
  it("scores the prompt alone with max_tokens 0", async () => {
    const { post } = await serve();
    const { status, json } = await post(COMPLETIONS, { ...scoring, prompt: ["Hi!", [7]] });
    expect(status).toBe(200);
    expect(json.choices[0]).toEqual({
      index: 0,
      text: "Hi!",
      logprobs: {
        tokens: ["H", "i", "!"],
        token_logprobs: [null, -1, -2],
        top_logprobs: [null, { i: -1 }, { "!": -2 }],
        text_offset: [0, 1, 2],
      },
      finish_reason: "length",
    });
    expect(json.choices[1].logprobs).toEqual({
      tokens: [characters.decode([7])],
      token_logprobs: [null],
      top_logprobs: [null],
      text_offset: [0],
    });
    expect(json.usage).toMatchObject({ prompt_tokens: 4, completion_tokens: 0 });
  });

  it("goes on where tokens are asked for, as one list", async () => {
    const session = newSession("Yo");
    const { post } = await serve({}, session);
    const asked = { ...scoring, max_tokens: 2, logprobs: 2, n: 2, temperature: 0 };
    const { json } = await post(COMPLETIONS, asked);
    expect(json.choices).toHaveLength(2);
    for (const choice of json.choices) {
      expect(choice.text).toBe("HiYo");
      expect(choice.logprobs).toEqual({
        tokens: ["H", "i", "Y", "o"],
        token_logprobs: [null, -1, -0.25, -0.25],
        top_logprobs: [null, { i: -1, j: -2 }, { Y: -0.25, Z: -1.25 }, { o: -0.25, p: -1.25 }],
        text_offset: [0, 1, 2, 3],
      });
    }
    expect(session.requests[0]).toMatchObject({ promptLogprobs: 2, logprobTemperature: 1 });
    expect(session.requests[0]!.tokens).toBe(session.requests[1]!.tokens);
  });

  it("has the token that ends the completion, too: as many as were drawn", async () => {
    const { post } = await serve({}, newSession("Y"));
    const { json } = await post(COMPLETIONS, { ...scoring, max_tokens: 5 });
    const eos = characters.decode([characters.eosTokenId!], { keepSpecial: true });
    expect(json.choices[0]).toMatchObject({ text: "HiY", finish_reason: "stop" });
    expect(json.choices[0].logprobs).toMatchObject({ tokens: ["H", "i", "Y", eos], text_offset: [0, 1, 2, 3] });
    const chatted = await post(CHAT, { ...chat, logprobs: true });
    expect(chatted.json.choices[0].logprobs.content).toHaveLength(1);
  });

  it("comes in a stream too, the prompt's scores in the first chunk of each choice", async () => {
    const { post } = await serve({}, newSession("Yo"));
    const { text } = await post(COMPLETIONS, { ...scoring, max_tokens: 2, stream: true });
    const events = text.split("\n\n").filter((event) => event.startsWith("data: {"));
    const choices = events.map((event) => JSON.parse(event.slice("data: ".length)).choices[0]);
    expect(choices.map((choice) => choice.text).join("")).toBe("HiYo");
    expect(choices[0]).toMatchObject({ text: "Hi", logprobs: { tokens: ["H", "i"], token_logprobs: [null, -1] } });
    const offsets = choices.flatMap((choice) => choice.logprobs?.text_offset ?? []);
    expect(offsets).toEqual([0, 1, 2, 3]);
  });

  it("may fill the context, and not more", async () => {
    const { post } = await serve();
    expect((await post(COMPLETIONS, { ...scoring, prompt: "x".repeat(400) })).status).toBe(200);
    const over = await post(COMPLETIONS, { ...scoring, prompt: "x".repeat(401) });
    expect([over.status, over.json.error.code, over.json.error.param]).toEqual([
      400,
      "context_length_exceeded",
      "prompt",
    ]);
    const one = await post(COMPLETIONS, { ...scoring, prompt: "x".repeat(400), max_tokens: 1 });
    expect(one.json.error.code).toBe("context_length_exceeded");
  });

  it("is only asked of the engine where it is wanted", async () => {
    const session = newSession();
    const { post } = await serve({}, session);
    await post(COMPLETIONS, { ...completion, logprobs: 2 });
    await post(COMPLETIONS, { ...completion, echo: true });
    expect(session.requests.map(({ promptLogprobs }) => promptLogprobs)).toEqual([undefined, undefined]);
  });
});

describe("max_tokens 0", () => {
  it("is an empty completion that costs nothing", async () => {
    const session = newSession();
    const { post } = await serve({}, session);
    const { json } = await post(COMPLETIONS, { ...completion, max_tokens: 0, n: 2 });
    expect(json.choices).toEqual([0, 1].map((index) => ({ index, text: "", logprobs: null, finish_reason: "length" })));
    expect(json.usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 0 });
    const chatted = await post(CHAT, { ...chat, max_tokens: 0 });
    expect(chatted.json.choices[0]).toMatchObject({ finish_reason: "length", message: { content: "" } });
    const { text } = await post(COMPLETIONS, { ...completion, max_tokens: 0, stream: true });
    expect(text).toMatch(/"finish_reason":"length"[\s\S]*\[DONE\]/);
    expect(session.requests).toEqual([]);
  });
});

describe("texts of tokens", () => {
  it("are bytes where they are a part of a character, and their places count characters", async () => {
    const tokenizer = await golden("byte-level");
    const text = "🦜 né 🦜";
    const session = new ScriptedSession(() => says(text, tokenizer));
    const model = scriptedModel(session, {
      tokenizer,
      vocabSize: tokenizer.vocabSize,
      newDecoder: () => new StreamingDecoder(tokenizer),
      stopTokenIds: [tokenizer.eosTokenId!],
    });
    const { post } = await startServer(model);
    const { json } = await post(COMPLETIONS, { ...completion, prompt: "🦜!", echo: true, logprobs: 1, max_tokens: 60 });
    const { tokens, text_offset } = withoutEnd(json.choices[0].logprobs);
    const whole = `🦜!${text}`;
    expect(json.choices[0].text).toBe(whole);
    const bytes = tokens.flatMap((token: string) =>
      token.startsWith("bytes:")
        ? token
            .slice(8)
            .split("\\x")
            .map((hex) => Number.parseInt(hex, 16))
        : [...Buffer.from(token)],
    );
    expect(Buffer.from(bytes).toString()).toBe(whole);
    expect(tokens[0]).toMatch(/^bytes:(\\x[0-9a-f]{2})+$/);
    // Python's len counts a parrot as one.
    const places = [...whole];
    tokens.forEach((token: string, i: number) => {
      if (!token.startsWith("bytes:")) expect(places.slice(text_offset[i]).join("").startsWith(token)).toBe(true);
      else expect(["🦜", "é"]).toContain(places[text_offset[i]!]);
    });
    const chatted = await post(CHAT, { ...chat, logprobs: true });
    const { content } = chatted.json.choices[0].logprobs;
    expect(Buffer.from(content.flatMap((entry: { bytes: number[] }) => entry.bytes)).toString()).toBe(text);
    expect(content[0].token).toMatch(/^(\\x[0-9a-f]{2})+$/);
  });

  it("have SentencePiece's spaces, and completions go on with them", async () => {
    const tokenizer = await golden("metaspace");
    const said = [...tokenizer.encode("the number")];
    const session = new ScriptedSession(function* () {
      yield* said;
      for (;;) yield tokenizer.eosTokenId!;
    });
    const model = scriptedModel(session, {
      tokenizer,
      vocabSize: tokenizer.vocabSize,
      newDecoder: (after) => new StreamingDecoder(tokenizer, { after }),
      stopTokenIds: [tokenizer.eosTokenId!],
    });
    const { post } = await startServer(model);
    const asked = { ...completion, prompt: "Using", echo: true, logprobs: 0, max_tokens: 40 };
    const { json } = await post(COMPLETIONS, asked);
    const { tokens, text_offset } = withoutEnd(json.choices[0].logprobs);
    expect(json.choices[0].text).toBe("Using the number");
    // The begin of text has no place in it, and the first word's space is the tokenizer's.
    expect(tokens[0]).toBe("<s>");
    expect(tokens.slice(1).join("")).toBe(" Using the number");
    const begins = text_offset.map((offset: number) => "Using the number".slice(offset));
    expect(text_offset.slice(0, 2)).toEqual([0, 0]);
    tokens.slice(2).forEach((token: string, i: number) => {
      if (i > 0 || !token.startsWith(" ")) expect(begins[i + 2]!.startsWith(token)).toBe(true);
    });
    // An answer in a chat begins with a word, not with a space.
    const chatted = await startServer({ ...model, tokenizer: { ...chatting(tokenizer) } });
    expect((await chatted.post(CHAT, chat)).json.choices[0].message.content).toBe("the number");
  });

  it("are found in a text that lacks some of them", async () => {
    const tokenizer = await golden("metaspace");
    const texts = new TokenTexts(tokenizer);
    const tokens = tokenizer.encode("né 漢", { addSpecial: true });
    const offsets = texts.offsets("né 漢", tokens);
    expect(offsets[0]).toBe(0);
    expect(offsets.at(-1)).toBe(3);
    expect([...offsets].sort((a, b) => a - b)).toEqual(offsets);
  });
});

/** Log-probabilities without the token that ends the completion. */
function withoutEnd({ tokens, text_offset }: { tokens: string[]; text_offset: number[] }) {
  return { tokens: tokens.slice(0, -1), text_offset: text_offset.slice(0, -1) };
}

/** A tokenizer without a template, as that of a chat. */
function chatting(tokenizer: Awaited<ReturnType<typeof golden>>) {
  return {
    encode: (text: string) => tokenizer.encode(text),
    decode: (tokens: ArrayLike<number>, options?: { keepSpecial?: boolean }) => tokenizer.decode(tokens, options),
    applyChatTemplate: () => "Using",
  };
}
