import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { DataError } from "../../../src/errors.ts";
import type { ChatRenderer } from "../../../src/tasks/chat.ts";
import { createTask } from "../../../src/tasks/on-disk.ts";
import { buildCharacters } from "../../../src/tokenizer/build.ts";
import { demonstrationTokens } from "../../../src/train/sft/demonstration-stream.ts";
import { temporaryFolder } from "../../data/temporary-folder.ts";

const makeFiles = temporaryFolder();
const characters = buildCharacters();
const plain: ChatRenderer = (messages, options) => characters.applyChatTemplate(messages, options);

async function taskOf(rows: readonly object[], further: object, renderChat: ChatRenderer = plain) {
  const text = rows.map((row) => JSON.stringify(row)).join("\n");
  const path = join(makeFiles({ "rows.jsonl": text }), "rows.jsonl");
  return createTask({ name: "conversations", data: { path, shuffle: false }, ...further } as { name: string }, {
    seed: 0,
    renderChat,
  });
}

const say = (role: string, content: string) => ({ role, content });
const DIALOGUE = {
  messages: [say("user", "1+1?"), say("assistant", "two"), say("user", "sure?"), say("assistant", "yes")],
};
const OTHER = { messages: [say("user", "1+2?"), ...DIALOGUE.messages.slice(1)] };
const QUESTION = { messages: [say("user", "2+2?"), say("assistant", "four")] };

describe("learnTurns: all", () => {
  test("learns every answer with its end of turn, and nothing of what stands between them", async () => {
    const task = await taskOf([DIALOGUE, DIALOGUE, QUESTION], { learnTurns: "all" });
    const problems = [0, 1].map((index) => task.trainProblem(index));
    const problem = problems.find(({ prompt }) => prompt.includes("sure"))!;
    const demonstration = task.demonstrate!(problem, 0);
    expect(demonstration.prompt!.endsWith("1+1?<|im_end|>\n<|im_start|>assistant\n")).toBe(true);
    const { completionTokens, weights } = demonstrationTokens(demonstration, characters);
    const learned = completionTokens.filter((_, t) => weights[t] === 1);
    expect(characters.decode(learned, { keepSpecial: true })).toBe("two<|im_end|>yes<|im_end|>");
    const silent = completionTokens.filter((_, t) => weights[t] === 0);
    expect(characters.decode(silent, { keepSpecial: true })).toContain("<|im_start|>user\nsure?<|im_end|>");
  });

  test("is the last answer alone by default, and refuses a template that drops the thinking of earlier ones", async () => {
    const last = await taskOf([DIALOGUE, OTHER], {});
    expect(last.demonstrate!(last.trainProblem(0), 0)).toEqual({ completion: "yes", weightedSpans: [] });
    const forgetful: ChatRenderer = (messages, options) =>
      plain(
        messages.map((message, i) =>
          message.role === "assistant" && i < messages.length - 1 ? { ...message, content: "…" } : message,
        ),
        options,
      );
    const task = await taskOf([DIALOGUE, OTHER], { learnTurns: "all" }, forgetful);
    expect(() => task.requireDemonstrations!()).toThrow(DataError);
    expect(() => task.requireDemonstrations!()).toThrow(
      /rows\.jsonl:\d: the chat template shows message 2.*learnTurns to last/,
    );
  });
});

describe('chat: "messages"', () => {
  test("takes rows of both forms: texts as they are given to the tokenizer, messages through the template", async () => {
    const raw = { prompt: "User: 3+3? Assistant: <think>", completion: "hm</think> six", kind: "reasoning" };
    const mixed = await taskOf([raw, { ...QUESTION, kind: "general" }, { ...raw, prompt: "User: 4+4?" }], {
      chat: "messages",
    });
    const shown = new Map<unknown, { prompt: string; completion: string }>();
    for (const problem of [...mixed.heldOut(1), mixed.trainProblem(0), mixed.trainProblem(1)]) {
      const { completion } = mixed.demonstrate!(problem, 0);
      shown.set(problem.prompt.startsWith("User: 3") ? "raw" : problem.columns.kind, {
        prompt: problem.prompt,
        completion,
      });
    }
    expect(shown.get("raw")).toEqual({ prompt: raw.prompt, completion: raw.completion });
    expect(shown.get("general")).toEqual({
      prompt: plain([say("user", "2+2?")], { addGenerationPrompt: true }),
      completion: "four",
    });
  });
});
