/**
 * The part of the engine contract that reads a model and does not change it: sampling and scoring.
 *
 * A `Scorer` says how probable it finds given tokens: a teacher, in this process or behind an endpoint. A `Sampler` also
 * writes: a model that is served, chatted with, evaluated, or asked for data. A `Policy` (`policy.ts`) is a sampler that
 * can be trained.
 *
 * Calls may overlap: they are carried out one after another, in the order in which they were made, so a caller may prepare
 * its next call while one is under way. A call that fails does not stop those after it. What cannot be served (data or
 * parameters that make no sense, an engine that was disposed of) rejects with EngineError and changes nothing.
 */

import type { Capabilities } from "./capabilities.ts";
import type { SamplePrompt, SamplingParams } from "./sampling.ts";
import type { SamplingSession } from "./session.ts";

/** What is known of a model that scores. */
export interface ScorerInfo {
  /** For messages and logs, e.g. `local (cpu, 2 threads)`. */
  readonly name: string;
  /** The most positions (prompt + completion) of one sequence; Infinity where the engine does not say. */
  readonly maxContextTokens: number;
}

/** What is known of a model that samples. */
export interface SamplerInfo extends ScorerInfo {
  readonly vocabSize: number;
  /** Tokens with which the model ends a text, by its own files (`eos_token_id`); none where they name none. */
  readonly eosTokenIds: readonly number[];
}

export interface SampledSequence {
  readonly promptIndex: number;
  /** 0 … numSamples − 1. */
  readonly sampleIndex: number;
  /** Completion tokens, the stop token included. */
  readonly tokens: Int32Array;
  /**
   * Natural-log probability of each token under softmax(logits / temperature): what `score` returns for this sequence
   * at the same temperature. With `keptTokens` over these alone, which is the distribution that it was drawn from; without
   * over the whole vocabulary, whatever min-p, top-p and top-k left out.
   */
  readonly logprobs: Float32Array;
  /** For each token the ids that min-p, top-k and top-p left to draw from; only where asked for and where one of them is on. */
  readonly keptTokens?: readonly Int32Array[];
  readonly finishReason: "stop" | "length";
}

/** How far a call of `sample` is. */
export interface SampledSoFar {
  /** Sequences that have ended, and all of them. */
  readonly finished: number;
  readonly total: number;
  /** Completion tokens so far. */
  readonly tokens: number;
  /** Completion tokens of the whole call if every running sequence reaches its longest allowed length. */
  readonly mostTokens: number;
}

/** Called as sampling goes on. An error that it throws ends the call. */
export type SampleProgress = (progress: SampledSoFar) => void;

/** One sequence to score: a prompt and its completion. */
export interface ScoreDatum {
  readonly promptTokens: Int32Array;
  /** At least one token. */
  readonly completionTokens: Int32Array;
  /**
   * For each completion token the ids that it was drawn from (`SampledSequence.keptTokens`), itself among them:
   * log-probabilities and entropies are those of the distribution over them. Without it, over the whole vocabulary. All
   * data of a call have it, or none. (DeepSeek-V3.2, arXiv:2512.02556, §3.1, "Keep Sampling Mask".)
   */
  readonly keptTokens?: readonly Int32Array[];
}

export interface ScoreOptions {
  /** Above 0; 1 where the engine lacks the capability `scoringTemperature`. */
  readonly temperature: number;
}

export interface ScoreResult {
  /** One per datum, in order; per completion token, nats. */
  readonly logprobs: readonly Float32Array[];
  /** One per datum: entropy of the next-token distribution at each completion position, nats. With the capability
   * `entropies`. */
  readonly entropies?: readonly Float32Array[];
}

/** A model that says how probable it finds given tokens. */
export interface Scorer {
  readonly info: ScorerInfo;
  readonly capabilities: Capabilities;

  /** Scores completions at `temperature`. */
  score(data: readonly ScoreDatum[], options: ScoreOptions): Promise<ScoreResult>;

  /** Releases what the engine holds, once what was called before is done; every other call afterwards is refused. */
  dispose(): Promise<void>;
}

/** A model that writes. */
export interface Sampler extends Scorer {
  readonly info: SamplerInfo;

  /** Completes every prompt; results ordered by (promptIndex, sampleIndex). Uses the current weights. */
  sample(
    prompts: readonly SamplePrompt[],
    params: SamplingParams,
    onProgress?: SampleProgress,
  ): Promise<SampledSequence[]>;

  /** Opens a session that samples with the current weights whatever is submitted to it, in one batch. With the capability
   * `sessions`; an engine without it cannot serve. */
  openSession?(): SamplingSession;
}
