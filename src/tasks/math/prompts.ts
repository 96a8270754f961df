/**
 * Prompts of the math task. `r1-zero` is the template of DeepSeek-R1 (arXiv:2501.12948, Table 1) with the thinking opened;
 * `boxed` is a chat message with the instruction that DeepSeek-R1's and Qwen's model cards recommend; `compact` is the
 * problem and nothing else, for a small vocabulary.
 */

import { ConfigError } from "../../errors.ts";
import type { ChatRenderer } from "../chat.ts";
import type { MathOptions } from "./options.ts";

const R1_ZERO =
  "A conversation between User and Assistant. The user asks a question, and the Assistant solves it. The assistant first " +
  "thinks about the reasoning process in the mind and then provides the user with the answer. The reasoning process and " +
  "answer are enclosed within <think> </think> and <answer> </answer> tags, respectively, i.e., <think> reasoning process " +
  "here </think>\n<answer> answer here </answer>.";

/**
 * The prompt's text for a problem.
 *
 * @throws ConfigError where the prompt is a conversation and there is no renderer.
 */
export function renderMathPrompt(
  name: MathOptions["prompt"],
  problem: string,
  renderChat: ChatRenderer | undefined,
): string {
  if (name === "compact") return `${problem}\n<think>`;
  if (name === "r1-zero") return `${R1_ZERO} User: ${problem} Assistant: <think>`;
  if (renderChat === undefined) {
    throw new ConfigError(
      "The prompt boxed is a conversation and needs a tokenizer with a chat template, which there is not. Use a model " +
        "whose tokenizer has one, or task.prompt: r1-zero.",
    );
  }
  const content = `${problem}\nPlease reason step by step, and put your final answer within \\boxed{}.`;
  return renderChat([{ role: "user", content }], { addGenerationPrompt: true });
}
