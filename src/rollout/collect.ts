/**
 * Rollouts: groups of completions sampled from the policy, read back as text and judged.
 *
 * What it is not: an algorithm. GRPO, evaluation and others each use the completions in their own way.
 */

import type { SampledSequence, SampleProgress, Sampler } from "../engine/contract/sampler.ts";
import { ConfigError } from "../errors.ts";
import { judgeAll } from "../rewards/judge.ts";
import type { RewardInput, RewardResult, WeightedReward } from "../rewards/reward.ts";
import type { Problem, Task, Verdict } from "../tasks/task.ts";
import { stopTokens } from "../tokenizer/stop-tokens.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** One problem to sample for, and its number in the random stream and in logs. */
export interface NumberedProblem {
  /** Index in the task's stream; no two problems of one call share it, though they may be the same problem. */
  readonly promptId: number;
  readonly problem: Problem;
}

/** `count` problems of the task's endless stream, from number `first` on. */
export function* trainProblems(task: Task, first: number, count: number): Generator<NumberedProblem> {
  for (let promptId = first; promptId < first + count; promptId++) {
    yield { promptId, problem: task.trainProblem(promptId) };
  }
}

/** How completions are drawn: the engine's parameters as recipes and options name them. */
export interface SamplingOptions {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly maxCompletionTokens: number;
  readonly seed: number;
  readonly iteration: number;
  /** For training: see `SamplingParams`. */
  readonly returnKeptTokens?: boolean;
}

/** A completion of a problem. */
export interface Completion extends NumberedProblem {
  /** 0 … numSamples − 1 */
  readonly sample: number;
  readonly promptTokens: Int32Array;
  /** The stop token included. */
  readonly tokens: Int32Array;
  readonly samplerLogprobs: Float32Array;
  /** Where asked for, and where top-p or top-k was on: the tokens that each one was drawn from. */
  readonly keptTokens?: readonly Int32Array[];
  /** The tokens' text, special tokens left out. */
  readonly text: string;
  readonly finishReason: SampledSequence["finishReason"];
  /** What the sampler allowed; absent for completions from elsewhere. */
  readonly maxCompletionTokens?: number;
}

/** A completion with the scores of all rewards and the verdict of the task. */
export interface Rollout extends Completion {
  /** By reward name. */
  readonly rewards: Readonly<Record<string, RewardResult>>;
  /** Σ weight · score over the rewards that did not abstain; null where all did. */
  readonly reward: number | null;
  readonly verdict: Verdict;
}

/**
 * Samples `numSamples` completions of each problem; whole groups one after another, in the order of `problems`.
 */
export async function sampleCompletions(
  engine: Sampler,
  tokenizer: Tokenizer,
  problems: readonly NumberedProblem[],
  numSamples: number,
  options: SamplingOptions,
  onProgress?: SampleProgress,
): Promise<Completion[]> {
  const prompts = problems.map(({ promptId, problem }) => ({
    tokens: tokenizer.encode(problem.prompt),
    numSamples,
    promptId,
  }));
  const params = { ...options, stopTokenIds: stopTokens(engine, tokenizer) };
  const sequences = await engine.sample(prompts, params, onProgress);
  const tokensOf = ({ promptIndex }: SampledSequence) => prompts[promptIndex]!.tokens;
  return sequences.map((sequence) => completionOf(tokenizer, problems, sequence, tokensOf(sequence), options));
}

/** A sequence as a completion of its problem, whose prompt has these tokens. */
export function completionOf(
  tokenizer: Tokenizer,
  problems: readonly NumberedProblem[],
  { promptIndex, sampleIndex, tokens, logprobs, keptTokens, finishReason }: SampledSequence,
  promptTokens: Int32Array,
  { maxCompletionTokens }: Pick<SamplingOptions, "maxCompletionTokens">,
): Completion {
  return {
    ...problems[promptIndex]!,
    sample: sampleIndex,
    promptTokens,
    tokens,
    samplerLogprobs: logprobs,
    ...(keptTokens && { keptTokens }),
    text: tokenizer.decode(tokens),
    finishReason,
    maxCompletionTokens,
  };
}

/** Asks every reward and the task's own judge about each completion. A reward that fails abstains (`judgeAll`). */
export async function judgeCompletions(
  completions: readonly Completion[],
  task: Task,
  rewards: readonly WeightedReward[],
): Promise<Rollout[]> {
  const inputs = completions.map(rewardInput);
  const judged = await Promise.all(rewards.map(({ reward }) => judgeAll(reward, inputs)));
  return completions.map((completion, i) => {
    const results: Record<string, RewardResult> = {};
    let total: number | null = null;
    for (const [j, { reward, weight }] of rewards.entries()) {
      const result = judged[j]![i]!;
      const { score } = result;
      results[reward.name] = result;
      if (score !== null) total = (total ?? 0) + weight * score;
    }
    return { ...completion, rewards: results, reward: total, verdict: task.judge(completion.problem, completion.text) };
  });
}

/** What rewards get to know of a completion. */
function rewardInput(completion: Completion): RewardInput {
  const { problem, promptId, text, tokens, finishReason, maxCompletionTokens } = completion;
  return {
    prompt: problem.prompt,
    completion: text,
    columns: problem.columns,
    group: promptId,
    completionTokens: tokens.length,
    finishReason,
    ...(maxCompletionTokens !== undefined && { maxCompletionTokens }),
  };
}

/**
 * Refuses, before anything is sampled, problems whose prompt and longest completion do not fit into the model's context.
 * Returns the tokens of the longest prompt.
 *
 * @throws ConfigError naming the first such problem and the numbers.
 */
export function requirePromptsFit(
  engine: Sampler,
  tokenizer: Tokenizer,
  problems: Iterable<NumberedProblem>,
  maxCompletionTokens: number,
): number {
  const context = engine.info.maxContextTokens;
  let longestPrompt = 0;
  for (const { promptId, problem } of problems) {
    const promptTokens = tokenizer.encode(problem.prompt).length;
    const name = `The prompt of problem ${problem.id} (${problem.place ?? `number ${promptId} of the data`})`;
    if (promptTokens === 0) throw new ConfigError(`${name} is empty; a prompt needs at least one token.`);
    longestPrompt = Math.max(longestPrompt, promptTokens);
    if (promptTokens + maxCompletionTokens <= context) continue;
    const room = context - promptTokens;
    throw new ConfigError(
      `${name} has ${promptTokens} tokens; with maxCompletionTokens ${maxCompletionTokens} that is ` +
        `${promptTokens + maxCompletionTokens}, more than the model's context of ${context}. ` +
        (room > 0
          ? `Set maxCompletionTokens to ${room} or less, or leave this problem out.`
          : "Leave this problem out, shorten the prompt template, or take a model with a longer context."),
    );
  }
  return longestPrompt;
}
