/** Pairs of completions as token sequences, for reward models: the one way in which texts become what they score. */

import type { Problem, Task } from "../tasks/task.ts";
import { withEnd } from "../tokenizer/stop-tokens.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** Two whole sequences, prompt and end token included. */
export interface TokenizedPair {
  readonly chosen: Int32Array;
  readonly rejected: Int32Array;
}

/**
 * The sequence that a completion is scored by: its prompt, itself (encoded apart, as a policy would have written it) and
 * the end token.
 *
 * @throws ConfigError where the tokenizer has no end token.
 */
export function scoredTokens(tokenizer: Tokenizer, prompt: string, completion: string): Int32Array {
  return Int32Array.from([...tokenizer.encode(prompt), ...withEnd(tokenizer.encode(completion), tokenizer, false)]);
}

/** The pair of a problem of a task that has pairs; `"equal"` where both answers are one. */
export function tokenizedPair(task: Task, problem: Problem, tokenizer: Tokenizer): TokenizedPair | "equal" {
  const { chosen, rejected } = task.preference!(problem);
  if (chosen === rejected) return "equal";
  return {
    chosen: scoredTokens(tokenizer, problem.prompt, chosen),
    rejected: scoredTokens(tokenizer, problem.prompt, rejected),
  };
}
