import { rm } from "node:fs/promises";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ChatSession, command, readAndAnswer } from "../../src/cli/chat.ts";
import { ConfigError, DataError } from "../../src/errors.ts";
import { buildTokenizer } from "../../src/tokenizer/build.ts";
import { lettersTokenizer, newEngine } from "../train/letters.ts";
import { randomModel, recordingContext } from "./models.ts";

let plain: string;
let chat: string;
beforeAll(async () => {
  plain = await randomModel("countdown-compact");
  chat = await randomModel("characters");
});
afterAll(async () => {
  for (const directory of [plain, chat]) await rm(directory, { recursive: true, force: true });
});

async function run(...args: string[]): Promise<string> {
  const { context, written } = recordingContext();
  expect(await command.run(args, context)).toBe(0);
  return written.out;
}

describe("aha chat --prompt", () => {
  it("continues plain text, with \\n for a line break, where there is no chat template", async () => {
    const text = "Using the numbers [6, 3, 3], create an equation that equals 54.\\n<think>";
    const answer = JSON.parse(await run(plain, "--prompt", text, "--max-tokens", "5", "--json"));
    expect(answer.prompt).toBe(text.replace("\\n", "\n"));
    expect(answer.tokens).toBeLessThanOrEqual(5);
  });

  it("renders the chat template where there is one, unless --raw", async () => {
    const spoken = ["--prompt", "Hi", "--max-tokens", "3", "--json"];
    const rendered = JSON.parse(await run(chat, ...spoken, "--system", "Be brief."));
    expect(rendered.prompt).toBe(
      "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    );
    expect(JSON.parse(await run(chat, ...spoken, "--raw")).prompt).toBe("Hi");
  });

  it("answers the same for the same seed, and shortens the answer to the context", async () => {
    const args = [chat, "--raw", "--prompt", "a".repeat(120), "--seed", "4", "--json"];
    const first = await run(...args);
    expect(JSON.parse(first).tokens).toBeLessThanOrEqual(8);
    expect(await run(...args)).toBe(first);
  });

  it("refuses what cannot be answered", async () => {
    await expect(run(chat, "--raw", "--prompt", "a".repeat(128))).rejects.toThrow(/there is no room for an answer/);
    await expect(run(plain, "--prompt", "")).rejects.toThrow(DataError);
    await expect(run(plain, "--prompt", "1", "--system", "x")).rejects.toThrow(ConfigError);
    await expect(run(plain, "--prompt", "1", "--temperature=-1")).rejects.toThrow(/--temperature must be/);
  });
});

describe("aha chat reading lines", () => {
  const sampling = { temperature: 1, topP: 1, topK: 0, maxTokens: 3, seed: 1 };

  it("answers every piped line by itself, passing over empty ones", async () => {
    const session = new ChatSession(newEngine(), lettersTokenizer, sampling, { system: undefined });
    const { context } = recordingContext();
    const prompts: string[] = [];
    await readAndAnswer(session, Readable.from(["1\n\n2\n", "3"]), context, ({ prompt }) => prompts.push(prompt));
    expect(prompts).toEqual(["1", "2", "3"]);
  });

  it("remembers the conversation at the keyboard until /new, and survives a line it cannot answer", async () => {
    const session = new ChatSession(newEngine(), lettersTokenizer, sampling, { system: undefined });
    const keyboard = Object.assign(Readable.from([`1\n2\n${"3".repeat(20)}\n/new\n3\n`]), { isTTY: true });
    const { context, written } = recordingContext();
    const answers: { prompt: string; completion: string }[] = [];
    await readAndAnswer(session, keyboard, context, (answer) => answers.push(answer));
    expect(answers.map(({ prompt }) => prompt)).toEqual(["1", `1${answers[0]!.completion}2`, "3"]);
    expect(written.notes).toContain("no room for an answer");
  });

  it("stops reading when the user interrupts", async () => {
    const controller = new AbortController();
    const session = new ChatSession(newEngine(), lettersTokenizer, sampling, undefined);
    const { context } = recordingContext(controller.signal);
    const prompts: string[] = [];
    await readAndAnswer(session, Readable.from(["1\n2\n3\n"]), context, ({ prompt }) => {
      prompts.push(prompt);
      controller.abort();
    });
    expect(prompts).toEqual(["1"]);
  });

  it("draws anew in every turn", async () => {
    const session = new ChatSession(newEngine(), lettersTokenizer, { ...sampling, maxTokens: 12 }, undefined);
    const completions: string[] = [];
    for (let turn = 0; turn < 6; turn++) completions.push((await session.answer("1")).completion);
    expect(new Set(completions).size).toBeGreaterThan(2);
  });
});

it("the tokenizer of these tests has the template that they expect", () => {
  expect(buildTokenizer("characters").applyChatTemplate([{ role: "user", content: "x" }])).toBe(
    "<|im_start|>user\nx<|im_end|>\n",
  );
});
