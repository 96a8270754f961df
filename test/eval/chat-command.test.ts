import { rm } from "node:fs/promises";
import { PassThrough, Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type AnswerDisplay, chatCommand, jsonDisplay, readAndAnswer, streamingDisplay } from "../../src/cli/chat.ts";
import { type AnswerPart, type ChatReply, ChatSession, type ChatSessionOptions } from "../../src/cli/chat-session.ts";
import { styleFor } from "../../src/cli/terminal-style.ts";
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
  expect(await chatCommand.run(args, context)).toBe(0);
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
  const letters = (changes: Partial<ChatSessionOptions> = {}) =>
    new ChatSession({
      engine: newEngine(),
      tokenizer: lettersTokenizer,
      sampling,
      chat: { system: undefined },
      ...changes,
    });
  const collecting = (answers: ChatReply[]): AnswerDisplay => ({
    part: () => {},
    end: (answer) => answers.push(answer),
  });

  it("answers every piped line by itself, passing over empty ones", async () => {
    const { context } = recordingContext();
    const answers: ChatReply[] = [];
    await readAndAnswer(letters(), { input: Readable.from(["1\n\n2\n", "3"]) }, context, collecting(answers));
    expect(answers.map(({ prompt }) => prompt)).toEqual(["1", "2", "3"]);
  });

  it("remembers the conversation at the keyboard until /new, and survives a line it cannot answer", async () => {
    const keyboard = Object.assign(Readable.from([`1\n2\n${"3".repeat(20)}\n/new\n3\n`]), { isTTY: true });
    const { context, written } = recordingContext();
    const answers: ChatReply[] = [];
    await readAndAnswer(letters(), { input: keyboard }, context, collecting(answers));
    expect(answers.map(({ prompt }) => prompt)).toEqual(["1", `1${answers[0]!.completion}2`, "3"]);
    expect(written.notes).toContain("no room for an answer");
  });

  it("stops reading when the user interrupts", async () => {
    const controller = new AbortController();
    const { context } = recordingContext(controller.signal);
    const prompts: string[] = [];
    const display = {
      part: () => {},
      end: ({ prompt }: ChatReply) => {
        prompts.push(prompt);
        controller.abort();
      },
    };
    await readAndAnswer(letters({ chat: undefined }), { input: Readable.from(["1\n2\n3\n"]) }, context, display);
    expect(prompts).toEqual(["1"]);
  });

  it("draws anew in every turn", async () => {
    const session = letters({ sampling: { ...sampling, maxTokens: 12 }, chat: undefined });
    const completions: string[] = [];
    for (let turn = 0; turn < 6; turn++) completions.push((await session.answer("1")).completion);
    expect(new Set(completions).size).toBeGreaterThan(2);
  });

  it("stops an answer at Ctrl-C, keeps what was said of it, and goes on; at the prompt Ctrl-C ends it", async () => {
    const CTRL_C = "\u0003";
    const endless = { ...lettersTokenizer, eosTokenId: 6 };
    const session = letters({ sampling: { ...sampling, maxTokens: 12 }, tokenizer: endless });
    const keyboard = Object.assign(new PassThrough(), { isTTY: true });
    const { context } = recordingContext();
    const answers: ChatReply[] = [];
    let parts = 0;
    const display = {
      part: () => {
        if (answers.length === 0 && ++parts === 2) keyboard.write(CTRL_C);
      },
      end: (answer: ChatReply) => {
        answers.push(answer);
        if (answers.length === 2) setImmediate(() => keyboard.write(CTRL_C));
      },
    };
    keyboard.write("1\n2\n");
    await readAndAnswer(session, { input: keyboard, output: new PassThrough() }, context, display);
    expect(answers.map(({ finishReason }) => finishReason)).toEqual(["cancelled", "stop"]);
    expect(answers[0]!.tokens).toBeLessThan(12);
    expect(answers[1]!.prompt).toBe(`1${answers[0]!.completion}2`);
  });
});

describe("what aha chat shows", () => {
  const parts: AnswerPart[] = [
    { text: "<think>\nHm", pieces: [{ channel: "reasoning", text: "Hm" }] },
    {
      text: ".\u001b[2J</think>\n4",
      pieces: [
        { channel: "reasoning", text: ".\u001b[2J" },
        { channel: "content", text: "4" },
      ],
    },
  ];
  const answer: ChatReply = {
    prompt: "",
    completion: "<think>\nHm.</think>\n4",
    reasoning: "Hm.",
    answer: "4",
    finishReason: "length",
    tokens: 3,
  };
  const shown = (display: (write: (text: string) => void) => AnswerDisplay): string => {
    let text = "";
    const { part, end } = display((more) => {
      text += more;
    });
    for (const one of parts) part(one);
    end(answer);
    return text;
  };

  it("is thinking dimmed and the answer plain on a terminal, without what could move its cursor", () => {
    const dim = (text: string) => `(${text})`;
    const style = { ...styleFor(false), dim };
    expect(shown((write) => streamingDisplay(write, { terminal: true, style }))).toBe(
      "(Hm)(.\ufffd[2J)\n\n4 ([longest answer; see --max-tokens])\n",
    );
  });

  it("is the text as it is anywhere else", () => {
    expect(shown((write) => streamingDisplay(write, { terminal: false }))).toBe("<think>\nHm.\u001b[2J</think>\n4\n");
  });

  it("is a JSON line with --json", () => {
    expect(JSON.parse(shown(jsonDisplay))).toEqual(answer);
  });
});

it("the tokenizer of these tests has the template that they expect", () => {
  expect(buildTokenizer("characters").applyChatTemplate([{ role: "user", content: "x" }])).toBe(
    "<|im_start|>user\nx<|im_end|>\n",
  );
});
