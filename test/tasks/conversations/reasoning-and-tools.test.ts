/** Rows whose answers keep reasoning and calls apart, and rows with functions: as the chat template shows them. */

import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { DataError } from "../../../src/errors.ts";
import type { ChatRenderer } from "../../../src/tasks/chat.ts";
import { createTask } from "../../../src/tasks/on-disk.ts";
import { ChatTemplates } from "../../../src/tokenizer/chat-template.ts";
import type { HuggingFaceTokenizer } from "../../../src/tokenizer/huggingface.ts";
import { loadTokenizer } from "../../../src/tokenizer/on-disk.ts";
import { demonstrationTokens } from "../../../src/train/sft/demonstration-stream.ts";
import { temporaryFolder } from "../../data/temporary-folder.ts";

const makeFiles = temporaryFolder();
/** Its template is of Qwen3's kind: reasoning, calls and functions, and no thinking of past turns. */
let qwen: HuggingFaceTokenizer;
beforeAll(async () => {
  qwen = await loadTokenizer("test/golden/tokenizers/qwen-like");
});
const byQwen: ChatRenderer = (messages, options) => qwen.applyChatTemplate(messages, options);
const byTemplate = (source: string): ChatRenderer => {
  const templates = new ChatTemplates(new Map([["default", source]]), {});
  return (messages, options) => templates.render(messages, options);
};
const PLAIN = byTemplate(
  "{% for m in messages %}<{{ m.role }}>{{ m.content }}</end>{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
);

const WEATHER = {
  type: "function",
  function: { name: "weather", description: "The weather", parameters: { type: "object", properties: {} } },
};
const CALL = { type: "function", function: { name: "weather", arguments: { city: "Oslo" } } };
const user = (content: string) => ({ role: "user", content });

async function taskOf(row: object, renderChat: ChatRenderer = byQwen, further: object = {}) {
  const other = { messages: [user("other"), { role: "assistant", content: "x" }], prompt: "other", completion: "x" };
  const rows = [row, other];
  const path = join(makeFiles({ "rows.jsonl": rows.map((one) => JSON.stringify(one)).join("\n") }), "rows.jsonl");
  const data = { path, shuffle: false };
  return createTask({ name: "conversations", data, ...further } as { name: string }, { seed: 0, renderChat });
}

/** Prompt and completion of the row. */
async function shown(row: object, renderChat?: ChatRenderer, further?: object) {
  const task = await taskOf(row, renderChat, further);
  const problem = [...task.heldOut(1), task.trainProblem(0)].find(({ place }) => place!.endsWith(":1"))!;
  return { prompt: problem.prompt, ...task.demonstrate!(problem, 0) };
}

describe("reasoning apart from the content", () => {
  test.each(["reasoning_content", "reasoning", "thinking"])(
    "%s is learned where the template puts it",
    async (field) => {
      const messages = [user("2+2?"), { role: "assistant", [field]: "two and two", content: "4" }];
      const { prompt, completion } = await shown({ messages });
      expect(prompt.endsWith("<|im_start|>assistant\n")).toBe(true);
      expect(completion).toBe("<think>\ntwo and two\n</think>\n\n4");
    },
  );

  test("in the completion of a row with prompt and completion, and with fields that are null", async () => {
    const completion = [{ role: "assistant", reasoning_content: "hm", content: "4", tool_calls: null, name: null }];
    expect((await shown({ prompt: [user("2+2?")], completion })).completion).toBe("<think>\nhm\n</think>\n\n4");
  });

  test("is refused by name where the template does not show it", async () => {
    const messages = [user("2+2?"), { role: "assistant", reasoning_content: "two and two", content: "4" }];
    await expect(shown({ messages }, PLAIN)).rejects.toThrow(
      /rows\.jsonl:1: the chat template does not show the answer's reasoning_content, so it cannot be learned/,
    );
  });

  test("is learned behind a prompt that opens the thinking with other white space than the template shows", async () => {
    const spacious: ChatRenderer = (messages, options) =>
      byQwen(messages, options) + (options.addGenerationPrompt ? "<think>\n\n" : "");
    const messages = [user("2+2?"), { role: "assistant", reasoning_content: "two and two", content: "4" }];
    const { prompt, completion } = await shown({ messages }, spacious);
    expect(prompt.endsWith("assistant\n<think>\n\n")).toBe(true);
    expect(completion).toBe("two and two\n</think>\n\n4");
  });

  test("thinking in the content takes the form that the template gives it", async () => {
    const messages = [user("2+2?"), { role: "assistant", content: "<think>two and two</think>4" }];
    expect((await shown({ messages })).completion).toBe("<think>\ntwo and two\n</think>\n\n4");
  });
});

