/**
 * The embedded engine: one process, one set of weights. The sampler reads the same memory that the optimizer writes, so
 * there is no second copy, no synchronisation, and no difference between the policy that samples and the one that learns
 * beyond the rounding of two attention kernels. Verbs that are called while one runs wait for their turn.
 */

import { CheckpointError, EngineError } from "../../errors.ts";
import type { LossSpec } from "../../losses/loss-spec.ts";
import { saveModel } from "../../model/checkpoint.ts";
import type { SaveDtype } from "../../model/hf-config.ts";
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
import type { SamplingSession } from "../session.ts";
import { Turns } from "../turns.ts";
import { loadEngineState, type SetName, saveEngineState } from "./engine-state.ts";
import { LocalSession } from "./local-session.ts";
import { requireAdam, requireData, requireLoss, requireSampling, requireTemperature } from "./requests.ts";
import { Sampler, type SamplerLimits } from "./sampler.ts";
import { SamplingProgram } from "./sampling-program.ts";
import { type SequenceLimits, SequenceRunner } from "./sequence-runner.ts";
import { OptimizerState, Weights } from "./weights.ts";

/** How much memory sampling, scoring and training take. */
export interface LocalEngineLimits extends SamplerLimits, SequenceLimits {}

export class LocalEngine implements Engine {
  readonly info: EngineInfo;
  readonly #runtime: Runtime;
  readonly #config: ModelConfig;
  readonly #weights: Weights;
  readonly #limits: LocalEngineLimits;
  readonly #sampling: SamplingProgram;
  readonly #sampler: Sampler;
  readonly #sequences: SequenceRunner;
  readonly #turns = new Turns();
  #disposed = false;
  #optimizer: OptimizerState | undefined;
  #reference: Weights | undefined;

  /** `values` must come from `allocateFloats`; they become the engine's own. */
  constructor(runtime: Runtime, config: ModelConfig, values: ParameterValues, limits: LocalEngineLimits) {
    this.#runtime = runtime;
    this.#config = config;
    this.#weights = new Weights(runtime, config, values);
    this.#limits = limits;
    this.#sampling = new SamplingProgram(runtime, config);
    this.#sampler = new Sampler(this.#sampling, limits);
    this.#sequences = new SequenceRunner(runtime, config, limits);
    this.info = {
      name: `local (cpu, ${runtime.threads} ${runtime.threads === 1 ? "thread" : "threads"})`,
      vocabSize: config.vocabSize,
      maxContextTokens: config.maxContextTokens,
      parameterCount: parameterSpecs(config).reduce((sum, { shape }) => sum + elementCount(shape), 0),
      eosTokenIds: config.eosTokenIds,
      losses: ["cross_entropy", "grpo"] satisfies LossSpec["name"][],
    };
  }

