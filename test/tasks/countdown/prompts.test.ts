import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../src/errors.ts";
import { whole } from "../../../src/expression/rational.ts";
import { createCountdownTask } from "../../../src/tasks/countdown/countdown.ts";
import { renderCountdownPrompt } from "../../../src/tasks/countdown/prompts.ts";
import type { Message } from "../../../src/tokenizer/tokenizer.ts";

/** Qwen2.5's way of writing a conversation, the last message left open; without a system message it adds its own. */
function qwen(messages: readonly Message[]): string {
  const all =
    messages[0]?.role === "system"
      ? messages
      : [
          { role: "system", content: "You are Qwen, created by Alibaba Cloud. You are a helpful assistant." },
          ...messages,
        ];
  return all
    .map(({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>\n`)
    .join("")
    .slice(0, -"<|im_end|>\n".length);
}

describe("prompts", () => {
  test("compact is plain text", () => {
    expect(renderCountdownPrompt("compact", [6, 3, 3], whole(54), undefined)).toBe(
      "Using the numbers [6, 3, 3], create an equation that equals 54.\n<think>",
    );
  });

  test("chinese renders to the example of the seeds (unlock-deepseek), character by character", () => {
    expect(renderCountdownPrompt("chinese", [10, 3, 6], whole(7), qwen)).toBe(`<|im_start|>system
You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>
<|im_start|>user
使用给定的数字 [10, 3, 6]，创建一个等于 7 的方程。你可以使用基本算术运算（+、-、*、/）一次或多次，但每个数字只能使用一次。在 <think> </think> 标签中展示你的思考过程，并在 <answer> </answer> 标签中返回最终方程，例如 <answer> (1 + 2) / 3 </answer>。在 <think> 标签中逐步思考。<|im_end|>
<|im_start|>assistant
让我们逐步解决这个问题。
<think>`);
  });

  test("english is Mini-R1's conversation", () => {
    const text = renderCountdownPrompt("english", [19, 36, 55, 7], whole(65), qwen);
    expect(text).toContain(
      "<|im_start|>system\nYou are a helpful assistant. You first think about the reasoning process in the mind and then " +
        "provides the user with the answer.<|im_end|>\n<|im_start|>user\nUsing the numbers [19, 36, 55, 7], create an " +
        "equation that equals 65. You can use basic arithmetic operations (+, -, *, /) and each number can only be used once.",
    );
    expect(text.endsWith("<|im_start|>assistant\nLet me solve this step by step.\n<think>")).toBe(true);
  });

  test("a conversation without a chat template is a ConfigError", () => {
    expect(() => createCountdownTask({}, { seed: 0 }).trainProblem(0)).toThrow(ConfigError);
    expect(() => renderCountdownPrompt("chinese", [1, 2], whole(3), undefined)).toThrow(
      /needs a tokenizer with a chat template/,
    );
  });

  test("a chat template that closes the last message is a ConfigError that shows its end", () => {
    expect(() =>
      renderCountdownPrompt("english", [1, 2], whole(3), (messages) => `${qwen(messages)}<|im_end|>\n`),
    ).toThrow('it ends with "ve this step by step.\\n<think><|im_end|>\\n"');
  });
});
