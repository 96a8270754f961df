/**
 * The embedded engine: one process, one set of weights. The sampler reads the same memory that the optimizer writes, so
 * there is no second copy, no synchronisation, and no difference between the policy that samples and the one that learns
 * beyond the rounding of two attention kernels.
 */

import { CheckpointError, EngineError } from "../../errors.ts";
import type { LossSpec } from "../../losses/loss-spec.ts";
import { saveModel } from "../../model/checkpoint.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { elementCount, type ParameterValues, parameterSpecs } from "../../model/parameters.ts";
import { adamWStep, globalNorm } from "../../optim/adamw.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type {
  AdamParams,
  Datum,
  Engine,
  EngineInfo,
  ForwardBackwardResult,
  ForwardResult,
  OptimStepResult,
  PolicyName,
  SampledSequence,
  SampleProgress,
  SamplePrompt,
  SamplingParams,
  ScoreDatum,
} from "../engine.ts";
import { loadEngineState, saveEngineState } from "./engine-state.ts";
import { Sampler, type SamplerLimits } from "./sampler.ts";
import { SequenceRunner } from "./sequence-runner.ts";
import { OptimizerState, Weights } from "./weights.ts";

export interface LocalEngineLimits extends SamplerLimits {
  /** Token positions of a micro-batch in scoring and training. */
  readonly microBatchTokens: number;
}

export class LocalEngine implements Engine {
  readonly info: EngineInfo;
  readonly #runtime: Runtime;
  readonly #config: ModelConfig;
  readonly #weights: Weights;
  readonly #sampler: Sampler;
  readonly #sequences: SequenceRunner;
  #optimizer: OptimizerState | undefined;
  #reference: Weights | undefined;

  /** `values` must come from `allocateFloats`; they become the engine's own. */
  constructor(runtime: Runtime, config: ModelConfig, values: ParameterValues, limits: LocalEngineLimits) {
    this.#runtime = runtime;
    this.#config = config;
    this.#weights = new Weights(runtime, config, values);
    this.#sampler = new Sampler(runtime, config, limits);
    this.#sequences = new SequenceRunner(runtime, config, limits.microBatchTokens);
    this.info = {
      name: `local (cpu, ${runtime.threads} ${runtime.threads === 1 ? "thread" : "threads"})`,
      vocabSize: config.vocabSize,
      maxContextTokens: config.maxContextTokens,
      parameterCount: parameterSpecs(config).reduce((sum, { shape }) => sum + elementCount(shape), 0),
      losses: ["cross_entropy", "grpo"] satisfies LossSpec["name"][],
    };
  }

  async sample(
    prompts: readonly SamplePrompt[],
    params: SamplingParams,
    onProgress?: SampleProgress,
  ): Promise<SampledSequence[]> {
    prompts.forEach(({ tokens }, i) => {
      this.#requireFits(`prompt ${i}`, tokens.length, params.maxCompletionTokens);
      this.#requireTokens(`prompt ${i}`, tokens);
    });
    if (!(params.temperature >= 0) || !(params.topP > 0 && params.topP <= 1) || !(params.topK >= 0)) {
      const found = `temperature ${params.temperature}, topP ${params.topP}, topK ${params.topK}`;
      throw new EngineError(`sampling takes temperature ≥ 0, topP in (0, 1] and topK ≥ 0, not ${found}`);
    }
    if (this.#config.headDim % 8 !== 0) {
      throw new EngineError(`this engine samples with heads of 8, 16, 24 … numbers, not ${this.#config.headDim}`);
    }
    return this.#sampler.sample(this.#weights, prompts, params, onProgress);
  }

  async forward(
    data: readonly ScoreDatum[],
    options: { temperature: number; policy: PolicyName },
  ): Promise<ForwardResult> {
    this.#requireData(data);
    const weights = options.policy === "policy" ? this.#weights : this.#reference;
    if (!weights) throw new EngineError("the reference policy was not frozen yet: call freezeReference first");
    return this.#sequences.score(weights, data, options.temperature);
  }

  async forwardBackward(data: readonly Datum[], loss: LossSpec): Promise<ForwardBackwardResult> {
    this.#requireData(data);
    return this.#sequences.train(this.#weights, this.#optimizerState(), data, loss);
  }