  sample(
    prompts: readonly SamplePrompt[],
    params: SamplingParams,
    onProgress?: SampleProgress,
  ): Promise<SampledSequence[]> {
    return this.#inTurn(async () => {
      requireSampling(this.info, prompts, params);
      return this.#sampler.sample(this.#weights, prompts, params, onProgress);
    });
  }

  openSession(): SamplingSession {
    return new LocalSession({
      info: this.info,
      program: this.#sampling,
      weights: () => this.#weights,
      limits: this.#limits,
      inTurn: (work) => this.#inTurn(work),
      contended: () => this.#turns.contended,
    });
  }

  forward(data: readonly ScoreDatum[], options: { temperature: number; policy: PolicyName }): Promise<ForwardResult> {
    return this.#inTurn(async () => {
      requireTemperature(options.temperature);
      requireData(this.info, data);
      const weights = options.policy === "policy" ? this.#weights : this.#reference;
      if (!weights) throw new EngineError("The reference policy was not frozen yet: call freezeReference first.");
      return this.#sequences.score(weights, data, options.temperature);
    });
  }

  forwardBackward(data: readonly Datum[], loss: LossSpec): Promise<ForwardBackwardResult> {
    return this.#inTurn(async () => {
      requireLoss(this.info, loss);
      requireData(this.info, data);
      const state = this.#optimizerState();
      const result = await this.#sequences.train(this.#weights, state, data, loss);
      state.lossIsFinite &&= Number.isFinite(result.loss);
      return result;
    });
  }

  optimStep(params: AdamParams): Promise<OptimStepResult> {
    return this.#inTurn(async () => {
      requireAdam(params);
      const state = this.#optimizerState();
      if (!state.hasGradient) throw new EngineError("optimStep needs a gradient: call forwardBackward first.");
      const { lossIsFinite } = state;
      state.hasGradient = false;
      state.lossIsFinite = true;
      const gradNorm = globalNorm(state.parameters);
      if (!lossIsFinite || !Number.isFinite(gradNorm)) return { gradNorm, applied: false };
      state.steps++;
      const clipped = params.maxGradNorm > 0 && gradNorm > params.maxGradNorm;
      adamWStep(state.parameters, state.steps, clipped ? params.maxGradNorm / gradNorm : 1, params);
      return { gradNorm, applied: true };
    });
  }

  resetOptimizer(): Promise<void> {
    return this.#inTurn(async () => this.#forgetOptimizer());
  }

  freezeReference(): Promise<void> {
    return this.#inTurn(async () => {
      this.#forgetReference();
      this.#reference = this.#weights.copy(this.#runtime, this.#config);
    });
  }

  saveState(directory: string): Promise<void> {
    return this.#inTurn(() =>
      saveEngineState(directory, this.#config, {
        optimizerSteps: this.#optimizer?.steps ?? 0,
        sets: {
          weights: this.#weights.all(),
          ...(this.#optimizer && {
            firstMoments: this.#optimizer.firstMoments,
            secondMoments: this.#optimizer.secondMoments,
          }),
          ...(this.#reference && { reference: this.#reference.all() }),
        },
      }),
    );
  }

  loadState(directory: string): Promise<void> {
    return this.#inTurn(async () => {
      const { optimizerSteps } = await loadEngineState(directory, this.#config, (set) => this.#emptySet(set));
      if (optimizerSteps > 0) this.#optimizerState().steps = optimizerSteps;
    });
  }

  saveWeights(directory: string, options: { readonly dtype?: SaveDtype } = {}): Promise<void> {
    return this.#inTurn(async () => {
      for (const [name, values] of this.#weights.all()) {
        if (values.every(Number.isFinite)) continue;
        throw new CheckpointError(
          `Cannot save: ${name} has values that are not finite. The policy has diverged; use an earlier checkpoint.`,
        );
      }
      await saveModel(directory, this.#config, this.#weights.all(), options);
    });
  }

  dispose(): Promise<void> {
    return this.#turns.take(async () => {
      this.#disposed = true;
      this.#sampler.dispose();
      this.#sampling.dispose();
      this.#sequences.dispose();
      this.#forgetOptimizer();
      this.#forgetReference();
      this.#weights.dispose();
    });
  }

  /** Native memory is shared and freed by hand, so one verb runs at a time, and none on an engine that is gone. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.#turns.take(async () => {
      if (this.#disposed) throw new EngineError("This engine was disposed of; open another one.");
      return work();
    });
  }

  /** Memory for a set of a state that is being read. Weights come first, once the whole state is known to fit. */
  #emptySet(set: SetName): ParameterValues {
    switch (set) {
      case "weights":
        this.#forgetOptimizer();
        this.#forgetReference();
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
  }

  #forgetReference(): void {
    this.#reference?.dispose();
    this.#reference = undefined;
  }

  /** Drops moments, step count and gradient. */
  #forgetOptimizer(): void {
    this.#optimizer?.dispose();
    this.#optimizer = undefined;
  }

  #optimizerState(): OptimizerState {
    this.#optimizer ??= new OptimizerState(this.#runtime, this.#weights);
    return this.#optimizer;
  }
}
