/**
 * The contract of an engine that trains a reward model, which does not write but scores a text with one number. It is a
 * contract of its own because a reward model shares no request and no result with a policy: it cannot sample, and its loss
 * compares sequences instead of summing over tokens.
 *
 * A sequence's reward is read at its last token. As in transformers, trailing padding tokens do not count, even where
 * they belong to the text: if a text ends in a token that is also the padding token, its reward is read at the token
 * before it.
 *
 * Calls may overlap; they are carried out one after another, and one that fails changes nothing.
 */

import type { AdamParams, StepResult, Trainable } from "./policy.ts";

/** Two sequences of token ids, one preferred to the other. */
export interface TokenPair {
  readonly chosen: Int32Array;
  readonly rejected: Int32Array;
  /** Weight of the pair's loss term, normalisation included: the engine only sums. */
  readonly weight: number;
}

/** What the loss is, beside the Bradley–Terry term. */
export interface PairLossOptions {
  /** c ≥ 0 of c·(r_chosen + r_rejected)², which holds rewards around 0; 0 is none. */
  readonly centering: number;
}

export interface PairResult {
  /** Σ weight · (−ln σ(r_chosen − r_rejected) + c·(r_chosen + r_rejected)²). */
  readonly loss: number;
  /** Rewards, one for each pair. */
  readonly chosen: Float32Array;
  readonly rejected: Float32Array;
}

export interface RewardModelInfo {
  readonly name: string;
  readonly vocabSize: number;
  readonly maxContextTokens: number;
  /** Absent where the engine does not know it. */
  readonly parameterCount?: number | undefined;
}

/** A model that scores texts and is trained on pairs of them. */
export interface RewardModel extends Trainable {
  readonly info: RewardModelInfo;
  /** The reward of each sequence, in order. Throws EngineError for one that is empty or longer than the context. */
  score(sequences: readonly Int32Array[]): Promise<Float32Array>;
  /** Adds the gradient of the loss over `pairs` to the accumulated gradient; returns the rewards before the step. */
  forwardBackward(pairs: readonly TokenPair[], options: PairLossOptions): Promise<PairResult>;
  /** `forwardBackward` and `optimStep` as one call. */
  step(pairs: readonly TokenPair[], options: PairLossOptions, adam: AdamParams): Promise<StepResult<PairResult>>;
  /** Releases what the engine holds, once what was called before is done; every other call afterwards is refused. */
  dispose(): Promise<void>;
}
