/** What is sampled: prompts, and how tokens are drawn. */

/** One prompt to complete `numSamples` times. */
export interface SamplePrompt {
  /** Token ids, at least one. */
  readonly tokens: Int32Array;
  readonly numSamples: number;
  /**
   * Names the prompt in the random stream; two prompts of one call with the same id draw the same numbers. A whole
   * number, like the sample, the seed and the iteration; of each only the low 32 bits count.
   */
  readonly promptId: number;
}

export interface SamplingParams {
  /** Softmax temperature; 0 is greedy (arg max), with log-probabilities at temperature 1. */
  readonly temperature: number;
  /** Nucleus: the smallest set of tokens whose probability reaches topP; 1 is off. */
  readonly topP: number;
  /** The topK most probable tokens; 0 is off. */
  readonly topK: number;
  /**
   * Tokens whose probability is below minP times that of the most probable one are left out, before top-k and top-p;
   * 0, the default, is off (Nguyen et al., arXiv:2407.01082). At most 1.
   */
  readonly minP?: number;
  readonly maxCompletionTokens: number;
  /** Before this many tokens no stop token is drawn; 0 by default. */
  readonly minCompletionTokens?: number;
  /** Sampling ends with any of these; the stop token is part of the completion. */
  readonly stopTokenIds: readonly number[];
  /** Return `keptTokens` with each sequence, as training on it needs; false by default, for they may be many. */
  readonly returnKeptTokens?: boolean;
  /** With the capability `seededDraws` the draw for a token is a function of (seed, iteration, promptId, sample, position)
   * and nothing else. */
  readonly seed: number;
  readonly iteration: number;
}
