/**
 * The engine contract: the seam between the algorithms and whatever computes them.
 *
 * Every R1 stage is a short program over a few verbs: sample and score (`sampler.ts`), forwardBackward, optimStep,
 * saveState, loadState. They are those of the Tinker API. A loss is data (`LossSpec`), never a closure, so that the same
 * training loop drives an engine in this process or one behind a wire. What it is not: a tensor library. Tokens go in,
 * log-probabilities and metrics come out.
 *
 * Engines differ: `capabilities` says what each has, and what not every engine has is optional in results. Trainers ask
 * before they begin (`requireCapability`).
 *
 * `engine/conformance.ts` is the suite that every implementation passes.
 */

import type { LossSpec } from "../../losses/loss-spec.ts";
import type { Sampler, SamplerInfo, ScoreDatum, ScoreOptions, ScoreResult } from "./sampler.ts";

/** What is known of a model that is trained. */
export interface PolicyInfo extends SamplerInfo {
  /** Absent where the engine does not know it. */
  readonly parameterCount?: number | undefined;
}

/** Which weights to use: those that are being trained, or the frozen copy made by `freezeReference`. */
export type PolicyName = "policy" | "reference";

/** One sequence to train on: a prompt and its completion. Only completion tokens carry loss. */
export interface Datum extends ScoreDatum {
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

export interface ForwardBackwardResult extends ScoreResult {
  /**
   * Of cross-entropy, with the capability `margins`: the logit of each completion token minus the largest logit at its
   * position; 0 means that greedy decoding would have taken this token.
   */
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
  /** Global-norm clip; 0 is none. Above 0 with the capability `gradientClipping`. */
  readonly maxGradNorm: number;
}

export interface OptimStepResult {
  /** Global L2 norm of the accumulated gradient, before clipping. With the capability `gradientNorm`. */
  readonly gradNorm?: number;
  /** False where the loss or the gradient was not finite: weights and moments are untouched, the gradient is dropped. */
  readonly applied: boolean;
  /** What the gradient was multiplied by while it was computed, where the engine does so (float16). Of a step that was not
   * applied because the gradient overflowed, the next one is smaller. */
  readonly lossScale?: number;
}

/** What `step` returns: the results of its two halves. */
export type StepResult<Forward> = Forward & OptimStepResult;

/** Tokens that an engine elsewhere computed: what its owner may ask money for. */
export interface EngineUsage {
  /** Of prompts that were sampled from, each once a request, and of texts that were scored by a sampler. */
  readonly promptTokens: number;
  readonly sampledTokens: number;
  /** Positions of forward passes without a gradient. */
  readonly scoredTokens: number;
  /** Positions of forward and backward passes. */
  readonly trainedTokens: number;
}

/** What an engine keeps elsewhere of the states in directories here. */
export interface StatesElsewhere {
  /** What the state in a directory names; none where there is no state. Throws CheckpointError where it cannot be read. */
  namedBy(directory: string): Promise<readonly string[]>;
  /** Removes what has these names and is not in use; what cannot be removed stays. Never throws. */
  remove(names: readonly string[]): Promise<void>;
}

/** What every model that can be trained has, whatever its loss reads. */
export interface Trainable {
  /** Where states are elsewhere: a run removes them with the directories that name them. */
  readonly statesElsewhere?: StatesElsewhere;

  /** Where the engine is elsewhere: what it computed since it was opened here. */
  usage?(): EngineUsage;

  /** One AdamW step on the accumulated gradient, which is zero afterwards. Throws EngineError where none was accumulated. */
  optimStep(params: AdamParams): Promise<OptimStepResult>;

  /** Forgets Adam's moments, its step count and any accumulated gradient: the start of a new stage. */
  resetOptimizer(): Promise<void>;

  /**
   * Writes weights, optimizer moments, step count and, where frozen, the reference into an existing, empty directory. An
   * engine that keeps them elsewhere writes where (`artifact.ts`).
   */
  saveState(directory: string): Promise<void>;
  /** Restores what `saveState` wrote, bit for bit. */
  loadState(directory: string): Promise<void>;
  /**
   * Writes the model in the Hugging Face layout (config.json, model.safetensors or its shards) into an existing
   * directory: in float32, bit for bit what was trained, unless `dtype` asks for a format of half the size.
   */
  saveWeights(directory: string, options?: { readonly dtype?: "float32" | "bfloat16" | "float16" }): Promise<void>;
}

/** A model that samples and is trained. */
export interface Policy extends Sampler, Trainable {
  readonly info: PolicyInfo;

  /** Scores completions without a gradient, under the policy (by default) or the frozen reference. */
  score(data: readonly ScoreDatum[], options: ScoreOptions & { readonly policy?: PolicyName }): Promise<ScoreResult>;

  /** Adds the gradient of Σ weight · loss term to the accumulated gradient. How data are batched inside does not change
   * the result beyond rounding. */
  forwardBackward(data: readonly Datum[], loss: LossSpec): Promise<ForwardBackwardResult>;

  /** `forwardBackward` and `optimStep` as one call, which an engine behind a wire sends together. */
  step(data: readonly Datum[], loss: LossSpec, adam: AdamParams): Promise<StepResult<ForwardBackwardResult>>;

  /**
   * Freezes a copy of the current weights as the reference policy. With a `mixup` α below 1 the reference, which then must
   * be there, becomes α · policy + (1 − α) · reference (TR-DPO, arXiv:2404.09656; capability `referenceMixing`). α is in
   * (0, 1], 1 by default.
   */
  freezeReference(mixup?: number): Promise<void>;

  /**
   * A sampler with the weights as they are now, however the policy is trained or loaded afterwards. It has an end of its own.
   * Its calls and the policy's may overlap: where they compute in the same place they wait for each other, and what they come to
   * does not depend on it. With the capability `snapshots`. The caller disposes of it, before the policy.
   */
  snapshot?(): Promise<Sampler>;
}