describe("calls of functions", () => {
  test("a turn that only calls is that call, not its end alone", async () => {
    const { completion } = await shown({
      tools: [WEATHER],
      messages: [user("Weather?"), { role: "assistant", content: null, tool_calls: [CALL] }],
    });
    expect(completion).toContain('<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>');
    expect(completion).not.toContain("<|im_end|>");
  });

  test("functions are in the prompt, from a list or from text, as are earlier calls and their answers", async () => {
    const messages = [
      user("Weather?"),
      { role: "assistant", tool_calls: [CALL] },
      { role: "tool", name: "weather", content: "sunny" },
      { role: "assistant", content: "Sunny." },
    ];
    for (const tools of [[WEATHER], JSON.stringify([WEATHER])]) {
      const { prompt, completion } = await shown({ tools, messages });
      expect(prompt).toContain('"description": "The weather"');
      expect(prompt).toContain("<tool_call>");
      expect(prompt).toContain("sunny");
      expect(completion.endsWith("Sunny.")).toBe(true);
    }
  });

  test("are refused by name where the template does not show them", async () => {
    const messages = [user("Weather?"), { role: "assistant", content: "", tool_calls: [CALL] }];
    await expect(shown({ messages }, PLAIN)).rejects.toThrow(/does not show the answer's tool_calls/);
    await expect(shown({ messages: [user("?")], tools: [WEATHER] }, PLAIN)).rejects.toThrow(
      /does not show the functions of the column tools/,
    );
    await expect(shown({ messages: [user("?")], tools: "hammer" })).rejects.toThrow(/a list of JSON schemas/);
    await expect(
      shown({ prompt: "2+2=", completion: "4", tools: [WEATHER] }, byQwen, { chat: "messages" }),
    ).rejects.toThrow(/tools are shown by a chat template/);
  });

  test("every turn of a conversation with calls is learned (learnTurns: all)", async () => {
    const messages = [
      user("Weather?"),
      { role: "assistant", content: "I look.", tool_calls: [CALL] },
      { role: "tool", name: "weather", content: "sunny" },
      { role: "assistant", content: "Sunny." },
    ];
    const flat = byTemplate(
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>" +
        "{{ c.function | tojson }}</tool_call>{% endfor %}<|im_end|>\n{% endfor %}" +
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    );
    const { completion, weightedSpans } = await shown({ messages }, flat, { learnTurns: "all" });
    const { completionTokens, weights } = demonstrationTokens({ completion, weightedSpans }, qwen, true);
    const learned = qwen.decode(
      completionTokens.filter((_, i) => weights[i] === 1),
      { keepSpecial: true },
    );
    expect(learned).toBe(
      'I look.<tool_call>{"name": "weather", "arguments": {"city": "Oslo"}}</tool_call><|im_end|>Sunny.<|im_end|>',
    );
  });
});

describe("what a template opens and closes", () => {
  const opening = byTemplate(
    "{% for m in messages %}<{{ m.role }}>{{ m.content.split('</think>')[-1] }}</end>{% endfor %}" +
      "{% if add_generation_prompt %}<assistant><think>\n{% endif %}",
  );
  const closing = byTemplate(
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}</think>{% endif %}" +
      "{{ m.content.split('</think>')[-1] }}</end>{% endfor %}{% if add_generation_prompt %}<assistant></think>{% endif %}",
  );
  const row = (content: string) => ({ messages: [user("2+2?"), { role: "assistant", content }] });

  test("an answer that begins inside the thinking which the template opens is learned as it stands", async () => {
    expect((await shown(row("two and two</think>4"), opening)).completion).toBe("two and two</think>4");
  });

  test("a template that only closes the thinking takes answers without, and says why it takes no others", async () => {
    expect((await shown(row("4"), closing)).completion).toBe("4");
    await expect(shown(row("<think>hm</think>4"), closing)).rejects.toThrow(
      /rows\.jsonl:1: the chat template closes the thinking before the answer.*the row's answer has thinking/,
    );
  });

  test("one that opens it for the model and closes it in the answers that it shows is named as such", async () => {
    const both = byTemplate(
      "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}</think>{% endif %}{{ m.content }}</end>" +
        "{% endfor %}{% if add_generation_prompt %}<assistant><think>{% endif %}",
    );
    await expect(shown(row("4"), both)).rejects.toThrow(
      /opens <think> for the answer.*"4"\. The template itself shows such an answer as "<\/think>4"/,
    );
  });
});

describe("rows that could be read otherwise", () => {
  test("the error says so", async () => {
    for (const messages of [null, [], [{ role: "user" }]]) {
      const row = { messages, prompt: "2+2?", completion: "4" };
      await expect(shown(row)).rejects.toThrow(DataError);
      await expect(shown(row)).rejects.toThrow(
        /it also has prompt and completion: set task\.form to prompt to read that/,
      );
      expect((await shown(row, PLAIN, { form: "prompt" })).completion).toBe("4");
    }
    const asked = { messages: [user("2+2?")], prompt: "2+2?", completion: "4" };
    await expect(shown(asked)).rejects.toThrow(/expected an answer to learn from.*set task\.form to prompt/s);
  });
});
