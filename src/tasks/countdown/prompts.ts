/**
 * Prompts of the Countdown game. All end inside `<think>`, so that the model goes on thinking.
 *
 * `english` is Mini-R1's (with the line breaks that its notebook wraps the text at joined by a space); note that its own
 * example of an answer, `(1 + 2) / 3 = 1`, would score 0, as in the original. `chinese` is that of
 * Datawhale's unlock-deepseek and has no system message. Both are conversations whose last message, the
 * assistant's, is to be continued; the checkpoint's chat template renders them. `compact` is plain text for a small
 * vocabulary, in English or Chinese.
 */

import { ConfigError } from "../../errors.ts";
import { endsInsideThink } from "../../expression/answer.ts";
import { formatRational, type Rational } from "../../expression/rational.ts";
import type { Message } from "../../tokenizer/tokenizer.ts";
import type { ChatRenderer } from "../chat.ts";
import type { Language } from "../language.ts";

export type PromptName = "english" | "chinese" | "compact";

/**
 * The prompt's text for a problem.
 *
 * @throws ConfigError where the prompt is a conversation and there is no renderer, or the renderer closes the last message.
 */
export function renderCountdownPrompt(
  name: PromptName,
  numbers: readonly number[],
  target: Rational,
  renderChat: ChatRenderer | undefined,
  language: Language = "english",
): string {
  const nums = `[${numbers.join(", ")}]`;
  const goal = formatRational(target);
  if (name === "compact") return compactPrompt(nums, goal, language);
  if (renderChat === undefined) {
    throw new ConfigError(
      `The prompt ${name} is a conversation and needs a tokenizer with a chat template, which there is not. ` +
        "Use a model whose tokenizer has one, or task.prompt: compact.",
    );
  }
  const messages = name === "english" ? englishMessages(nums, goal) : chineseMessages(nums, goal);
  const text = renderChat(messages, { continueFinalMessage: true });
  if (endsInsideThink(text)) return text;
  throw new ConfigError(
    `The chat template does not leave the assistant's last message open: expected a prompt that ends with <think>, ` +
      `it ends with ${JSON.stringify(text.slice(-40))}. Use another chat template, or task.prompt: compact.`,
  );
}

function compactPrompt(nums: string, goal: string, language: Language): string {
  const request =
    language === "english"
      ? `Using the numbers ${nums}, create an equation that equals ${goal}.`
      : `用数字 ${nums}，列一个等于 ${goal} 的算式。`;
  return `${request}\n<think>`;
}

function englishMessages(nums: string, goal: string): Message[] {
  return [
    {
      role: "system",
      content:
        "You are a helpful assistant. You first think about the reasoning process in the mind and then provides the " +
        "user with the answer.",
    },
    {
      role: "user",
      content:
        `Using the numbers ${nums}, create an equation that equals ${goal}. You can use basic arithmetic operations ` +
        "(+, -, *, /) and each number can only be used once. Show your work in <think> </think> tags. And return the " +
        "final equation and answer in <answer> </answer> tags, for example, <answer> (1 + 2) / 3 = 1 </answer>.",
    },
    { role: "assistant", content: "Let me solve this step by step.\n<think>" },
  ];
}

function chineseMessages(nums: string, goal: string): Message[] {
  return [
    {
      role: "user",
      content:
        `使用给定的数字 ${nums}，创建一个等于 ${goal} 的方程。你可以使用基本算术运算（+、-、*、/）一次或多次，` +
        "但每个数字只能使用一次。在 <think> </think> 标签中展示你的思考过程，并在 <answer> </answer> 标签中返回最终方程，" +
        "例如 <answer> (1 + 2) / 3 </answer>。在 <think> 标签中逐步思考。",
    },
    { role: "assistant", content: "让我们逐步解决这个问题。\n<think>" },
  ];
}
