/**
 * The embedded engine: one process, one set of weights. The sampler reads the same memory that the optimizer writes, so
 * there is no second copy, no synchronisation, and no difference between the policy that samples and the one that learns
 * beyond the rounding of two attention kernels. Verbs that are called while one runs wait for their turn.
 */

import type { Runtime } from "../../compute/runtime.ts";
import { EngineError } from "../../errors.ts";
import type { LossSpec } from "../../losses/loss-spec.ts";
import { saveModel } from "../../model/checkpoint.ts";
import { trainedSpecs, type WeightForm } from "../../model/decoder-parameters.ts";
import type { SaveDtype } from "../../model/hf-config.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { elementCount, type ParameterValues, parameterSpecs } from "../../model/parameters.ts";
import { savePeftAdapter } from "../../model/peft-adapter.ts";
import type { Capabilities } from "../contract/capabilities.ts";
import type {
  AdamParams,
  Datum,
  ForwardBackwardResult,
  OptimStepResult,
  Policy,
  PolicyInfo,
  PolicyName,
  StepResult,
} from "../contract/policy.ts";
import type {
  SampledSequence,
  SampleProgress,
  SamplePrompt,
  SamplingParams,
  ScoreDatum,
  ScoreOptions,
  ScoreResult,
} from "../contract/sampler.ts";
import type { SamplingSession } from "../contract/session.ts";
import { Turns } from "../turns.ts";
import { loadEngineState, type SetName, saveEngineState } from "./engine-state.ts";
import { LocalSession } from "./local-session.ts";
import { type PolicyValues, PolicyWeights } from "./policy-weights.ts";
import {
  requireAdam,
  requireData,
  requireLoss,
  requireMixup,
  requireSampling,
  requireTemperature,
} from "./requests.ts";
import { Sampler, type SamplerLimits } from "./sampler.ts";
import { SamplingProgram } from "./sampling-program.ts";
import { type SequenceLimits, SequenceRunner } from "./sequence-runner.ts";
import { type DenseWeights, OptimizerState, requireFinite } from "./weights.ts";

/** How much memory sampling, scoring and training take. */
export interface LocalEngineLimits extends SamplerLimits, SequenceLimits {}

/** What an engine is made of: a model in the form in which its weights are held. */
export interface LocalModel {
  readonly config: ModelConfig;
  readonly form: WeightForm;
  /** Become the engine's own, but for a model that is shared. */
  readonly values: PolicyValues;
  /** Other engines read the same model: it is not trained, only an adapter may be. */
  readonly sharesBase?: boolean;
  /** Where the model came from: what a saved adapter names as its base. */
  readonly directory: string;
  /** Root of the random numbers of an adapter's dropout. */
  readonly dropoutSeed: number;
}

const NO_REFERENCE = "The reference policy was not frozen yet: call freezeReference first.";

export class LocalEngine implements Policy {
  readonly info: PolicyInfo;
  readonly capabilities: Capabilities;
  readonly #runtime: Runtime;
  readonly #model: Omit<LocalModel, "values">;
  readonly #policy: PolicyWeights;
  readonly #limits: LocalEngineLimits;
  readonly #sampling: SamplingProgram;
  readonly #sampler: Sampler;
  readonly #sequences: SequenceRunner;
  readonly #turns = new Turns();
  #disposed = false;
  #optimizer: OptimizerState | undefined;

  constructor(runtime: Runtime, { values, ...model }: LocalModel, limits: LocalEngineLimits) {
    const { config, form } = model;
    this.#runtime = runtime;
    this.#model = model;
    this.#policy = new PolicyWeights(runtime, config, form, values, model.sharesBase);
    this.#limits = limits;
    this.#sampling = new SamplingProgram(runtime, config, form);
    this.#sampler = new Sampler(this.#sampling, limits);
    this.#sequences = new SequenceRunner(runtime, config, form, limits);
    const threads = `${runtime.threads} ${runtime.threads === 1 ? "thread" : "threads"}`;
    const adapter = form.lora ? [`LoRA of rank ${form.lora.rank}`] : [];
    const specs = [...parameterSpecs(config), ...(form.lora ? trainedSpecs(config, form) : [])];
    this.info = {
      name: `local (${["cpu", threads, ...(form.quantization ? [form.quantization] : []), ...adapter].join(", ")})`,
      vocabSize: config.vocabSize,
      maxContextTokens: config.maxContextTokens,
      parameterCount: specs.reduce((sum, { shape }) => sum + elementCount(shape), 0),
      eosTokenIds: config.eosTokenIds,
    };
    this.capabilities = {
      losses: this.#policy.trained ? ["cross_entropy", "grpo", "cispo", "sapo"] : [],
      training: form.lora ? "adapter" : this.#policy.trained ? "full" : "none",
      entropies: true,
      margins: true,
      scoringTemperature: true,
      keptTokens: true,
      seededDraws: true,
      sessions: true,
      reference: true,
      // The way between two products of low rank is not one of that rank.
      referenceMixing: form.lora === undefined,
      entropyBonus: true,
      embeddingNoise: true,
      gradientNorm: true,
      gradientClipping: true,
    };
  }

