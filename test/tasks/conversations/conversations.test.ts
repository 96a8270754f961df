import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ConfigError, DataError } from "../../../src/errors.ts";
import type { ChatRenderer } from "../../../src/tasks/chat.ts";
import { createTask } from "../../../src/tasks/on-disk.ts";
import { withDataFile } from "../../../src/tasks/registry.ts";
import { buildCharacters } from "../../../src/tokenizer/build.ts";
import { ChatTemplates } from "../../../src/tokenizer/chat-template.ts";
import { temporaryFolder } from "../../data/temporary-folder.ts";

const makeFiles = temporaryFolder();
const characters = buildCharacters();
const plain: ChatRenderer = (messages, options) => characters.applyChatTemplate(messages, options);

const templateOf = (source: string) => new ChatTemplates(new Map([["default", source]]), {});

/** Qwen3's treatment of thinking: what a past message thought is dropped, an answer without thinking gets empty tags. */
const QWEN3 = templateOf(
  "{%- for m in messages %}{%- set content = m.content %}{%- set thought = '' %}" +
    "{%- if m.role == 'assistant' and '</think>' in content %}" +
    "{%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}" +
    "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}" +
    "{{- '<|im_start|>' + m.role + '\\n' }}" +
    "{%- if m.role == 'assistant' and loop.last %}{{- '<think>\\n' + thought + '\\n</think>\\n\\n' }}{%- endif %}" +
    "{{- content + '<|im_end|>\\n' }}{%- endfor %}" +
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}",
);

/** DeepSeek-R1's distilled models: thinking is opened for the model and dropped from every answer that is shown. */
const DEEPSEEK = templateOf(
  "{%- for m in messages %}{%- if m.role == 'user' %}{{- '<U>' + m.content }}{%- else %}" +
    "{{- '<A>' + m.content.split('</think>')[-1] + '<end>' }}{%- endif %}{%- endfor %}" +
    "{%- if add_generation_prompt %}{{- '<A><think>\\n' }}{%- endif %}",
);

const conversation = (question: string, answer: string) => ({
  messages: [
    { role: "user", content: question },
    { role: "assistant", content: answer },
  ],
});

const ANSWER = "<think>\nadd\n</think>\n\nIt is \\boxed{4}.";
const rows = (answer = ANSWER, count = 10) =>
  Array.from({ length: count }, (_, i) => JSON.stringify({ ...conversation(`${i}+2?`, answer), gold: i + 2 })).join(
    "\n",
  );

async function taskOf(text: string, further: object = {}, renderChat: ChatRenderer | null = plain) {
  const path = join(makeFiles({ "rows.jsonl": text }), "rows.jsonl");
  const spec = { name: "conversations", data: { path, shuffle: false }, ...further };
  return createTask(spec, { seed: 0, ...(renderChat ? { renderChat } : {}) });
}

/** Prompt and completion of the first training problem, one text after the other as a model sees them. */
async function shown(template: ChatTemplates, answer: string, further: object = {}) {
  const task = await taskOf(rows(answer, 2), further, (messages, options) => template.render(messages, options));
  const problem = task.trainProblem(0);
  return { prompt: problem.prompt, completion: task.demonstrate!(problem, 0).completion };
}

describe("prompt and demonstration", () => {
  test("are the conversation through the chat template, cut where the assistant begins", async () => {
    const task = await taskOf(rows());
    const problem = task.trainProblem(0);
    const question = (problem.columns.messages as { content: string }[])[0]!.content;
    expect(problem.prompt).toBe(`<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`);
    expect(task.demonstrate!(problem, 0)).toEqual({ completion: ANSWER, weightedSpans: [] });
    expect(problem.columns.gold).toEqual(expect.any(Number));
    expect(problem.place).toMatch(/rows\.jsonl:\d+$/);
    expect(task.trainCount).toBe(9);
    expect(task.heldOut(1)).toHaveLength(1);
    expect(() => task.heldOut(2)).toThrow(ConfigError);
  });

  test("what Qwen3's template makes of an answer is what is learned", async () => {
    expect(await shown(QWEN3, ANSWER)).toMatchObject({ completion: ANSWER });
    expect(await shown(QWEN3, "4")).toMatchObject({ completion: "<think>\n\n</think>\n\n4" });
  });

  test("a template that opens the thinking and drops it from answers (DeepSeek-R1) loses none of it here", async () => {
    const { prompt, completion } = await shown(DEEPSEEK, ANSWER);
    expect(prompt.endsWith("<A><think>\n")).toBe(true);
    expect(completion).toBe(ANSWER.slice("<think>\n".length));
    await expect(shown(DEEPSEEK, "4")).rejects.toThrow(
      /rows\.jsonl:\d: the chat template opens <think> for the answer, but the row's answer does not begin with it: "4"/,
    );
  });

  test("prefill moves the beginning of the answer into the prompt", async () => {
    const task = await taskOf(rows(), { prefill: "<think>\n" });
    const problem = task.trainProblem(0);
    expect(problem.prompt.endsWith("<|im_start|>assistant\n<think>\n")).toBe(true);
    expect(task.demonstrate!(problem, 0).completion).toBe(ANSWER.slice("<think>\n".length));
    const other = await taskOf(rows("4"), { prefill: "<think>\n" });
    expect(() => other.demonstrate!(other.trainProblem(0), 0)).toThrow(
      /task.prefill is "<think>\\n", so expected an answer/,
    );
  });

  test("chat: false takes plain text and needs no template", async () => {
    const text = Array.from({ length: 4 }, (_, i) =>
      JSON.stringify({ prompt: `${i}+2=`, completion: `${i + 2}` }),
    ).join("\n");
    const task = await taskOf(text, { chat: false }, null);
    const problem = task.trainProblem(0);
    expect(problem.prompt).toMatch(/^\d\+2=$/);
    expect(task.demonstrate!(problem, 0).completion).toMatch(/^\d$/);
    await expect(taskOf(text, {}, null)).rejects.toThrow(ConfigError);
  });

  test("rows without an answer are for rewards: SFT is refused before training, naming the row", async () => {
    const text = `${rows(ANSWER, 5)}\n${JSON.stringify({ messages: [{ role: "user", content: "?" }] })}`;
    const task = await taskOf(text);
    const place = /rows\.jsonl:6: expected an answer to learn from/;
    const isHeldOut = task.heldOut(1)[0]!.place!.endsWith(":6");
    if (!isHeldOut) expect(() => task.requireDemonstrations!()).toThrow(place);
    for (let i = 0; i < task.trainCount; i++) expect(task.trainProblem(i).prompt).toContain("<|im_start|>assistant");
  });

  test("a conversation that the template refuses is an error that names the row", async () => {
    const refusing: ChatRenderer = () => {
      throw new DataError("no such role.");
    };
    const task = await taskOf(rows(), {}, refusing);
    expect(() => task.trainProblem(0)).toThrow(/rows\.jsonl:\d+: no such role\./);
  });
});

