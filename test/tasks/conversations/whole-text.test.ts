/** Texts that are learned whole, and what rows and options tell a chat template beside the messages. */

import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ChatRenderer } from "../../../src/tasks/chat.ts";
import { createTask } from "../../../src/tasks/on-disk.ts";
import { loadTokenizer } from "../../../src/tokenizer/on-disk.ts";
import { demonstrationTokens } from "../../../src/train/sft/demonstration-stream.ts";
import { temporaryFolder } from "../../data/temporary-folder.ts";

const makeFiles = temporaryFolder();
const tokenizer = (name: string) => loadTokenizer(join(import.meta.dirname, "../../golden/tokenizers", name));
const qwenLike = await tokenizer("qwen-like");
const llamaLike = await tokenizer("llama-like");

/** Variables that the template was given, in the order of its calls. */
const seen: unknown[] = [];
const render: ChatRenderer = (messages, options) => {
  seen.push(options.variables);
  return qwenLike.applyChatTemplate(messages, options);
};

const conversation = (question: string) => [
  { role: "user", content: question },
  { role: "assistant", content: "hello" },
];

/** The task on one row to train on and one that is held out. */
async function taskOf(row: object, further: object = {}) {
  const other = "prompt" in row ? { prompt: "another", completion: "x" } : { messages: conversation("another") };
  const heldOut = "text" in row ? { text: "another" } : other;
  const path = makeFiles({ "train.jsonl": JSON.stringify(row), "test.jsonl": JSON.stringify(heldOut) });
  const spec = { name: "conversations", data: { path, testSplit: "test" }, ...further };
  seen.length = 0;
  const task = await createTask(spec, { seed: 0, renderChat: render });
  const problem = task.trainProblem(0);
  return { problem, demonstrate: () => task.demonstrate!(problem, 0) };
}

describe("learnTurns: whole", () => {
  const whole = { learnTurns: "whole" };

  test("learns a conversation as the template shows it, and nothing more", async () => {
    const { demonstrate } = await taskOf({ messages: conversation("hi") }, whole);
    const completion = qwenLike.applyChatTemplate(conversation("hi"));
    expect(demonstrate()).toEqual({ prompt: "", completion, weightedSpans: [], wholeText: "rendered" });
    const { completionTokens, weights } = demonstrationTokens(demonstrate(), qwenLike);
    expect([...completionTokens]).toEqual([...qwenLike.encode(completion)]);
    expect([...weights]).toEqual(Array.from(completionTokens, () => 1));
  });

  test("learns a conversation that ends with a question", async () => {
    const asked = conversation("hi").slice(0, 1);
    const { demonstrate } = await taskOf({ messages: asked }, whole);
    expect(demonstrate().completion).toBe(qwenLike.applyChatTemplate(asked));
  });

  test("takes prompt and completion together, as a conversation or as texts", async () => {
    const row = { prompt: "1 + 1 =", completion: " 2" };
    const asked = [
      { role: "user", content: "1 + 1 =" },
      { role: "assistant", content: " 2" },
    ];
    const messages = (await taskOf(row, whole)).demonstrate();
    expect(messages).toMatchObject({ completion: qwenLike.applyChatTemplate(asked), wholeText: "rendered" });
    const texts = (await taskOf(row, { ...whole, chat: "messages" })).demonstrate();
    expect(texts).toMatchObject({ completion: "1 + 1 = 2", wholeText: "plain" });
  });

  test("takes a column text, whose beginning stands for a prompt in evaluations", async () => {
    const text = "Once upon a time there was a king who had three daughters, and each of them had a lamp of her own.";
    const { problem, demonstrate } = await taskOf({ text }, whole);
    expect(problem.prompt).toBe("Once upon a time there was a king who had three");
    expect(demonstrate()).toEqual({ prompt: "", completion: text, weightedSpans: [], wholeText: "plain" });
    const beginning = async (of: string) => (await taskOf({ text: of }, whole)).problem.prompt;
    expect(await beginning("abc ".repeat(100))).toBe("abc ".repeat(16).trimEnd());
    expect(await beginning("one two")).toBe("one");
    // No character is cut in two.
    expect(await beginning("😀😀😀")).toBe("😀😀");
  });

  test("puts the tokenizer's own tokens around a plain text, and one end", () => {
    const plain = (completion: string) => ({ prompt: "", completion, weightedSpans: [], wholeText: "plain" }) as const;
    const own = [...llamaLike.encode("hi there", { addSpecial: true })];
    expect(own.length).toBeGreaterThan(llamaLike.encode("hi there").length);
    expect(own).not.toContain(llamaLike.eosTokenId);
    expect([...demonstrationTokens(plain("hi there"), llamaLike).completionTokens]).toEqual([
      ...own,
      llamaLike.eosTokenId,
    ]);
    const ended = demonstrationTokens(plain("hi<|im_end|>"), qwenLike).completionTokens;
    expect([...ended]).toEqual([...qwenLike.encode("hi<|im_end|>")]);
  });

  test.each([
    [{ prefill: "<think>" }, /prefill.*learned whole/],
    [{ form: "text", learnTurns: "last" }, /learnTurns.*must be whole for rows of the form text/],
    [{ learnTurns: "last" }, /expected a conversation in one of the columns messages, conversations, prompt;/],
  ])("refuses %j", async (further, message) => {
    await expect(taskOf({ text: "a b" }, { ...whole, ...further })).rejects.toThrow(message);
  });
});

describe("a template's variables", () => {
  const EMPTY = "<think>\n\n</think>";
  const prompt = async (row: object, further: object = {}) =>
    (await taskOf({ messages: conversation("hi"), ...row }, further)).problem.prompt;

  test("are the task's, and before them the row's", async () => {
    expect(await prompt({})).not.toContain(EMPTY);
    expect(seen).toEqual([undefined]);
    const off = { templateVariables: { enable_thinking: false } };
    expect(await prompt({}, off)).toContain(EMPTY);
    expect(await prompt({ chat_template_kwargs: { enable_thinking: true } }, off)).not.toContain(EMPTY);
    expect(await prompt({ chat_template_kwargs: '{"enable_thinking": false}' })).toContain(EMPTY);
    expect(await prompt({ chat_template_kwargs: null })).not.toContain(EMPTY);
  });

  test("are a mapping, and of a template", async () => {
    await expect(prompt({ chat_template_kwargs: ["a"] })).rejects.toThrow(/mapping .* column chat_template_kwargs/);
    const further = { chat: false, templateVariables: { a: 1 } };
    await expect(prompt({ prompt: "x" }, further)).rejects.toThrow(/templateVariables.*no effect with chat: false/);
  });
});