  sample(
    prompts: readonly SamplePrompt[],
    params: SamplingParams,
    onProgress?: SampleProgress,
  ): Promise<SampledSequence[]> {
    return this.#inTurn(async () => {
      requireSampling(this.info, prompts, params);
      return this.#sampler.sample(this.#policy.current, prompts, params, onProgress);
    });
  }

  openSession(): SamplingSession {
    return new LocalSession({
      info: this.info,
      program: this.#sampling,
      weights: () => this.#policy.current,
      limits: this.#limits,
      inTurn: (work) => this.#inTurn(work),
      contended: () => this.#turns.contended,
    });
  }

  score(
    data: readonly ScoreDatum[],
    { temperature, policy = "policy" }: ScoreOptions & { readonly policy?: PolicyName },
  ): Promise<ScoreResult> {
    return this.#inTurn(async () => {
      requireTemperature(temperature);
      requireData(this.info, data);
      const weights = policy === "policy" ? this.#policy.current : this.#policy.reference;
      if (!weights) throw new EngineError(NO_REFERENCE);
      return this.#sequences.score(weights, data, temperature);
    });
  }

  forwardBackward(data: readonly Datum[], loss: LossSpec): Promise<ForwardBackwardResult> {
    return this.#inTurn(async () => {
      requireLoss(this.capabilities, loss);
      requireData(this.info, data);
      const state = this.#optimizerState();
      const result = await this.#sequences.train(this.#policy.current, state, data, loss, this.#model.dropoutSeed);
      state.lossIsFinite &&= Number.isFinite(result.loss);
      return result;
    });
  }

  optimStep(params: AdamParams): Promise<OptimStepResult> {
    return this.#inTurn(async () => {
      requireAdam(params);
      return this.#optimizerState().step(params);
    });
  }

  async step(data: readonly Datum[], loss: LossSpec, adam: AdamParams): Promise<StepResult<ForwardBackwardResult>> {
    const [result, stepped] = await Promise.all([this.forwardBackward(data, loss), this.optimStep(adam)]);
    return { ...result, ...stepped };
  }

  resetOptimizer(): Promise<void> {
    return this.#inTurn(async () => this.#forgetOptimizer());
  }

  freezeReference(mixup = 1): Promise<void> {
    return this.#inTurn(async () => {
      requireMixup(mixup);
      if (mixup === 1) this.#policy.freeze();
      else if (!this.#policy.reference) throw new EngineError(NO_REFERENCE);
      else this.#policy.mixReference(mixup);
    });
  }

  saveState(directory: string): Promise<void> {
    return this.#inTurn(() => {
      const { savedReference: reference } = this.#policy;
      return saveEngineState(directory, this.#trainedSpecs(), {
        optimizerSteps: this.#optimizer?.steps ?? 0,
        referenceOff: reference === "off",
        sets: {
          weights: this.#trained().all(),
          ...this.#optimizer?.moments,
          ...(reference instanceof Map && { reference }),
        },
      });
    });
  }

  loadState(directory: string): Promise<void> {
    return this.#inTurn(async () => {
      const specs = this.#trainedSpecs();
      const { optimizerSteps, referenceOff } = await loadEngineState(directory, specs, (set) => this.#emptySet(set));
      if (optimizerSteps > 0) this.#optimizerState().steps = optimizerSteps;
      if (referenceOff) this.#policy.referenceOff();
    });
  }

  saveWeights(directory: string, options: { readonly dtype?: SaveDtype } = {}): Promise<void> {
    return this.#inTurn(async () => {
      const { config, form, directory: base } = this.#model;
      const values = this.#trained().all();
      requireFinite(values, "policy");
      if (form.lora) await savePeftAdapter(directory, config, form.lora, values, base);
      else await saveModel(directory, config, values, options);
    });
  }

  dispose(): Promise<void> {
    return this.#turns.take(async () => {
      this.#disposed = true;
      this.#sampler.dispose();
      this.#sampling.dispose();
      this.#sequences.dispose();
      this.#forgetOptimizer();
      this.#policy.dispose();
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
        this.#policy.forgetReference();
        return this.#trained().all();
      case "firstMoments":
        return this.#optimizerState().firstMoments;
      case "secondMoments":
        return this.#optimizerState().secondMoments;
      case "reference":
        return this.#policy.emptyReference();
      default:
        return set satisfies never;
    }
  }

  /** What is trained. Throws EngineError where nothing can be. */
  #trained(): DenseWeights {
    if (this.#policy.trained) return this.#policy.trained;
    const { form, sharesBase } = this.#model;
    const why = sharesBase ? "that other engines share" : `packed as ${form.quantization}`;
    throw new EngineError(`Weights ${why} cannot be trained or saved: train an adapter (lora) on them.`);
  }

  #trainedSpecs() {
    return trainedSpecs(this.#model.config, this.#model.form);
  }

  /** Drops moments, step count and gradient. */
  #forgetOptimizer(): void {
    this.#optimizer?.dispose();
    this.#optimizer = undefined;
  }

  #optimizerState(): OptimizerState {
    this.#optimizer ??= new OptimizerState(this.#runtime, this.#trained());
    return this.#optimizer;
  }
}
