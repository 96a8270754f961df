import { describe, expect, test } from "vitest";
import { endsInsideThink, findAnswer, formFault, thinkingOf } from "../../src/expression/answer.ts";

const PROMPT = "Let me solve this step by step.\n<think>";

/** The seeds' regular expression on the whole text; `$` with Python's meaning. */
const SEED_FORM = /^<think>([^<]*(?:<(?!\/?think>)[^<]*)*)<\/think>\n<answer>([\s\S]*?)<\/answer>\n?(?![\s\S])/;
const SEED_ANSWER = /<answer>([^\n]*?)<\/answer>/;

/** Every text of up to `length` of these parts. */
function* texts(parts: readonly string[], length: number): Generator<string> {
  yield "";
  if (length === 0) return;
  for (const rest of texts(parts, length - 1)) for (const part of parts) yield part + rest;
}

const PARTS = ["<think>", "</think>", "<answer>", "</answer>", "\n", "<", "x"];

describe("formFault", () => {
  test("agrees with the seeds' regular expression on every text of up to six tags, line feeds and letters", () => {
    let formed = 0;
    for (const text of texts(PARTS, 6)) {
      const isFormed = formFault(PROMPT, text) === undefined;
      if (isFormed !== SEED_FORM.test(`<think>${text}`)) expect.fail(JSON.stringify(text));
      if (isFormed) formed++;
    }
    expect(formed).toBeGreaterThan(10);
  });

  test.each([
    ["a</think>\n<answer>b</answer>", undefined],
    ["a</think>\n<answer>b</answer>\n", undefined],
    ["a < b <i> </think>\n<answer>two\nlines</answer>", undefined],
    ["</think>\n<answer></answer>", undefined],
    ["a</think>\n<answer>b</answer>\n<answer>c</answer>", undefined],
    ["a", "has no </think>"],
    ["", "has no </think>"],
    ["a<think>b</think>\n<answer>c</answer>", "opens <think> again inside the thinking"],
    ["a</think><answer>b</answer>", "has no line feed and <answer> right after </think>"],
    ["a</think>\n\n<answer>b</answer>", "has no line feed and <answer> right after </think>"],
    ["a</think>\n<answer>b", "does not end with </answer>"],
    ["a</think>\n<answer>b</answer> ", "does not end with </answer>"],
    ["a</think>\n<answer>b</answer>\n\n", "does not end with </answer>"],
    ["a</think>\n<answer></answer", "does not end with </answer>"],
  ])("%j: %s", (completion, fault) => {
    expect(formFault(PROMPT, completion)).toBe(fault);
  });

  test("the prompt's text decides whether <think> is still to come", () => {
    const completion = "a</think>\n<answer>b</answer>";
    expect(formFault("Q: 1+1?\n<think>\n", completion)).toBeUndefined();
    expect(formFault("Q: 1+1?", completion)).toBe("does not start with <think>");
    expect(formFault("Q: 1+1?", `<think>${completion}`)).toBeUndefined();
    expect(formFault("Q: 1+1?\n<think>", `<think>${completion}`)).toBe("opens <think> again inside the thinking");
  });

  test("a prompt that only speaks of the tags does not end inside the thinking", () => {
    expect(endsInsideThink("Show your work in <think> </think> tags.")).toBe(false);
    expect(endsInsideThink("在 <think> 标签中逐步思考。")).toBe(false);
  });

  test("a megabyte of < is decided without backtracking", () => {
    const many = "<".repeat(2 ** 20);
    expect(formFault(PROMPT, many)).toBe("has no </think>");
    expect(formFault(PROMPT, `${many}</think>\n<answer>${many}</answer>`)).toBeUndefined();
    expect(formFault(PROMPT, `${"<think".repeat(2 ** 17)}</think>\n<answer>`)).toBe("does not end with </answer>");
  });
});

describe("findAnswer", () => {
  test("finds what the seeds' regular expression finds, on every text of up to six parts", () => {
    for (const text of texts(PARTS, 6)) {
      const found = findAnswer(text);
      const expected = SEED_ANSWER.exec(text)?.[1]?.trim();
      if (("fault" in found ? undefined : found.text) !== expected) expect.fail(JSON.stringify(text));
    }
  });

  test.each([
    ["<answer> 1 + 2 </answer>", { text: "1 + 2", count: 1 }],
    ["<answer>1</answer> no, <answer>2</answer>", { text: "1", count: 2 }],
    ["so <answer>1</answer></think>\n<answer>2</answer>", { text: "1", count: 2 }],
    ["<answer>1\n</answer><answer>2</answer>", { text: "2", count: 1 }],
    ["<answer><answer>1</answer></answer>", { text: "<answer>1", count: 1 }],
    ["<answer>1+\n2</answer>", { fault: "the answer does not lie on one line" }],
    ["<answer>1+2", { fault: "the answer is not closed" }],
    ["</answer>", { fault: "there is no <answer>" }],
    ["", { fault: "there is no <answer>" }],
  ])("%j", (completion, found) => {
    expect(findAnswer(completion)).toEqual(found);
  });

  test("a megabyte of opening tags is searched once", () => {
    expect(findAnswer("<answer>".repeat(2 ** 17))).toEqual({ fault: "the answer is not closed" });
    expect(findAnswer(`${"<answer>\n".repeat(2 ** 17)}</answer>`)).toEqual({
      fault: "the answer does not lie on one line",
    });
    const many = findAnswer("<answer>1</answer>\n".repeat(2 ** 16));
    expect(many).toEqual({ text: "1", count: 2 ** 16 });
  });
});

test("thinkingOf ends at </think>, or at <answer> where the thinking was not closed", () => {
  expect(thinkingOf("a <answer>b</answer></think> c")).toBe("a <answer>b</answer>");
  expect(thinkingOf("a <answer>b</answer>")).toBe("a ");
  expect(thinkingOf("a")).toBe("a");
});