describe("the judge", () => {
  test("compares final answers with the reference's", async () => {
    const task = await taskOf(rows());
    const problem = task.trainProblem(0);
    const solved = { solved: true, wellFormed: true, answersOutright: true, answer: "4", statistics: { judged: 1 } };
    expect(task.judge(problem, "so <answer>4.0</answer>")).toEqual(solved);
    expect(task.judge(problem, "\\boxed{5}")).toMatchObject({ solved: false, wellFormed: true, answer: "5" });
    expect(task.judge(problem, "four")).toMatchObject({ solved: false, wellFormed: false, answer: null });
  });

  test("judges as the accuracy reward does", async () => {
    const task = await taskOf(rows("so \\\\boxed{\\\\frac{1}{2}}"));
    const problem = task.trainProblem(0);
    const isSolved = (completion: string) => task.judge(problem, completion).solved;
    expect(isSolved("\\boxed{0.5}")).toBe(true);
    expect(isSolved("<answer>1/3</answer> no, <answer>2/4</answer>")).toBe(true);
    expect(isSolved("<answer>1/2</answer> no, <answer>1/3</answer>")).toBe(false);
    expect(isSolved("First \\boxed{1/2}. No, \\boxed{1")).toBe(false);
    expect(task.judge(problem, "The answer is 1/2.")).toMatchObject({ solved: true, wellFormed: false });
  });

  test("gives no verdict on a gold answer that it cannot compare with", async () => {
    const task = await taskOf(rows("<answer>It follows by induction on the number of sides.</answer>"));
    const problem = task.trainProblem(0);
    expect(task.judge(problem, "\\boxed{3}")).toMatchObject({ solved: false, statistics: { judged: 0 } });
  });

  test("prefers the column answer, a number, a text, or a solution that ends in it", async () => {
    const task = await taskOf(rows(), { answer: "gold" });
    const problem = task.trainProblem(0);
    expect(task.judge(problem, `\\boxed{${problem.columns.gold}}`).solved).toBe(true);
    expect(task.judge(problem, "\\boxed{99}").solved).toBe(false);
    await expect(taskOf(rows(), { answer: "golden" })).rejects.toThrow(
      /rows\.jsonl:1: expected the right answer, a text or a number, in the column golden, which is not there; .* Is gold meant\?/,
    );
  });

  test("without a final answer to compare with, only the reference's own words are right", async () => {
    const task = await taskOf(rows("Paris is\nfar."));
    const problem = task.trainProblem(0);
    expect(task.judge(problem, " Paris  is far. ")).toMatchObject({ solved: true, statistics: { judged: 1 } });
    expect(task.judge(problem, "Paris")).toMatchObject({ solved: false, wellFormed: true });
    const prompts = Array.from({ length: 3 }, (_, i) => JSON.stringify({ prompt: `q${i}` })).join("\n");
    const unjudged = await taskOf(prompts);
    expect(unjudged.judge(unjudged.trainProblem(0), "x")).toMatchObject({
      ...{ solved: false, isUnjudged: true, statistics: { judged: 0 } },
    });
  });
});

describe("options", () => {
  test.each([
    [{ data: undefined }, "data: is missing"],
    [{ form: "mesages" }, 'did you mean "messages"?'],
    [{ chat: false, form: "messages" }, "must be true for rows of the form messages"],
    [{ chat: false, system: "x" }, "has no effect with chat: false"],
    [{ sytem: "x" }, 'did you mean "system"?'],
  ])("%j is a ConfigError", async (further, message) => {
    await expect(taskOf(rows(), further)).rejects.toThrow(ConfigError);
    await expect(taskOf(rows(), further)).rejects.toThrow(message);
  });

  test("withDataFile keeps the mapping of columns and takes other rows", () => {
    const spec = { name: "conversations", answer: "gold", data: { path: "a", split: "x", columns: { prompt: "q" } } };
    expect(withDataFile(spec, "b.csv")).toEqual({
      name: "conversations",
      answer: "gold",
      data: { path: "b.csv", columns: { prompt: "q" } },
    });
  });
});
