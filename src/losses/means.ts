/**
 * How the terms of single tokens become the loss of one optimizer step: the weight of each token. The engine only sums
 * weight · term; the mean over tokens and completions is taken over the whole optimizer step, so that micro-batches inside
 * the engine cannot change it. The means differ in how much a token of a long completion counts.
 *
 * N is the number of completions of the step, |o_i| that of trained tokens of completion i.
 */

import type { Mean } from "./policy-loss.ts";

/** 1 / (N · |o_i|): every completion counts the same (DeepSeekMath, arXiv:2402.03300, eq. 3). */
export const overCompletions: Mean = ({ numCompletions, tokens }) => 1 / (numCompletions * tokens);

/** 1 / Σ_i |o_i|: every token of the step counts the same. TRL's batch is a micro-batch, this one the optimizer step. */
export const overStepTokens: Mean = ({ stepTokens }) => 1 / stepTokens;

/** 1 / (mean of Σ_i |o_i| over the iteration's steps): every token of the iteration counts the same (DAPO,
 * arXiv:2503.14476, §3.3). */
export const overIterationTokens: Mean = ({ tokensPerStep }) => 1 / tokensPerStep;

/** 1 / (N · maxCompletionTokens): a constant, without bias by length (Dr. GRPO, arXiv:2503.20783). */
export const overPossibleTokens: Mean = ({ numCompletions, maxCompletionTokens }) =>
  1 / (numCompletions * maxCompletionTokens);

/** 1 / N: the sum of a completion's tokens, so that long ones count more (arXiv:2602.05261). */
export const sumsOverCompletions: Mean = ({ numCompletions }) => 1 / numCompletions;
