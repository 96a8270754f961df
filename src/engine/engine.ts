/**
 * The engine contract: the seam between the algorithms and whatever computes them.
 *
 * Every R1 stage is a short program over four verbs: sample, forwardBackward, optimStep, saveState/loadState (`forward`
 * is forwardBackward without the backward). They are those of the Tinker API. A loss is data (`LossSpec`), never a
 * closure, so that the same training loop drives an engine in this process or one behind a wire. What it is not: a
 * tensor library. Tokens go in, log-probabilities and metrics come out.
 *
 * Calls may overlap: an engine carries them out one after another, in the order in which they were made, so a caller may
 * prepare its next call while one is under way. A call that fails holds up none behind it. What cannot be served (data
 * or parameters that make no sense, an engine that was disposed of) rejects with EngineError and changes nothing.
 *
 * `engine/conformance.ts` is the suite that every implementation passes.
 */

import type { LossSpec } from "../losses/loss-spec.ts";
import type { SamplingSession } from "./session.ts";

/** What an engine is and can do; trainers check it before they start, so that nothing is refused half-way. */
export interface EngineInfo {
  /** For messages and logs, e.g. `local (cpu, 2 threads)`. */
  readonly name: string;
  readonly vocabSize: number;
  /** The most positions (prompt + completion) of one sequence. */
  readonly maxContextTokens: number;
  readonly parameterCount: number;
  /** Tokens with which the model ends a text, by its own files (`eos_token_id`); none where they name none. */
  readonly eosTokenIds: readonly number[];
  /** Loss names that `forwardBackward` takes. */
  readonly losses: readonly LossSpec["name"][];
  /** Whether its losses take `embeddingNoise`; false where absent. */
  readonly embeddingNoise?: boolean;
}

/** Which weights to use: the ones being trained, or the frozen copy made by `freezeReference`. */
export type PolicyName = "policy" | "reference";

/** One prompt to complete `numSamples` times. */
export interface SamplePrompt {
  /** Token ids, at least one. */
  readonly tokens: Int32Array;
  readonly numSamples: number;
  /** Names the prompt in the random stream; two prompts of one call with the same id draw the same numbers. A whole
   * number, like the sample, seed and iteration, of which 32 bits count. */
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
  /** The draw for a token is a function of (seed, iteration, promptId, sample, position) and nothing else. */
  readonly seed: number;
  readonly iteration: number;
}

export interface SampledSequence {
  readonly promptIndex: number;
  /** 0 … numSamples − 1. */
  readonly sampleIndex: number;
  /** Completion tokens, the stop token included. */
  readonly tokens: Int32Array;
  /**
   * Natural-log probability of each token under softmax(logits / temperature): what `forward` returns for this sequence
   * at the same temperature. With `keptTokens` over these alone, which is the distribution that it was drawn from; without
   * over the whole vocabulary, whatever min-p, top-p and top-k left out.
   */
  readonly logprobs: Float32Array;
  /** For each token the ids that min-p, top-k and top-p left to draw from; only where asked for, and where one of them is on. */
  readonly keptTokens?: readonly Int32Array[];
  readonly finishReason: "stop" | "length";
}

/** Called as sampling goes on: completed sequences and tokens so far. An error that it throws ends the call. */
export type SampleProgress = (progress: {
  readonly finished: number;
  readonly total: number;
  readonly tokens: number;
}) => void;

/** One sequence to train on or to score: a prompt and its completion. Only completion tokens carry loss. */
export interface Datum {
  readonly promptTokens: Int32Array;
  /** At least one token. */
  readonly completionTokens: Int32Array;
  /**
   * For each completion token the ids that it was drawn from (`SampledSequence.keptTokens`), itself among them:
   * log-probabilities and entropies are those of the distribution over them. Without it, over the whole vocabulary. All
   * data of a call have it, or none. (DeepSeek-V3.2, arXiv:2512.02556, §3.1, "Keep Sampling Mask".)
   */
  readonly keptTokens?: readonly Int32Array[];
  /** Per completion token. Weight of the token's loss term, normalisation included: the engine only sums. */
  readonly weights: Float32Array;
  /** Per completion token; the policy-gradient losses need it. */
  readonly advantages?: Float32Array;
  /** Per completion token: log-probabilities of the policy that sampled; the policy-gradient losses need them. */
  readonly samplerLogprobs?: Float32Array;
  /** Per completion token; needed where the loss has a KL term. */
  readonly refLogprobs?: Float32Array;
  /** Per completion token: weight of its entropy, which is taken from the loss; needed where the loss has an entropy
   * bonus. */
  readonly entropyWeights?: Float32Array;
}

