/**
 * Sampling as a service: an open session takes sequences at any time, decodes all of them in one batch, and hands out
 * each token as it is drawn. This is what a server and a chat need; `Sampler.sample` is the same loop over a closed list.
 *
 * Every sequence has parameters of its own. A draw stays a function of (seed, iteration, promptId, sampleIndex,
 * position), so a sequence does not depend on what shares its batch (beyond the rounding of a matrix product whose
 * number of rows differs, which can turn a draw that lies on the border between two tokens).
 *
 * A session and the engine's verbs exclude each other: while sequences are being decoded, a verb waits. While a verb
 * waits, no further sequence is begun. So a verb waits only for the sequences that are already running.
 */

import type { SamplePrompt, SamplingParams } from "./sampling.ts";

/**
 * One sequence to sample. Sequences that share the very same `tokens` array share its computation where they can. With
 * a `maxCompletionTokens` of 0 nothing is drawn: the sequence ends when its prompt is computed, with the finish reason
 * "length".
 */
export interface SequenceRequest extends Pick<SamplePrompt, "tokens" | "promptId"> {
  readonly sampleIndex: number;
  readonly params: SamplingParams;
  /** Changes of the logits that a token is drawn from; log-probabilities that are reported are those without them. */
  readonly adjustments?: LogitAdjustments;
  /** How many of the most probable tokens to report beside each token that is drawn; 0 by default. */
  readonly topLogprobs?: number;
  /** The temperature of the log-probabilities that are reported; by default that of the draw (1 where that is greedy). */
  readonly logprobTemperature?: number;
  /**
   * Reports the log-probabilities of the prompt's own tokens, at temperature 1, with so many of the most probable tokens
   * at each place; absent: the prompt is not scored.
   */
  readonly promptLogprobs?: number;
}

/**
 * What is added to and taken from the logits before a token is drawn: first the bias, then the penalties in the order in
 * which they stand here. The names and formulas are those of OpenAI's API, of the repetition penalty CTRL's (Keskar et
 * al., arXiv:1909.05858, §4.1); the order is vLLM's. A draw stays a function of its place and of the tokens before it.
 */
export interface LogitAdjustments {
  /** Added to the logits of these tokens. */
  readonly bias?: ReadonlyMap<number, number>;
  /** Divides positive and multiplies negative logits of tokens that the prompt or the completion has; 1 is off. */
  readonly repetitionPenalty?: number;
  /** Taken from a logit once for every time that the completion has the token; 0 is off. */
  readonly frequencyPenalty?: number;
  /** Taken from a logit where the completion has the token; 0 is off. */
  readonly presencePenalty?: number;
}

/** A token and its natural-log probability, under softmax(logits / temperature) over the whole vocabulary. */
export interface TokenLogprob {
  readonly token: number;
  readonly logprob: number;
}

/** A token that was drawn; the stop token too. */
export interface DrawnToken extends TokenLogprob {
  /** The most probable tokens at this position, from the top down (equals by id); empty where none were asked for. */
  readonly top: readonly TokenLogprob[];
}

/** The scores of a prompt of P tokens: of every token but the first, given those before it. */
export interface PromptLogprobs {
  /** Natural-log probability of each token, [P − 1]. */
  readonly logprobs: Float32Array;
  /** The most probable tokens at each place, from the top down: [P − 1, k], row by row. */
  readonly topTokens: Int32Array;
  readonly topLogprobs: Float32Array;
}

/** Why a sequence ended; "cancelled" where its owner ended it. */
export type SequenceEnd = "stop" | "length" | "cancelled";

/** A sequence that is waiting or being decoded. */
export interface RunningSequence {
  /**
   * Settles when the sequence has ended. If the sequence is cancelled, it settles immediately, and its slot is free
   * from the next step on. It rejects with EngineError where the model's numbers are not finite, or with the error that
   * `onToken` threw; either ends this sequence and no other.
   */
  readonly finished: Promise<SequenceEnd>;
  /** Ends the sequence: no token is handed out any more, and no further step computes it. Also from within `onToken` and
   * `onPrompt`. */
  cancel(): void;
}

/** How busy a session is. */
export interface SessionLoad {
  /** Sequences being decoded. */
  readonly active: number;
  /** Sequences that wait for a slot. */
  readonly waiting: number;
}

export interface SamplingSession {
  readonly load: SessionLoad;
  /**
   * Queues a sequence; the first come is the first served. Each token is handed to `onToken` as it is drawn; before the
   * first of them `onPrompt` gets the prompt's scores, where the request asks for them.
   *
   * @throws EngineError for a request that could never be served, or a session that is closed.
   */
  submit(
    request: SequenceRequest,
    onToken: (token: DrawnToken) => void,
    onPrompt?: (prompt: PromptLogprobs) => void,
  ): RunningSequence;
  /** Cancels what is running or waiting, and releases the session's memory. */
  close(): Promise<void>;
}