  async optimStep(params: AdamParams): Promise<OptimStepResult> {
    const state = this.#optimizerState();
    if (!state.hasGradient) throw new EngineError("optimStep needs a gradient: call forwardBackward first");
    state.hasGradient = false;
    const gradNorm = globalNorm(state.parameters);
    if (!Number.isFinite(gradNorm)) return { gradNorm, applied: false };
    state.steps++;
    const clipped = params.maxGradNorm > 0 && gradNorm > params.maxGradNorm;
    adamWStep(state.parameters, state.steps, clipped ? params.maxGradNorm / gradNorm : 1, params);
    return { gradNorm, applied: true };
  }

  async resetOptimizer(): Promise<void> {
    this.#optimizer?.dispose();
    this.#optimizer = undefined;
  }

  async freezeReference(): Promise<void> {
    this.#reference?.dispose();
    this.#reference = this.#weights.copy(this.#runtime, this.#config);
  }

  async saveState(directory: string): Promise<void> {
    await saveEngineState(directory, this.#config, {
      optimizerSteps: this.#optimizer?.steps ?? 0,
      sets: {
        weights: this.#weights.all(),
        ...(this.#optimizer && {
          firstMoments: this.#optimizer.firstMoments,
          secondMoments: this.#optimizer.secondMoments,
        }),
        ...(this.#reference && { reference: this.#reference.all() }),
      },
    });
  }

  async loadState(directory: string): Promise<void> {
    const { optimizerSteps } = await loadEngineState(directory, this.#config, (set) => {
      switch (set) {
        case "weights":
          // The first set that is read, once the whole state is known to fit: a refused one leaves everything as it was.
          this.#forget();
          return this.#weights.all();
        case "firstMoments":
          return this.#optimizerState().firstMoments;
        case "secondMoments":
          return this.#optimizerState().secondMoments;
        case "reference":
          this.#reference = this.#weights.copy(this.#runtime, this.#config);
          return this.#reference.all();
        default:
          return set satisfies never;
      }
    });
    if (optimizerSteps > 0) this.#optimizerState().steps = optimizerSteps;
  }

  async saveWeights(directory: string): Promise<void> {
    for (const [name, values] of this.#weights.all()) {
      if (!values.every(Number.isFinite))
        throw new CheckpointError(`cannot save: ${name} has values that are not finite`);
    }
    await saveModel(directory, this.#config, this.#weights.all());
  }

  async dispose(): Promise<void> {
    this.#sampler.dispose();
    this.#sequences.dispose();
    this.#optimizer?.dispose();
    this.#reference?.dispose();
    this.#weights.dispose();
  }

  /** Drops reference, moments and gradient. */
  #forget(): void {
    this.#reference?.dispose();
    this.#reference = undefined;
    this.#optimizer?.dispose();
    this.#optimizer = undefined;
  }

  #optimizerState(): OptimizerState {
    this.#optimizer ??= new OptimizerState(this.#runtime, this.#weights);
    return this.#optimizer;
  }

  #requireData(data: readonly ScoreDatum[]): void {
    if (data.length === 0) throw new EngineError("there is nothing to compute: the list of data is empty");
    data.forEach(({ promptTokens, completionTokens }, i) => {
      this.#requireFits(`datum ${i}`, promptTokens.length, completionTokens.length);
      this.#requireTokens(`datum ${i}`, promptTokens);
      this.#requireTokens(`datum ${i}`, completionTokens);
    });
  }

  #requireFits(what: string, promptTokens: number, completionTokens: number): void {
    const { maxContextTokens } = this.info;
    if (promptTokens === 0 || completionTokens === 0) {
      const found = `${promptTokens} and ${completionTokens}`;
      throw new EngineError(`${what} needs at least one prompt token and one completion token, not ${found}`);
    }
    if (promptTokens + completionTokens > maxContextTokens) {
      const needed = `${promptTokens} prompt and ${completionTokens} completion tokens`;
      throw new EngineError(`${what} needs ${needed}; the model's context has ${maxContextTokens}`);
    }
  }

  #requireTokens(what: string, tokens: Int32Array): void {
    const { vocabSize } = this.#config;
    const bad = tokens.find((token) => token < 0 || token >= vocabSize);
    if (bad !== undefined) throw new EngineError(`${what} has token ${bad}; the model's vocabulary has ${vocabSize}`);
  }
}