/** The part of a datum that scoring needs. */
export type ScoreDatum = Pick<Datum, "promptTokens" | "completionTokens" | "keptTokens">;

export interface ForwardResult {
  /** One per datum, in order; per completion token, nats. */
  readonly logprobs: readonly Float32Array[];
  /** One per datum: entropy of the next-token distribution at each completion position, nats. */
  readonly entropies: readonly Float32Array[];
}

export interface ForwardBackwardResult extends ForwardResult {
  /** Of cross-entropy, where the engine has them: the logit of each completion token less the largest logit there; 0 is a
   * token that greedy decoding would have taken. */
  readonly margins?: readonly Float32Array[];
  /** Σ over all data of weight · loss term, less Σ entropyWeight · entropy where the loss has an entropy bonus. */
  readonly loss: number;
}

export interface AdamParams {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled (AdamW); not applied to one-dimensional weights (norm gains, biases). */
  readonly weightDecay: number;
  /** Global-norm clip; 0 is none. */
  readonly maxGradNorm: number;
}

export interface OptimStepResult {
  /** Global L2 norm of the accumulated gradient, before clipping. */
  readonly gradNorm: number;
  /** False where the loss or the gradient was not finite: weights and moments are untouched, the gradient is dropped. */
  readonly applied: boolean;
}

export interface Engine {
  readonly info: EngineInfo;

  /** Completes every prompt; results ordered by (promptIndex, sampleIndex). Uses the current weights. */
  sample(
    prompts: readonly SamplePrompt[],
    params: SamplingParams,
    onProgress?: SampleProgress,
  ): Promise<SampledSequence[]>;

  /**
   * Opens a session that samples with the current weights whatever is submitted to it, in one batch. An engine without
   * it can train, and cannot serve.
   */
  openSession?(): SamplingSession;

  /** Scores completions without a gradient, at `temperature` > 0, under the policy or the frozen reference. */
  forward(data: readonly ScoreDatum[], options: { temperature: number; policy: PolicyName }): Promise<ForwardResult>;

  /** Adds the gradient of Σ weight · loss term to the accumulated gradient. How data are batched inside does not change
   * the result beyond rounding. */
  forwardBackward(data: readonly Datum[], loss: LossSpec): Promise<ForwardBackwardResult>;

  /** One AdamW step on the accumulated gradient, which is zero afterwards. Throws EngineError where none was accumulated. */
  optimStep(params: AdamParams): Promise<OptimStepResult>;

  /** Forgets Adam's moments, its step count and any accumulated gradient: the start of a new stage. */
  resetOptimizer(): Promise<void>;

  /**
   * Freezes a copy of the current weights as the reference policy. With a `mixup` α below 1 the reference, which then must
   * be there, becomes α · policy + (1 − α) · reference (TR-DPO, arXiv:2404.09656). α is in (0, 1], 1 by default.
   */
  freezeReference(mixup?: number): Promise<void>;

  /** Writes weights, optimizer moments, step count and, where frozen, the reference into an existing, empty directory. */
  saveState(directory: string): Promise<void>;
  /** Restores what `saveState` wrote, bit for bit. */
  loadState(directory: string): Promise<void>;
  /**
   * Writes the policy in the Hugging Face layout (config.json, model.safetensors or its shards) into an existing
   * directory: as float32, what was trained to the bit, unless `dtype` asks for the half of its bytes.
   */
  saveWeights(directory: string, options?: { readonly dtype?: "float32" | "bfloat16" | "float16" }): Promise<void>;

  /** Releases native memory, once what was called before is done; every other call afterwards is refused. */
  dispose(): Promise<void>;
}
